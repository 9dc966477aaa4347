"""The README tells the truth about the tree and about the commands."""

import sys
from pathlib import Path

from medverdict.errors import NOT_ADVICE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_is_the_one_on_the_disk(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    sys.modules.pop("tree", None)
    from tree import in_readme

    assert in_readme(README) == README, "run `make tree`"


def test_the_warning_stands_before_anything_else_is_shown():
    first_lines = " ".join(README.split("## ")[0].split())
    for part in ("Not medical advice", "research aid", "judges from memory", "not reviewed by clinicians"):
        assert part in first_lines
    assert "not medical advice" in NOT_ADVICE
