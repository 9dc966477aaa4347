"""medverdict: train a small language model to judge medical claims, and say honestly how good it is.

For notebooks: `load_run`, `verify`, `evaluate`, `compare`, `train` (docs/api.md). They load what they need when they
are called for, so that `import medverdict` stays light.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medverdict.app.api import compare, evaluate, load_run, train, verify

__all__ = ["__version__", "compare", "evaluate", "load_run", "train", "verify"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("medverdict.app.api"), name)


class _Room(ModuleType):
    """A room whose name is also a function of the API: calling the one calls the other."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return __getattr__(self.__name__.rpartition(".")[2])(*arguments, **options)


def also_a_function(room: str) -> None:
    """Let the module of a room be called as the function of the API that has its name.

    Python sets a package's attribute to the room as soon as anything imports it, over a function of the same name.
    """
    sys.modules[room].__class__ = _Room
