"""The model that comes with the package: a run folder like any other, found without being named."""

from __future__ import annotations

from pathlib import Path

from medverdict.errors import RunError
from medverdict.predict.load import MANIFEST

_SHELF = Path(__file__).resolve().parent.parent / "shipped"


def shipped_run(shelf: Path = _SHELF) -> Path:
    """The folder of the run inside the package. Raises RunError where this copy carries none, or several."""
    found = sorted(path.parent for path in shelf.glob(f"*/{MANIFEST}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise RunError(
            f"{shelf}: holds {len(found)} models, expected one. Name one of them with --run: "
            + ", ".join(str(folder) for folder in found)
        )
    raise RunError(
        "this copy of medverdict carries no model. Train one (`medverdict quickstart`, or `medverdict train`) and "
        "name its folder with --run."
    )
