"""No more than 1,000,000,000 parameters, counted before anything is downloaded."""

from __future__ import annotations

from math import prod
from pathlib import Path

from medverdict.errors import GateError, RunError

LIMIT = 1_000_000_000
"""Parameters of base and adapters together, tied ones counted once."""


def check_budget(parameters: int, adapters: int = 0, override: bool = False, name: str = "The model") -> str | None:
    """Refuse more than `LIMIT` parameters.

    Returns None within the budget. Over it, returns the sentence for `Run.overrides` when `override` is set,
    else raises GateError with the count and the excess of what is called `name`.
    """
    total = parameters + adapters
    if total <= LIMIT:
        return None
    parts = f" ({parameters:,} of the base and {adapters:,} of adapters)" if adapters else ""
    found = f"{name} has {total:,} parameters{parts}: {total - LIMIT:,} over the budget of {LIMIT:,}"
    if override:
        return f"Parameter budget overridden: {found}."
    raise GateError(f"{found}. Choose a smaller base (`medverdict bases` lists some), or allow it with --over-budget.")


def parameter_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter that `config.json` asks for, tied ones once; no weights are read.

    The model is built without memory (on torch's meta device) by the code that later runs it, so the count is
    that code's own. Raises RunError when the configuration cannot be built, remote code included.
    """
    import torch  # here, so that listing bases and refusing known ones needs no torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # a configuration can fail in any way, and no traceback would help
        raise RunError(
            f"{folder / 'config.json'}: no causal language model can be built from it: {' '.join(str(error).split())} "
            "Expected the configuration of an architecture that transformers ships."
        ) from error
    model.tie_weights()
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def count_parameters(folder: Path) -> int:
    """Parameters of the model that `config.json` in `folder` describes, tied ones once. Raises RunError."""
    return sum(prod(shape) for shape in parameter_shapes(folder).values())
