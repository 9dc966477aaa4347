"""The frozen test stays what it is, and apart from everything that may be trained on."""

from collections import Counter, defaultdict

import pytest

from medverdict import claims
from medverdict.data.audit import audit
from medverdict.data.read import read_claims, read_split
from medverdict.files import sha256_file
from medverdict.records import Split

WRITTEN_LATER = ("11-teacher-style-wide", "12-anti-cue", "13-teacher-style-quiz")
"""Files that were written after the test was chosen, so that it holds none of their rows."""
FROZEN = "3a0c63bda07dab4633c8f770176b5affcef5ffa8f5b79e7820f640f42c2e028f"


@pytest.fixture(scope="module")
def test_rows():
    return read_claims(claims.test_file()).claims


@pytest.fixture(scope="module")
def training_rows():
    return [row for path in claims.training_files() for row in read_claims(path).claims]


def test_not_a_byte_of_it_changes():
    assert sha256_file(claims.test_file()) == FROZEN


def test_no_other_file_of_ours_holds_a_row_near_it(training_rows):
    train = Split(name="train", claims=tuple(training_rows), sha256="")
    found = audit([train, read_split(claims.test_file(), "test")])
    assert found.clean
    assert found.counts["pairs >= 0.8"] == 0


def test_no_pair_was_parted(test_rows, training_rows):
    pairs = [{row.pair.split(":")[-1] for row in rows} for rows in (test_rows, training_rows)]
    assert pairs[0]
    assert pairs[0].isdisjoint(pairs[1])


def test_it_is_stratified_by_style_label_and_file(test_rows):
    assert len(test_rows) == 800
    by_style = Counter((claims.STYLES[row.source], row.label) for row in test_rows)
    assert by_style == {
        ("balanced", "TRUE"): 280,
        ("balanced", "FALSE"): 280,
        ("teacher", "TRUE"): 120,
        ("teacher", "FALSE"): 120,
    }
    by_file = Counter((row.source, row.label) for row in test_rows)
    expected = {"balanced": 35, "teacher": 60}
    assert all(
        by_file[source, label] == expected[style]
        for source, style in claims.STYLES.items()
        if source not in WRITTEN_LATER
        for label in ("TRUE", "FALSE")
    )


def test_it_covers_the_topics_as_they_come(test_rows, training_rows):
    """Of each file's common topics the test holds a share like the file's own."""
    size: dict[str, Counter[str]] = defaultdict(Counter)
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for row in [*test_rows, *(row for row in training_rows if row.source not in WRITTEN_LATER)]:
        size[row.source][row.topic] += 1
    for row in test_rows:
        held[row.source][row.topic] += 1
    common = [(source, topic) for source, topics in size.items() for topic, rows in topics.items() if rows >= 14]
    assert len(common) > 60
    missing = [name for name in common if not held[name[0]][name[1]]]
    assert len(missing) < 0.05 * len(common)
    assert all(held[source][topic] < 0.4 * size[source][topic] for source, topic in common)


def test_the_training_files_are_all_others_and_each_has_a_style():
    names = [path.stem for path in claims.training_files()]
    assert names == sorted(claims.STYLES)
    assert claims.test_file().stem not in names


def test_the_card_states_the_counts_that_the_files_have(test_rows, training_rows):
    card = (claims.test_file().parent / "CARD.md").read_text(encoding="utf-8")
    assert f"{len(test_rows) + len(training_rows):,} statements" in card
    for path in [*claims.training_files(), claims.test_file()]:
        rows = read_claims(path).claims
        labels = Counter(row.label for row in rows)
        assert f"| `{path.name}` | {len(rows)} | {labels['TRUE']} | {labels['FALSE']} |" in card
