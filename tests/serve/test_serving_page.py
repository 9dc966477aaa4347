"""docs/serving.md: every example runs, and every limit is the one in the code."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from medverdict.errors import NOT_ADVICE
from medverdict.serve.limits import Limits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
SERVER = "http://127.0.0.1:8000"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
def test_the_curl_examples_run(address):
    script = "set -e\n" + "\necho\n".join(blocks("sh")).replace("\n\n", "\necho\n").replace(SERVER, address)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    one, several, rest = [*done.stdout.split("\n", 2)]
    assert len(json.loads(one)["answers"]) == 1 and len(json.loads(several)["answers"]) == 2
    assert '"golden_rows":20' in rest and '"status":"ok"' in rest
    assert set(json.loads(one)) == set(json.loads(blocks("json")[0]))


def test_the_python_example_runs(address, capsys):
    (code,) = blocks("python")
    exec(compile(code.replace(SERVER, address), "docs/serving.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.split()[0] in ("TRUE", "FALSE") for line in lines)


def test_the_limits_are_those_of_the_code():
    table = PAGE[PAGE.index("## Limits") :]
    for number, unit in (
        (Limits.body_seconds, "s"),
        (Limits.body_bytes, "bytes"),
        (Limits.claims, "claims"),
        (Limits.characters, "characters"),
        (Limits.requests, "requests"),
        (Limits.waiting, "claims that wait"),
        (Limits.seconds, "s"),
    ):
        assert f"{number:,.0f} {unit}" in table


def test_the_warning_stands_first():
    assert NOT_ADVICE in " ".join(PAGE.replace("\n>", "").split())[:300]
