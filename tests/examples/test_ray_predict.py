"""examples/ray_predict.py on two workers, one of which is killed midway; other columns stay as they are."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from medverdict.app.predict import PredictOptions, predict

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ray_predict.py"
ROWS = 40_000


def workers():
    """Process ids of Ray Data's workers on this machine."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.add(int(folder.name))
        except OSError:
            continue  # it ended meanwhile
    return found


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason='no Ray here; pip install "ray[data]" to run it'
    ),
]


def started(run, claims, judged):
    """The example at work, with what it prints on stdout."""
    command = [sys.executable, EXAMPLE, "--run", run, "--input", claims, "--output", judged]
    return subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path, tiny_run, cpu):
    claims = tmp_path / "claims.csv"
    with claims.open("w", encoding="utf-8", newline="") as file:
        rows = ((f"{n:06d}", f"Thuốc {n}, có tác dụng {'tốt' if n % 2 else 'xấu'}.") for n in range(ROWS))
        csv.writer(file).writerows([("id", "claim"), *rows])
    others, log, killed = workers(), "", False
    job = started(tiny_run, claims, tmp_path / "judged.csv")
    for line in job.stdout:
        log += line
        if not killed and re.search(r"MapBatches\(Judge\): [1-9]", line):
            os.kill(min(workers() - others), signal.SIGKILL)
            killed = True
    assert job.wait() == 0 and killed and f"{ROWS} rows judged" in log, log[-3000:]
    judged = [
        row for path in (tmp_path / "judged.csv").iterdir() for row in csv.DictReader(path.open(encoding="utf-8"))
    ]
    with predict(claims, PredictOptions(tiny_run)).out.open(encoding="utf-8") as file:
        expected = {row["id"]: row for row in csv.DictReader(file)}
    assert Counter(row["id"] for row in judged) == Counter(expected.keys())
    for row in judged:
        assert row["claim"] == expected[row["id"]]["claim"] and row["verdict"] == expected[row["id"]]["verdict"]


def test_other_columns_of_json_lines_stay_as_they_are(tmp_path, tiny_run):
    """Not a number out of 007, a time out of a date, or 1.0 out of 1 where another row has none."""
    rows = [
        {"id": "007", "claim": "Được.", "day": "2024-01-01", "count": 12345678901234567, "share": 0.123456789012345},
        {"id": "8e1", "claim": "Không.", "day": "2024-02-30", "count": None, "share": 1.5},
    ] * 20
    claims = tmp_path / "claims.jsonl"
    claims.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    job = started(tiny_run, claims, tmp_path / "judged.jsonl")
    log, _ = job.communicate()
    assert job.returncode == 0 and f"{len(rows)} rows judged" in log, log[-3000:]
    lines = [line for path in (tmp_path / "judged.jsonl").iterdir() for line in path.read_text("utf-8").splitlines()]
    judged = sorted(map(json.loads, lines), key=lambda row: row["id"])
    for row in judged:
        assert row.pop("verdict") in ("TRUE", "FALSE") and 0 < row.pop("p_true") < 1
    assert judged == sorted(rows, key=lambda row: row["id"])
