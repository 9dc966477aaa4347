"""examples/ray_predict.py on two workers, one of which is killed midway."""

import csv
import importlib.util
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


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='no Ray here; pip install "ray[data]" to run it')
def test_a_killed_worker_loses_and_doubles_nothing(tmp_path, tiny_run, cpu):
    claims = tmp_path / "claims.csv"
    with claims.open("w", encoding="utf-8", newline="") as file:
        rows = ((f"{n:06d}", f"Thuốc {n}, có tác dụng {'tốt' if n % 2 else 'xấu'}.") for n in range(ROWS))
        csv.writer(file).writerows([("id", "claim"), *rows])
    others, log, killed = workers(), "", False
    command = [sys.executable, EXAMPLE, "--run", tiny_run, "--input", claims, "--output", tmp_path / "judged.csv"]
    job = subprocess.Popen(
        list(map(str, command)),
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
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
