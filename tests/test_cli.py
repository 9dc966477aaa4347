"""The command line as a user meets it: exit codes, messages, and nothing half-written."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from medverdict.errors import NOT_ADVICE

ROWS = [
    {"claim": f"Thuốc số {n} chữa được bệnh số {n * 7 % 101}.", "label": "TRUE" if n % 2 else "FALSE"}
    for n in range(60)
]


@pytest.fixture
def claims_file(tmp_path):
    path = tmp_path / "claims.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    return path


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


LONG = {"claim": "dài " * 5000, "label": "TRUE"}
BAD_FILES = {
    "empty": (b"", "empty"),
    "broken JSON": (lines(*ROWS[:2]) + b'{"claim": \n', "line 3"),
    "missing column": (lines({"sentence": "a", "label": "TRUE"}), "claim"),
    "unknown label": (lines(*ROWS[:4], {"claim": "a", "label": "có lẽ"}), "có lẽ"),
    "not UTF-8": ("claim,label\nBệnh lao,TRUE\n".encode("utf-16"), "UTF-8"),
    "one class only": (lines(*[row | {"label": "TRUE"} for row in ROWS]), "TRUE"),
    "three rows": (lines(*ROWS[:3]), "3"),
    "duplicate ids": (lines(*[row | {"id": "x"} for row in ROWS]), "id"),
    "only one claim, and that too long": (lines(LONG), "longer"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_answered_with_its_fault_and_leaves_nothing(run, tmp_path, fault):
    content, word = BAD_FILES[fault]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    code, _, err = run("prepare", path, "--out", tmp_path / "out")
    assert code == 2
    assert word in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_there_is_named(run, tmp_path):
    code, _, err = run("prepare", tmp_path / "none.csv", "--out", tmp_path / "out")
    assert code == 2 and "none.csv" in err
    assert not (tmp_path / "out").exists()


def test_a_claim_beyond_the_limit_is_dropped_with_its_reason(run, tmp_path, claims_file):
    claims_file.write_bytes(claims_file.read_bytes() + lines(LONG))
    code, out, _ = run("prepare", claims_file, "--out", tmp_path / "out")
    assert code == 0
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in dropped if "longer" in row["reason"]] == [
        (61, "longer than 2000 characters")
    ]
    assert "longer than 2000 characters" in out


def test_an_output_folder_that_exists_is_kept(run, tmp_path, claims_file):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("kept")
    code, _, err = run("prepare", claims_file, "--out", tmp_path / "out")
    assert code == 2 and "exists and is not empty" in err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["precious"]


def test_a_full_disk_is_said_and_leaves_nothing(run, tmp_path, claims_file, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("prepare", claims_file, "--out", tmp_path / "out")
    assert code == 2 and "no space left" in err
    assert list(tmp_path.iterdir()) == [claims_file]


@pytest.fixture
def prepared(run, tmp_path, claims_file):
    code, _, err = run("prepare", claims_file, "--out", tmp_path / "data")
    assert code == 0, err
    return tmp_path / "data"


def test_unknown_recipe_keys_are_named_all_at_once(run, tmp_path, prepared):
    command = ("train", "quickstart", "--data", prepared, "--out", tmp_path / "run")
    code, _, err = run(*command, "--set", "epoch=1", "--set", "lerning_rate=1")
    assert code == 2
    assert "epoch: unknown key" in err and "lerning_rate: unknown key; did you mean learning_rate?" in err


def test_an_unknown_base_is_answered_with_the_known_ones(run, tmp_path, prepared):
    code, _, err = run(
        "train", "quickstart", "--data", prepared, "--out", tmp_path / "run", "--base", "qwen2.5-coder-0.5"
    )
    assert code == 2 and "qwen2.5-coder-0.5b" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("base", ["tinyllama-1.1b", "qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct"])
def test_a_base_over_the_budget_is_refused_before_any_download(run, tmp_path, prepared, base):
    code, _, err = run("train", "quickstart", "--data", prepared, "--out", tmp_path / "run", "--base", base)
    assert code == 3
    assert "over the budget of 1,000,000,000" in err
    assert not (tmp_path / "run").exists()


def test_training_without_a_clean_audit_is_refused(run, tmp_path, prepared, tiny_base):
    (prepared / "audit.json").unlink()
    command = ("train", "quickstart", "--data", prepared, "--out", tmp_path / "run", "--base", tiny_base.path)
    code, _, err = run(*command)
    assert code == 3 and "audit" in err
    assert run(*command, "--despite-leak")[0] == 0
    overrides = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["overrides"]
    assert len(overrides) == 1 and "audit" in overrides[0]


def test_a_leak_between_two_files_ends_with_3(run, tmp_path, claims_file):
    other = tmp_path / "test.jsonl"
    other.write_bytes(lines(*ROWS[10:20]))
    assert run("audit", claims_file, other)[0] == 3
    other.write_bytes(
        lines({"claim": "Chim bồ câu bay.", "label": "TRUE"}, {"claim": "Cá voi đẻ trứng.", "label": "FALSE"})
    )
    assert run("audit", claims_file, other)[0] == 0


@pytest.fixture
def heard_ctrl_c():
    """Where tests run in the background, a shell may have told them to ignore it, and their children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_ctrl_c")
