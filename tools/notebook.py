"""notebooks/v5_colab.py -> notebooks/V5_Optimized_Training_Colab.ipynb; `make notebook`.

    python tools/notebook.py                     write the notebook; outputs stay where no code cell has changed
    python tools/notebook.py --execute [FOLDER]  run it from first to last cell in FOLDER, and keep the outputs

The source is Python in cells: `# %%` opens code, `# %% [markdown]` text, and what stands before the first is not taken
over. Parameters are changed through the environment, such as MEDVERDICT_NOTEBOOK_ROWS=600.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCE = NOTEBOOKS / "v5_colab.py"
NOTEBOOK = NOTEBOOKS / "V5_Optimized_Training_Colab.ipynb"
_MARK = re.compile(r'^# %%( \[markdown\])?(?: tags=\["(\w+)"\])?$', re.MULTILINE)
METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "name": NOTEBOOK.name, "provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""Opens on a T4 in Colab; nothing of the machine that ran it, so that the same source gives the same bytes."""


def build(source: str) -> dict[str, Any]:
    """The notebook without outputs. Raises ValueError for a line that looks like a cell's mark and is none."""
    marks = list(_MARK.finditer(source))
    if len(marks) != len(re.findall(r"^# %%", source, re.MULTILINE)):
        raise ValueError("a line begins with '# %%' and is neither '# %%' nor '# %% [markdown]'")
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    cells = [
        cell(number, source[mark.end() : end].strip("\n"), bool(mark[1]), mark[2])
        for number, (mark, end) in enumerate(zip(marks, ends, strict=True))
    ]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def cell(number: int, text: str, is_markdown: bool, tag: str | None) -> dict[str, Any]:
    """One cell; its id is its place."""
    made: dict[str, Any] = {"id": f"cell-{number:02d}", "metadata": {"tags": [tag]} if tag else {}}
    if is_markdown:
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
        return {"cell_type": "markdown", **made, "source": text.splitlines(keepends=True)}
    made |= {"execution_count": None, "outputs": []}
    return {"cell_type": "code", **made, "source": text.splitlines(keepends=True)}


def code_of(notebook: dict[str, Any]) -> list[str]:
    """The code cells, in order."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def with_outputs_of(notebook: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of an older one, if that ran exactly the same code."""
    if code_of(notebook) != code_of(old):
        return notebook
    ran = iter([cell for cell in old["cells"] if cell["cell_type"] == "code"])
    kept = ("execution_count", "outputs")
    cells = [
        made | ({key: before[key] for before in [next(ran)] for key in kept} if made["cell_type"] == "code" else {})
        for made in notebook["cells"]
    ]
    return notebook | {"cells": cells}


def execute(notebook: dict[str, Any], folder: Path, timeout_seconds: int = 3600) -> dict[str, Any]:
    """Run every cell in `folder` by this Python, and return the notebook with its outputs.

    Raises CellExecutionError with the cell and its traceback where one fails.
    """
    import nbformat
    from nbclient import NotebookClient

    node = nbformat.reads(json.dumps(notebook), as_version=4)  # type: ignore[no-untyped-call]
    with this_python_first():
        NotebookClient(
            node,
            timeout=timeout_seconds,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            coalesce_streams=True,
        ).execute()
    ran = json.loads(nbformat.writes(node))  # type: ignore[no-untyped-call]
    return with_outputs_of(notebook, ran)


@contextmanager
def this_python_first() -> Iterator[None]:
    """Let commands of this environment be found by their name."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--execute", nargs="?", const="", metavar="FOLDER", help="run it, by default in a new folder")
    given = parser.parse_args()
    notebook = build(SOURCE.read_text(encoding="utf-8"))
    if given.execute is not None:
        folder = Path(given.execute or tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        print(f"running {len(code_of(notebook))} cells in {folder}", flush=True)
        notebook = execute(notebook, folder)
    elif NOTEBOOK.is_file():
        notebook = with_outputs_of(notebook, json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    NOTEBOOK.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
