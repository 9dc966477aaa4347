"""The audit of dependencies: what was found, what was not asked, and that only a whole answer without a find passes."""

import subprocess

import audit
import pytest

CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
VULNERABLE = {
    "name": "urllib3",
    "version": "1.26.0",
    "vulns": [{"id": "PYSEC-2021-108", "aliases": ["CVE-2021-33503"], "fix_versions": ["1.26.5"]}],
}
SILENT = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}


def test_a_vulnerability_is_named_with_its_fix_and_fails_even_where_other_answers_are_missing():
    text, code = audit.verdict([CLEAN, VULNERABLE, SILENT])
    assert code == 1
    assert "VULNERABLE urllib3 1.26.0: PYSEC-2021-108, CVE-2021-33503; fixed in 1.26.5" in text
    assert "2 of 3 locked packages audited" in text and "NOT AUDITED, because no answer came: torch" in text


def test_a_package_without_an_answer_is_named_and_does_not_pass():
    text, code = audit.verdict([CLEAN, SILENT])
    assert code == 2
    assert "1 of 2 locked packages audited" in text and "no answer came: torch" in text and "VULNERABLE" not in text


@pytest.mark.parametrize(("answers", "code"), [([CLEAN], 0), ([], 2)])
def test_only_answers_pass(answers, code):
    assert audit.verdict(answers)[1] == code


def test_where_the_index_cannot_be_reached_every_package_of_the_lock_is_named(tmp_path, monkeypatch):
    lock = tmp_path / "some.lock"
    lock.write_text("# hash\nrich==15.0.0 \\\n    --hash=sha256:00\nnumpy==2.4.6 ; python_version < '3.12' \\\n")
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Connection refused\n")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: failed)
    reason = "Connection refused"
    assert audit.ask(lock) == [{"name": name, "skip_reason": reason} for name in ("rich", "numpy")]
