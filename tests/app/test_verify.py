"""`verify` as a user meets it."""

import io
import json
import sys
import unicodedata

import pytest

from medverdict.cli import main
from medverdict.errors import NOT_ADVICE, RunError
from medverdict.predict.shipped import shipped_run

CLAIM = "Bệnh lao lây qua đường hô hấp."


@pytest.fixture
def run(capsys, monkeypatch, tiny_run):
    def call(*words, stdin=None):
        monkeypatch.setattr(sys, "argv", ["medverdict", "verify", "--run", str(tiny_run), *words])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8"))))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, " ".join(err.split())

    return call


def test_a_claim_gets_its_verdict_probability_and_the_warning(run):
    code, out, err = run(CLAIM)
    assert code == 0, err
    assert out.split()[0] in ("TRUE", "FALSE") and "P(TRUE) 0." in out and CLAIM in out
    assert NOT_ADVICE in err


def test_decomposed_unicode_and_stray_spaces_change_nothing(run):
    expected = run(CLAIM, "--json")[1]
    assert run(unicodedata.normalize("NFD", CLAIM), "--json")[1] == expected
    assert run(f"  {CLAIM.replace(' ', '  ')}\n", "--json")[1] == expected


def test_several_claims_and_stdin_come_back_in_their_order(run):
    claims = ["Thuốc 1 có tác dụng tốt.", CLAIM, "Thuốc 2 có tác dụng xấu cho người bệnh."]
    answers = json.loads(run(*claims, "--json")[1])
    assert [a["claim"] for a in answers] == claims
    assert all(set(a) == {"claim", "verdict", "p_true"} and 0 <= a["p_true"] <= 1 for a in answers)
    assert json.loads(run("--json", stdin="\n\n".join(claims))[1]) == answers
    assert json.loads(run("-", "--json", stdin="\n\n".join(claims))[1]) == answers


def test_it_abstains_only_when_asked_to(run, tiny_run):
    claims = [f"Thuốc {n} có tác dụng." for n in range(30)] + ["Trời xanh.", "Ho.", "Sốt cao kéo dài nên đi khám."]
    never = {a["verdict"] for a in json.loads(run(*claims, "--json")[1])}
    asked = json.loads(run(*claims, "--json", "--abstain")[1])
    below = json.loads((tiny_run / "run.json").read_text(encoding="utf-8"))["calibration"]["abstain_below"]
    assert "ABSTAIN" not in never
    assert {a["verdict"] == "ABSTAIN" for a in asked if max(a["p_true"], 1 - a["p_true"]) < below - 1e-5} <= {True}
    assert "ABSTAIN" in {a["verdict"] for a in asked}


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [(["", CLAIM], None, "claim 1"), ([CLAIM, "dài " * 3000], None, "claim 2"), ([], "\n \n", "no claim in it")],
)
def test_what_cannot_be_judged_is_named(run, words, stdin, told):
    code, out, err = run(*words, stdin=stdin)
    assert code == 2 and told in err and not out and "Traceback" not in err


def test_without_a_shipped_model_it_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="--run"):
        shipped_run(tmp_path)


def test_the_shipped_model_is_the_one_on_the_shelf(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "run.json").touch()
    assert shipped_run(tmp_path) == tmp_path / "a"
    (tmp_path / "b" / "run.json").touch()
    with pytest.raises(RunError, match="holds 2 models"):
        shipped_run(tmp_path)
