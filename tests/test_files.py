import errno
import json

import pytest

from medverdict.errors import DataError, RunError
from medverdict.files import atomic_write, new_folder, read_records, sha256_file, write_jsonl
from medverdict.records import Claim

CLAIMS = [Claim(id="1", text="Sốt là triệu chứng.", label="TRUE"), Claim(id="2", text="Ho là thuốc.", label="FALSE")]


def test_records_come_back_as_they_went(tmp_path):
    digest = write_jsonl(tmp_path / "claims.jsonl", CLAIMS)
    assert read_records(tmp_path / "claims.jsonl", Claim) == CLAIMS
    assert digest == sha256_file(tmp_path / "claims.jsonl")


def test_a_line_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "claims.jsonl"
    path.write_text(json.dumps({"id": "1", "text": "a", "label": "TRUE"}) + '\n{"id": "2"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 2"):
        read_records(path, Claim)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_fails_halfway_is_gone(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "run") as folder:
        (folder / "half").write_text("written")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused_before_any_work(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").write_text("kept")
    with pytest.raises(RunError, match="exists and is not empty"), new_folder(tmp_path / "run"):
        pytest.fail("work began")
    assert (tmp_path / "run" / "kept").read_text() == "kept"


def test_a_full_disk_is_said_in_words(tmp_path):
    with pytest.raises(RunError, match="no space left"), atomic_write(tmp_path / "big"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
