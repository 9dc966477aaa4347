"""Each look at a test set is counted, beside the set or where that can't be."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

import medverdict
from medverdict.errors import DataError
from medverdict.evaluate.peeks import marked_as_test, read_peeks, record_peek


def test_looks_are_counted_and_dated_beside_the_file(tmp_path: Path) -> None:
    data = tmp_path / "test.jsonl"
    first, log = record_peek(data, "aa", "run-1", tmp_path / "runs")
    second, _ = record_peek(data, "aa", "run-2", tmp_path / "runs")
    assert log == tmp_path / "test.jsonl.peeks.jsonl"
    assert (len(first), [p.run for p in second]) == (1, ["run-1", "run-2"])
    assert datetime.fromisoformat(second[0].when).tzinfo is not None
    assert not (tmp_path / "runs").exists()


def test_data_inside_the_package_is_logged_elsewhere(tmp_path: Path) -> None:
    data = Path(medverdict.__file__).parent / "claims" / "test.jsonl"
    peeks, log = record_peek(data, "aa", "run-1", tmp_path)
    assert log == tmp_path / "peeks" / "test.jsonl.peeks.jsonl"
    assert peeks == read_peeks(data, tmp_path)
    assert not data.with_name("test.jsonl.peeks.jsonl").exists()


def test_a_damaged_log_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl.peeks.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        record_peek(tmp_path / "test.jsonl", "aa", "run", tmp_path)


@pytest.mark.parametrize(
    ("name", "is_test"),
    [
        ("test.jsonl", True),
        ("my-test_2.csv", True),
        ("holdout.jsonl", True),
        ("dev.jsonl", False),
        ("latest.csv", False),
    ],
)
def test_a_set_is_marked_as_test_by_its_name(name: str, is_test: bool) -> None:
    assert marked_as_test(Path("data") / name) is is_test
