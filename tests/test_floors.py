"""The house stands: imports point down, and the lower floors are light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "medverdict"
FLOORS = {
    "__init__": 7,  # the five names of the API, whose rooms load when one is asked for
    "records": 0,
    "errors": 0,
    "text": 1,
    "files": 1,
    "console": 1,
    "claims": 1,
    "data": 2,
    "generate": 2,
    "recipes": 2,
    "evaluate": 2,
    "model": 3,
    "predict": 4,
    "train": 5,
    "export": 5,
    "serve": 5,
    "app": 6,
    "cli_ends": 6,
    "cli_help": 6,
    "cli_artifacts": 7,
    "cli_data": 7,
    "cli_generate": 7,
    "cli_sweep": 7,
    "cli_use": 7,
    "cli": 8,
    "__main__": 9,
}
LIGHT_FLOORS = 2


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports from, `import medverdict` itself left out: it only holds the version."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "medverdict" else node.module for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("medverdict.")}
    return rooms - {"__version__", "also_a_function"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_from_lower_floors_or_its_own_room(path: Path):
    room = room_of(path)
    for other in imported_rooms(path) - {room}:
        problem = f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})"
        assert FLOORS[other] < FLOORS[room], problem


def test_floors_without_torch_never_load_it():
    light = [p for p in SOURCE.rglob("*.py") if FLOORS[room_of(p)] <= LIGHT_FLOORS]
    modules = sorted(
        "medverdict." + str(p.relative_to(SOURCE).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for p in light
        if p.stem != "__init__" or p.parent != SOURCE
    )
    script = "import sys, importlib\n" + "".join(f"importlib.import_module({m!r})\n" for m in modules)
    script += (
        "heavy = [m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules]\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_and_functions_stay_small():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 62, f"{path}: {node.name}"
