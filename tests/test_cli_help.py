"""What the command line shows of itself: help, suggestions and completion."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from medverdict.cli import app
from medverdict.cli_help import SECTIONS
from medverdict.errors import did_you_mean
from medverdict.model.registry import known_bases
from medverdict.recipes.recipe import recipe_names
from parsing import every_command, parse


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def test_every_command_has_its_line_in_the_list_and_none_is_listed_that_is_not_there(run):
    listed = [name for commands in SECTIONS.values() for name in commands]
    assert sorted(listed) == sorted(typer.main.get_command(app).commands)
    _, out, _ = run("--help")
    for commands in SECTIONS.values():
        for name, told in commands.items():
            assert re.search(rf"  {name} +{re.escape(told)}\n", out), name


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_a_help_fits_a_screen_and_its_example_can_be_typed(run, words):
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert out.count("\n") <= (36 if not words else 25)
    assert max(map(len, out.splitlines())) <= 80
    (example,) = re.findall(r"^  Example: medverdict (.*)$", out, re.MULTILINE)
    example_words = shlex.split(example)
    assert example_words[: len(words)] == list(words) or words in ((), ("recipes",), ("generate",))
    parse(example_words)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["trian"], "train"),
        (["recipe"], "recipes"),
        (["evalute", "runs/v5"], "evaluate"),
        (["recipes", "shw"], "show"),
        (["recipes", "show", "v5"], "v5-as-published or v5-optimized"),
        (["recipes", "show", "V5-Optimised"], "v5-optimized"),
        (["recipes", "show", "quickstrat"], "quickstart"),
        (["bases", "fetch", "qwen"], "qwen2.5-0.5b-instruct or qwen2.5-coder-0.5b"),
        (["bases", "fetch", "gema-3-270m"], "gemma-3-270m"),
        (["train", "v6", "--dta", "x"], "--data"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(run, typed, meant):
    code, _, err = run(*typed)
    assert code == 2
    assert meant in err and ("Did you mean" in err or "Possible options" in err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["predict", "test.csv", "--format", "submision"],
            "Invalid value for '--format': 'submision' is not one of 'columns', 'submission'.",
        ),
        (["train", "v6", "--data", "x", "--out", "y", "--engine", "fst"], "Invalid value for '--engine': 'fst' is not"),
    ],
)
def test_a_mistyped_choice_is_answered_in_plain_words(run, typed, told):
    code, _, err = run(*typed)
    assert code == 2 and told in err


def test_nothing_is_suggested_where_nothing_is_near():
    assert did_you_mean("xyz", ["v6", "quickstart"]) == ""
    assert did_you_mean("", ["v6"]) == ""


def completed(line):
    """What bash would offer after `line`."""
    environment = os.environ | {
        "_MEDVERDICT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    program = "import sys; sys.argv[0] = 'medverdict'; from medverdict.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_the_shell_completes_commands_recipes_and_bases():
    assert completed("medverdict ba") == ["bases", "baselines"]
    assert completed("medverdict train v5") == [name for name in recipe_names() if name.startswith("v5")]
    within = [base.name for base in known_bases() if base.within_budget]
    assert completed("medverdict train v6 --base ") == within
    assert completed("medverdict train v6 --res") == ["--resume"]


def test_completing_loads_no_torch():
    program = "import sys, medverdict.cli_help as h; h.known_recipes(''); h.known_base_names('')"
    program += "; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