@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_a_polite_kill_leave_nothing(tmp_path, prepared, tiny_base, told, code):
    command = [sys.executable, "-m", "medverdict", "train", "quickstart", "--data", prepared, "--out", tmp_path / "run"]
    command += ["--base", tiny_base.path, "--set", "epochs=10000"]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "supervised" in line:
                break
        process.send_signal(told)
        rest = process.stderr.read()
    assert process.returncode == code
    assert ("interrupted" in rest) == (told == signal.SIGINT) and "Traceback" not in rest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claims.jsonl", "data"]


def test_train_evaluate_compare_and_mistakes_run_through(run, tmp_path, prepared, tiny_base):
    run_a, run_b = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    for folder, recipe in ((run_a, "v5-optimized"), (run_b, "zero-shot")):
        code, _, err = run("train", recipe, "--data", prepared, "--out", folder, "--base", tiny_base.path)
        assert code == 0, err
    test = prepared / "test.jsonl"
    code, out, err = run("evaluate", "--version", "v5-optimized", test, "--runs", tmp_path / "runs", "--json")
    assert code == 0, err
    titles = {system["title"] for system in json.loads(out)["systems"]}
    assert {"Always TRUE", "Keyword rule", "TF-IDF + logistic regression", "Same base, untrained"} <= titles
    assert len(list(run_a.glob("evaluations/test-*/report.html"))) == 1

    stored = next(run_a.glob("evaluations/test-*/report.json"))
    before = stored.read_bytes()
    code, out, err = run("report", run_a)
    assert code == 0 and NOT_ADVICE in out, err
    assert stored.read_bytes() == before

    code, out, err = run("compare", run_a, run_b, test)
    assert code == 0 and "no detectable difference" in " ".join(out.lower().split()), err
    code, out, err = run("compare", run_a, "baseline:zero-shot", test, "--json")
    assert code == 0 and json.loads(out)["b"] == "baseline:zero-shot", err
    code, _, err = run("compare", run_a, "baseline:oracle", test)
    assert code == 2 and "baseline:tfidf-logistic" in err
    code, out, err = run("mistakes", run_a, "--json")
    assert code == 0 and json.loads(out)["n"] == len(test.read_text().splitlines())
    code, _, err = run("evaluate", "--version", "v4-chunked", test, "--runs", tmp_path / "runs")
    assert code == 2 and "v5-optimized" in err


def test_a_leak_is_said_where_the_score_is_said(run, tmp_path, prepared, tiny_base):
    run("train", "quickstart", "--data", prepared, "--out", tmp_path / "run", "--base", tiny_base.path)
    code, out, err = run("evaluate", tmp_path / "run", prepared / "train.jsonl")
    assert code == 0, err
    assert "leak" in out.lower()
    assert '"clean": false' in next(tmp_path.glob("run/evaluations/*/report.json")).read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_named(run, tmp_path, claims_file):
    code, _, err = run("evaluate", tmp_path / "nowhere", claims_file)
    assert code == 2 and "not a finished run" in err


def test_baselines_need_no_run(run, claims_file):
    code, out, _ = run("baselines", claims_file, "--train", claims_file, "--json")
    assert code == 0
    assert json.loads(out)["Always TRUE"]["value"] == pytest.approx(0.5)


def test_verdicts_never_come_without_the_warning(run, tmp_path, prepared, tiny_base):
    run("train", "zero-shot", "--data", prepared, "--out", tmp_path / "run", "--base", tiny_base.path)
    _, out, _ = run("evaluate", tmp_path / "run", prepared / "test.jsonl")
    assert NOT_ADVICE in " ".join(out.split())


def test_a_mistyped_option_is_the_users_mistake(run):
    assert run("train", "--dta", "x")[0] == 2
    assert run("trian")[0] == 2
