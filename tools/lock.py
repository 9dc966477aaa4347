"""Write requirements.lock and requirements-cuda.lock from pyproject.toml.

Run by `make lock`. Two files, because the index's Linux build of torch needs several gigabytes of CUDA
packages and its CPU build needs none of them: the first file serves both, the second is installed only
where the torch that arrived asks for it (`make` finds that out with `pip check`).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

TORCH = "2.13.0"
# The CPU builds carry other hashes than the index's own files; a lock that names both accepts either.
CPU_BUILD_HASHES = {
    "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
}
CUDA_PACKAGE = re.compile(r"^(nvidia-|cuda-|triton==)")
HEADER = """\
# Exact versions and hashes; written by `make lock` from pyproject.toml, not by hand.
# pyproject.toml sha256: {digest}
"""


def compile_all(root: Path) -> str:
    """All extras, resolved for every platform, with the hash of each file the index offers."""
    command = [
        *("uv", "pip", "compile", "pyproject.toml", "--all-extras", "--generate-hashes", "--universal"),
        *("--python-version", "3.11", "--no-annotate", "--no-header", "--constraint", "-"),
    ]
    done = subprocess.run(command, cwd=root, input=f"torch=={TORCH}\n", capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"uv could not resolve pyproject.toml:\n{done.stderr}")
    return done.stdout


def requirements(text: str) -> list[str]:
    """Cut a compiled file into one string a package, its hash lines included."""
    return [part for part in re.split(r"(?m)^(?=[a-z0-9])", text) if "==" in part]


def with_cpu_hashes(requirement: str) -> str:
    if not requirement.startswith(f"torch=={TORCH}"):
        return requirement
    extra = "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_BUILD_HASHES.values())
    return requirement.rstrip("\n") + extra + "\n"


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    header = HEADER.format(digest=hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest())
    packages = requirements(compile_all(root))
    cuda = [package for package in packages if CUDA_PACKAGE.match(package)]
    rest = [with_cpu_hashes(package) for package in packages if package not in cuda]
    (root / "requirements.lock").write_text(header + "".join(rest), encoding="utf-8")
    (root / "requirements-cuda.lock").write_text(header + "".join(cuda), encoding="utf-8")


if __name__ == "__main__":
    main()
