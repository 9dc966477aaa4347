"""The five names of the Python API, as docs/api.md shows them."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import medverdict
from medverdict.errors import RecipeError
from toy_runs import prepare_toy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
NAMES = ("load_run", "verify", "evaluate", "compare", "train")


def test_the_example_of_the_page_runs_from_top_to_bottom(tiny_base, tmp_path, monkeypatch, capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    assert all(f"medverdict.{name}(" in code for name in NAMES)
    prepare_toy(tmp_path / "data" / "mine")
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("qwen2.5-coder-0.5b", str(tiny_base.path)), "docs/api.md", "exec"), {})
    out = capsys.readouterr().out
    assert "TRUE" in out or "FALSE" in out


def test_the_page_names_every_argument_there_is():
    page = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        shown = re.search(rf"### `{name}\((.*?)\)`", page, re.DOTALL)
        assert shown, name
        from medverdict.app import api

        given = [p.strip().split("=")[0] for p in shown[1].replace("*, ", "").split(",")]
        assert given == [
            ("**" if p.kind is p.VAR_KEYWORD else "") + p.name
            for p in inspect.signature(getattr(api, name)).parameters.values()
        ]


@pytest.mark.parametrize(
    "first", ["pass", "import medverdict.evaluate.metrics", "from medverdict.train.run import train_run"]
)
def test_a_name_is_callable_whatever_was_imported_before(first):
    code = f"""{first}
import medverdict
assert all(callable(getattr(medverdict, name)) for name in {NAMES})
from medverdict import train, verify"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_room_that_is_called_does_what_the_function_does(tmp_path):
    import medverdict.train.run  # now `medverdict.train` is the room

    with pytest.raises(RecipeError, match="no-such-recipe"):
        medverdict.train("no-such-recipe", tmp_path, tmp_path / "out")


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, medverdict; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_mistyped_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        _ = medverdict.verfy


def test_a_mistyped_field_of_a_recipe_is_named(tmp_path):
    prepare_toy(tmp_path / "data")
    with pytest.raises(RecipeError, match="epoch: unknown key; did you mean epochs"):
        medverdict.train("quickstart", tmp_path / "data", tmp_path / "out", epoch=1)
