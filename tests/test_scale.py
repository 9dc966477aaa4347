"""docs/scale.md: commands can be typed, and its arithmetic follows from the measured figures."""

import re
import shlex
from pathlib import Path

from medverdict.app.predict import ROWS_WORTH_WORKERS
from medverdict.errors import NOT_ADVICE
from medverdict.predict.stream import CHUNK
from parsing import parse

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "scale.md").read_text(encoding="utf-8")
MEASURED = (DOCS / "performance.md").read_text(encoding="utf-8")


def hours(claims_a_second):
    return 1e9 / (claims_a_second * 3600)


def test_every_command_can_be_typed():
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()
    found = [shlex.split(line, comments=True) for line in lines if "medverdict " in line]
    assert len(found) >= 5
    for words in found:
        parse(words[words.index("medverdict") + 1 :])


def test_hours_and_prices_follow_from_what_was_measured():
    rates = ("9,833 (7,552 to 10,218)", "12.5 and 13.2")
    assert all(rate in MEASURED and rate in PAGE for rate in rates)
    middle, low, high = 9_833, 7_552, 10_218
    assert f"{middle * 3600:,}" in PAGE
    assert f"{hours(middle):.1f} ({hours(high):.1f} to {hours(low):.1f})" in PAGE
    assert f"{hours(12.5):,.0f} and {hours(13.2):,.0f}" in PAGE
    assert "28.2 × 3.00 = $84.60" in PAGE and "22,222 × 0.10 = $2,222.20" in PAGE
    assert f"{middle / 12.5:.0f} times the price" in " ".join(PAGE.split())


def test_constants_are_those_of_the_code():
    assert f"from {ROWS_WORTH_WORKERS:,} rows on" in PAGE
    assert f"{CHUNK['cuda']:,} rows ({CHUNK['cpu']} on a CPU)" in PAGE
    assert "14.6 s" in PAGE and "14.6" in MEASURED


def test_the_warning_stands_first():
    assert NOT_ADVICE in " ".join(PAGE.replace("\n>", "").split())[:300]
