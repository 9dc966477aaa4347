"""A journal gives back what was kept, and only what was kept whole and of the same job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medverdict.predict.journal import Journal

JOB = {"file": "a", "run": "r"}


def test_what_is_appended_comes_back_bit_for_bit(tmp_path):
    journal = Journal(tmp_path / "j", JOB)
    assert journal.open() == 0
    journal.append([0.1, -1e-300])
    journal.append([3.0])
    assert Journal(tmp_path / "j", JOB).open() == 3
    assert list(journal.margins()) == [0.1, -1e-300, 3.0]


@given(cut=st.integers(0, 200))
def test_a_cut_anywhere_leaves_whole_chunks(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "j"
    journal = Journal(path, JOB)
    journal.open()
    journal.append([1.0, 2.0])
    journal.append([3.0, 4.0])
    path.write_bytes(path.read_bytes()[:cut])
    done = Journal(path, JOB).open()
    assert done in (0, 2, 4)
    journal.append([9.0])
    assert list(journal.margins()) == [*[1.0, 2.0, 3.0, 4.0][:done], 9.0]


@pytest.mark.parametrize("other", [{"file": "b", "run": "r"}, {"file": "a", "run": "q"}])
def test_a_journal_of_another_job_does_not_count(tmp_path, other):
    journal = Journal(tmp_path / "j", JOB)
    journal.open()
    journal.append([1.0])
    assert Journal(tmp_path / "j", other).open() == 0
