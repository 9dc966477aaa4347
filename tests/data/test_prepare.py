"""From files to splits that prove themselves."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from toy_claims import claim, claims, sentence, write_claims, write_rows

from medverdict import claims as shipped
from medverdict.data.audit import require_clean
from medverdict.data.prepare import Origin, Shares, Steps, load_prepared, prepare, print_summary, write_prepared
from medverdict.data.read import read_claims, read_split
from medverdict.errors import DataError, LeakError, RunError
from medverdict.files import read_records
from medverdict.records import Dropped

FILES = {"train.jsonl", "dev.jsonl", "test.jsonl", "dropped.jsonl", "audit.json", "manifest.json"}
LONG = sentence(77, 40)
NEAR = LONG.replace(LONG.split()[20], "khác")


@pytest.fixture
def mine(tmp_path) -> Path:
    return write_claims(tmp_path / "mine.jsonl", claims(100))


def reasons(prepared):
    return Counter(row.reason for row in prepared.dropped)


def texts(split):
    return {row.text for row in split.claims}


def test_a_folder_with_splits_dropped_rows_audit_and_manifest(mine, tmp_path):
    prepared = prepare([mine], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert {name: len(split.claims) for name, split in prepared.splits.items()} == {"train": 80, "dev": 10, "test": 10}
    assert prepared.audit.clean
    stored = load_prepared(tmp_path / "out")
    assert stored.splits == prepared.splits
    assert stored.audit == prepared.audit
    assert require_clean(stored.audit, stored.splits) == []


def test_twice_the_same_input_gives_the_same_bytes(mine, tmp_path):
    first, second, other = (tmp_path / name for name in ("one", "two", "three"))
    prepare([mine], first)
    prepare([mine], second)
    prepare([mine], other, seed=1)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in FILES)
    assert (first / "train.jsonl").read_bytes() != (other / "train.jsonl").read_bytes()


def test_shares_are_the_users(mine, tmp_path):
    splits = prepare([mine], tmp_path / "out", shares=Shares(dev=0.2, test=0.3)).splits
    assert {name: len(split.claims) for name, split in splits.items()} == {"train": 50, "dev": 20, "test": 30}


def test_every_dropped_row_has_its_reason_and_its_line_in_a_file(tmp_path):
    rows = [
        *({"claim": row.text, "label": row.label} for row in claims(60)),
        {"claim": "", "label": "TRUE"},
        {"claim": sentence(3).upper(), "label": "FALSE"},
        {"claim": LONG, "label": "TRUE"},
        {"claim": LONG, "label": "FALSE"},
        {"claim": "x" * 300, "label": "TRUE"},
    ]
    prepared = prepare([write_rows(tmp_path / "mine.jsonl", rows)], tmp_path / "out", steps=Steps(max_chars=250))
    stored = read_records(tmp_path / "out" / "dropped.jsonl", Dropped)
    assert [(row.line, row.reason) for row in stored] == [
        (61, "empty text"),
        (65, "longer than 250 characters"),
        (62, "duplicate"),
        (63, "contradiction: the same text has both labels"),
        (64, "contradiction: the same text has both labels"),
    ]
    assert sum(len(split.claims) for split in prepared.splits.values()) + len(stored) == len(rows)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["dropped"] == reasons(prepared)


def test_groups_never_cross_splits(tmp_path):
    rows = [
        claim(f"v{n}", f"{sentence(n // 3)} {sentence(900 + n, 2)}", row.label) for n, row in enumerate(claims(300))
    ]
    splits = prepare([write_claims(tmp_path / "mine.jsonl", rows)], tmp_path / "out").splits
    homes = Counter((row.group, name) for name, split in splits.items() for row in split.claims)
    assert len({group for group, _ in homes}) == len(homes) < 200


def test_the_test_may_be_given_whole_and_training_keeps_away_from_it(mine, tmp_path):
    test = write_claims(tmp_path / "exam.jsonl", [*claims(40, 500), claim("t", LONG, "FALSE"), claim("c", sentence(7))])
    more = write_claims(tmp_path / "more.jsonl", [claim("near", NEAR), claim("twin", sentence(800), pair="1")])
    prepared = prepare([mine, more], tmp_path / "out", test_files=[test])
    assert texts(prepared.splits["test"]) == texts(read_split(test))
    assert reasons(prepared) == {"near-duplicate of the test": 2}
    assert {row.text for row in prepared.dropped} == {NEAR, sentence(7)}
    assert set(prepared.splits) == {"train", "dev", "test"}
    assert prepared.audit.clean


def test_a_repeated_row_of_a_given_test_stays_for_a_test_is_scored_as_it_is(mine, tmp_path):
    test = write_claims(tmp_path / "exam.jsonl", [*claims(40, 500), *claims(2, 500)])
    assert len(prepare([mine], tmp_path / "out", test_files=[test]).splits["test"].claims) == 42


def test_the_shipped_frozen_test_is_kept_out_of_everything_but_the_test(mine, tmp_path):
    prepared = prepare([mine, shipped.test_file()], tmp_path / "out")
    assert reasons(prepared)["near-duplicate of the shipped frozen test"] == 800
    assert prepared.audit.clean


def test_our_own_claims_with_the_frozen_test(tmp_path):
    prepared = prepare(shipped.training_files(), tmp_path / "out", test_files=[shipped.test_file()])
    assert prepared.audit.clean
    assert prepared.dropped == ()
    assert len(prepared.splits["test"].claims) == 800
    for split in prepared.splits.values():
        assert abs(sum(row.label == "TRUE" for row in split.claims) / len(split.claims) - 0.5) < 0.01


def test_rows_of_the_public_sample_given_for_training_and_test_are_dropped_from_training(shared_data, tmp_path):
    official = shared_data / "official" / "dev.jsonl"
    rows = [json.loads(line) for line in official.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    half = write_rows(tmp_path / "merged.jsonl", ({"claim": r["claim"], "label": r["label"]} for r in rows[:311]))
    prepared = prepare([shipped.training_files()[0], half], tmp_path / "out", test_files=[official])
    assert sum(row.file == "merged.jsonl" for row in prepared.dropped) == 311
    assert prepared.audit.clean


def test_the_published_merge_can_be_stored_but_not_trained_on(shared_data, tmp_path):
    rows = list(read_split(shared_data / "official" / "dev.jsonl").claims)
    random.Random(0).shuffle(rows)
    ours = read_claims(shipped.training_files()[0]).claims
    origin = Origin(inputs={}, test_inputs={}, seed=0, shares={}, repair_mojibake=False, max_chars=2000)
    write_prepared(tmp_path, {"train": [*ours, *rows[:200]], "dev": rows[200:311], "test": rows[311:]}, [], origin)
    stored = load_prepared(tmp_path)
    with pytest.raises(LeakError, match="LEAK"):
        require_clean(stored.audit, stored.splits)


def test_mojibake_is_shown_and_repaired_on_request(tmp_path, capsys):
    rows = [*claims(40), claim("m", "Thuá»‘c giáº£m Ä‘au.")]
    path = write_claims(tmp_path / "mine.jsonl", rows)
    print_summary(prepare([path], tmp_path / "left"))
    assert "mine.jsonl: 1 rows look wrongly decoded" in capsys.readouterr().out
    repaired = prepare([path], tmp_path / "mended", repair_mojibake=True)
    print_summary(repaired)
    shown = capsys.readouterr().out
    assert "Thuá»‘c giáº£m Ä‘au." in shown
    assert "Thuốc giảm đau." in shown
    assert any("Thuốc giảm đau." in texts(split) for split in repaired.splits.values())


def test_the_summary_counts_what_was_kept_and_what_was_not(tmp_path, capsys):
    path = write_claims(tmp_path / "mine.jsonl", [*claims(200), claim("again", sentence(3), "FALSE")])
    print_summary(prepare([path], tmp_path / "out"))
    shown = capsys.readouterr().out
    assert "160" in shown
    assert "duplicate" in shown
    assert "audit: clean" in shown


# --- refusals, which leave nothing behind


def refused(folder, error, pattern, *args, **options):
    before = set(folder.iterdir())
    with pytest.raises(error, match=pattern):
        prepare(*args, **options)
    assert set(folder.iterdir()) == before


def test_three_rows(tmp_path):
    path = write_claims(tmp_path / "mine.jsonl", claims(3))
    refused(tmp_path, DataError, "3 rows are left to split; expected at least 20", [path], tmp_path / "out")


def test_one_class_only(tmp_path):
    path = write_rows(tmp_path / "mine.jsonl", ({"claim": sentence(n), "label": "Sai"} for n in range(30)))
    refused(tmp_path, DataError, "all 30 rows are FALSE", [path], tmp_path / "out")


def test_an_output_folder_that_exists(mine, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").touch()
    refused(tmp_path, RunError, "exists and is not empty", [mine], tmp_path / "out")


def test_an_unusable_file_among_good_ones(mine, tmp_path):
    refused(tmp_path, DataError, "no such file", [mine, tmp_path / "absent.csv"], tmp_path / "out")


def test_two_files_of_one_name(mine, tmp_path):
    refused(tmp_path, DataError, "2 files are called mine.jsonl", [mine, mine], tmp_path / "out")


def test_ids_that_stand_in_two_files(tmp_path):
    a, b = (write_rows(tmp_path / f, [{"id": "x1", "claim": f, "label": 1}]) for f in ("a.jsonl", "b.jsonl"))
    refused(tmp_path, DataError, "ids stand in more than one file: x1", [a, b], tmp_path / "out")


def test_an_interruption_leaves_nothing(mine, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("medverdict.data.prepare.audit", interrupt)
    refused(tmp_path, KeyboardInterrupt, None, [mine], tmp_path / "out")


def test_a_full_disk(mine, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medverdict.files.os.fsync", full)
    refused(tmp_path, RunError, "no space left on the disk", [mine], tmp_path / "out")


def test_a_split_that_was_edited_afterwards(mine, tmp_path):
    prepare([mine], tmp_path / "out")
    train = tmp_path / "out" / "train.jsonl"
    train.write_text(train.read_text(encoding="utf-8").replace("TRUE", "FALSE", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"train\.jsonl: changed since it was prepared"):
        load_prepared(tmp_path / "out")


def test_a_folder_that_was_not_prepared(tmp_path):
    with pytest.raises(DataError, match=r"has no manifest\.json"):
        load_prepared(tmp_path)


def test_a_prepared_folder_without_its_audit_can_be_read_but_not_trained_on(mine, tmp_path):
    prepare([mine], tmp_path / "out")
    (tmp_path / "out" / "audit.json").unlink()
    stored = load_prepared(tmp_path / "out")
    with pytest.raises(LeakError, match="have no audit"):
        require_clean(stored.audit, stored.splits)
