"""README and both guides: their commands can be typed, their tables are true, their numbers agree."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import typer

from medverdict.cli import app
from medverdict.model.registry import known_bases
from medverdict.recipes.recipe import load_recipe, recipe_names
from parsing import parse

REPOSITORY = Path(__file__).resolve().parent.parent
VIETNAMESE, ENGLISH = "docs/TRAINING_V5_GUIDE.md", "docs/TRAINING_V5_GUIDE.en.md"
TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", VIETNAMESE, ENGLISH)}
GUIDES = {name: TEXTS[name] for name in (VIETNAMESE, ENGLISH)}
_MARKED = re.compile(r"<!-- (figure|table|picture): .*?<!-- /\1 -->", re.DOTALL)


def commands_in(text):
    """What follows `medverdict` in every shell block, and between single backticks."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    shown = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    shown += [shlex.split(code) for code in re.findall(r"`(medverdict [^`\n]+)`", text)]
    return [words[1:] for words in shown if words[:1] == ["medverdict"]]


def is_complete(words):
    """Whether it is a command to type, not the bare name of one, such as `medverdict plan` in a sentence."""
    return len(words) > 1


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_can_be_typed(name):
    found = [words for words in commands_in(TEXTS[name]) if is_complete(words)]
    assert len(found) >= 8
    for words in found:
        parse(words)
        if words[0] in ("train", "plan", "sweep"):
            assert words[1] in recipe_names(), words


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_that_is_named_exists(name):
    known = typer.main.get_command(app).commands
    assert not [words for words in commands_in(TEXTS[name]) if words[0] not in known and not words[0].startswith("-")]


def test_a_mistyped_option_would_be_found():
    with pytest.raises(Exception, match="No such option"):
        parse(["train", "v6", "--dat", "x", "--out", "y"])
    with pytest.raises(Exception, match="Missing"):
        parse(["train", "v6", "--out", "y"])


def test_both_guides_show_the_same_commands_and_headings():
    assert commands_in(GUIDES[VIETNAMESE]) == commands_in(GUIDES[ENGLISH])
    levels = [re.findall(r"^#+", text, re.MULTILINE) for text in GUIDES.values()]
    assert levels[0] == levels[1]


def test_the_numbers_of_both_guides_agree_section_by_section():
    sections = [re.split(r"^## ", text, flags=re.MULTILINE) for text in GUIDES.values()]
    for vietnamese, english in zip(*sections, strict=True):
        numbers = [Counter(re.findall(r"\d(?:[\d.,]*\d)?", part)) for part in (vietnamese, english)]
        assert numbers[0] == numbers[1], english.splitlines()[0]


@pytest.mark.parametrize("name", GUIDES)
def test_a_percentage_outside_the_markers_is_published_or_what_a_coin_gets(name):
    prose = " ".join(_MARKED.sub("", GUIDES[name]).split())
    published = "published" if name == ENGLISH else "đã công bố"
    for match in re.finditer(r"[\d.–]+ %", prose):
        if match[0] in ("50 %", "25 %", "51 %"):  # a coin, and v4's figure once more in a heading
            continue
        assert published in prose[match.start() : match.end() + 60], prose[match.start() - 40 : match.end() + 60]


@pytest.mark.parametrize("name", GUIDES)
def test_the_table_of_bases_is_the_registry(name):
    told = re.findall(r"^\| `([\w.-]+)` \| (\d+,[\d,]+) \| (\S+) \|", GUIDES[name], re.MULTILINE)
    within, over = ("within", "over") if name == ENGLISH else ("vừa", "vượt")
    known = {(b.name, f"{b.parameters:,}", within if b.within_budget else over) for b in known_bases()}
    assert set(told) == known


@pytest.mark.parametrize("name", GUIDES)
def test_the_table_of_parameters_is_that_of_the_recipes(name):
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| [^|]+ \|$", GUIDES[name], re.MULTILINE)
    recipes = [load_recipe(recipe).model_dump(mode="json") for recipe in ("v4-chunked", "v5-optimized")]
    different = {key for key in recipes[0] if recipes[0][key] != recipes[1][key]} - {"name", "description"}
    assert {row[0] for row in rows} == different
    for field, *told in rows:
        for shown, recipe in zip(told, recipes, strict=True):
            value = recipe[field]
            assert (
                float(shown) == value
                if isinstance(value, int | float) and shown[0].isdigit()
                else (shown == str(value).lower())
            ), field


@pytest.mark.parametrize("name", TEXTS)
def test_every_linked_file_is_there(name):
    folder = (REPOSITORY / name).parent
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", TEXTS[name])
    waits = {"results.md", "docs/results.md"} if not (REPOSITORY / "docs/results.json").exists() else set()
    assert not [a or b for a, b in links if (a or b) not in waits and not (folder / (a or b)).exists()]


@pytest.mark.parametrize("name", TEXTS)
def test_the_warning_comes_first(name):
    first = " ".join(TEXTS[name].split("\n## ")[0].split())
    assert ("Not medical advice" in first) or ("Không phải lời khuyên y tế" in first)
