"""Ask for known vulnerabilities of every locked version that this machine would install; run by `make audit-deps`.

pip-audit does the asking, of the package index. Where the index knows a package but not its vulnerabilities, as mirrors
often do, pip-audit leaves the package out and closes with "No known vulnerabilities found"; with --strict it stops at
the first such package. Here each one is named, and the audit does not pass.

Exit codes: 0 an answer came for every package and names no vulnerability; 1 a known vulnerability; 2 none among the
answers, but some did not come.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-torch.lock", "requirements-cuda.lock")


def ask(lock: Path) -> list[dict[str, Any]]:
    """pip-audit's answer for each package: `name` with `version` and `vulns`, or with `skip_reason`."""
    options = ("--require-hashes", "--disable-pip", "--format", "json")
    command = [sys.executable, "-m", "pip_audit", *options, "-r", str(lock)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:  # no network, for one: it then prints no JSON at all
        names = re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
        return [{"name": name, "skip_reason": done.stderr.strip()[-500:]} for name in names]
    return answers


def verdict(answers: list[dict[str, Any]]) -> tuple[str, int]:
    """What to print, and the exit code."""
    audited = [answer for answer in answers if "vulns" in answer]
    silent = [answer for answer in answers if "vulns" not in answer]
    found = [(answer, vulnerability) for answer in audited for vulnerability in answer["vulns"]]
    lines = [f"{len(audited)} of {len(answers)} locked packages audited; known vulnerabilities in them: {len(found)}"]
    for answer, vulnerability in found:
        names = ", ".join([vulnerability["id"], *vulnerability.get("aliases", [])])
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        lines.append(f"VULNERABLE {answer['name']} {answer['version']}: {names}; fixed in {fixed}")
    if silent:
        text = f"NOT AUDITED, because no answer came: {', '.join(answer['name'] for answer in silent)}"
        lines += [*textwrap.wrap(text, 118, break_on_hyphens=False), f"The first reason: {silent[0]['skip_reason']}"]
    return "\n".join(lines), 1 if found else 2 if silent or not audited else 0


def main() -> int:
    """Ask about every lock and print what came."""
    text, code = verdict([answer for name in LOCKS for answer in ask(ROOT / name)])
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
