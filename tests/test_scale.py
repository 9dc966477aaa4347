"""docs/scale.md: commands can be typed, and its arithmetic follows from the measured figures."""

import math
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


def rows_of(heading):
    """The cells of every table row between a heading and the next one."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("|")]


def numbers(text):
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def test_every_command_can_be_typed():
    shown = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    lines = shown.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines if "medverdict " in line]
    assert len(found) >= 5
    for words in found:
        parse(words[words.index("medverdict") + 1 :])


def test_hours_and_prices_follow_from_what_was_measured():
    rates = ("13,174 (12,821 to 13,638)", "12.5 and 13.2")
    assert all(rate in MEASURED and rate in PAGE for rate in rates)
    middle, low, high = 13_174, 12_821, 13_638
    assert f"{middle * 3600:,}" in PAGE
    assert f"{hours(middle):.1f} ({hours(high):.1f} to {hours(low):.1f})" in PAGE
    assert f"{hours(12.5):,.0f} and {hours(13.2):,.0f}" in PAGE
    assert "21.1 × 3.00 = $63.30" in PAGE and "22,222 × 0.10 = $2,222.20" in PAGE
    assert f"{middle / 12.5:,.0f} times the price" in " ".join(PAGE.split())


def test_the_cost_of_a_whole_predict_follows_from_its_seconds():
    rows, seconds, rate = 200_000, 41.0, 4_878
    assert f"{rows:,} rows in\n{seconds} s above" in PAGE and abs(rows / seconds - rate) < 1
    row = next(cells for cells in rows_of("What 10⁹ claims cost") if "a whole `predict`" in cells[0])
    assert row[1:] == [f"{rate:,}", f"{rate * 3600:,}", f"{hours(rate):.0f}"]
    assert f"{hours(rate):.0f} an upper bound" in PAGE
    assert f"{hours(rate):.0f} × 3.00 = ${round(hours(rate)) * 3:.2f}" in PAGE
    assert f"at the lower rate {rate / 12.5:.0f} times" in PAGE


def test_a_second_gpu_in_training_is_as_much_faster_as_its_seconds_say():
    table = rows_of("One training on several GPUs")[2:]
    assert [cells[0].split(",")[0] for cells in table] == ["32", "128", "512"]
    for batch, schedule, one, two, faster, accuracy, differ in table:
        assert faster == f"{numbers(one)[0] / numbers(two)[0]:.2f}×"
        rows, epochs, steps = numbers(schedule)
        assert steps == epochs * math.ceil(rows / numbers(batch)[0])
        first, second = numbers(accuracy)
        differing, dev_rows = numbers(differ)
        assert abs(first - second) / 100 * dev_rows <= differing
        assert dev_rows == 80 or abs(first - second) <= 0.6 + 1e-9
    assert round((83.8 - 78.8) / 100 * 80) == 4 and "four right answers apart" in PAGE


def test_workers_side_by_side_are_as_much_faster_as_their_seconds_say():
    one, three, faster = map(float, re.search(r"([\d.]+) s by\none worker.*?([\d.]+) s by.*?([\d.]+)×", PAGE).groups())
    assert f"{one / three:.2f}" == f"{faster:.2f}"


def test_predicting_on_two_gpus_adds_up():
    single, double, ratio = rows_of("Predicting on all GPUs of a machine")[2:]
    for cells in (single, double):
        rate, seconds = numbers(cells[2])
        assert f"{200_000 / rate:.1f}" == f"{seconds:.1f}"
        assert f"{numbers(cells[1])[0] - 200_000 / rate:.0f} s" == cells[3]
    (one, two), (slow, fast) = ([numbers(cells[place])[0] for cells in (single, double)] for place in (1, 2))
    assert ratio[1:3] == [f"{one / two:.2f}×", f"{fast / slow:.2f}×"]
    assert f"Two were {ratio[1]} as fast" in PAGE
    assert "8,192 rows were there after 13 s, the other 191,808 after 9 s" in PAGE and 8_192 + 191_808 == 200_000
    assert "some 21,000 rows/s" in PAGE and round(191_808 / 9, -3) == 21_000 and round(numbers(double[2])[1]) == 13 + 9


def test_constants_are_those_of_the_code():
    assert f"from {ROWS_WORTH_WORKERS:,} rows on" in PAGE
    assert f"{CHUNK['cuda']:,} rows ({CHUNK['cpu']} on a CPU)" in PAGE
    assert "14.6 s" in PAGE and "14.6" in MEASURED


def test_the_warning_stands_first():
    assert NOT_ADVICE in " ".join(PAGE.replace("\n>", "").split())[:300]
