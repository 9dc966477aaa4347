"""Write the three lock files from pyproject.toml; run by `make lock`.

Three, because the index's Linux build of torch needs several gigabytes of CUDA packages and the CPU build
none of them. `requirements.lock` serves both; `requirements-torch.lock` names the hashes of both builds, so
that a local folder of wheels (PIP_FIND_LINKS) can offer the small one; `requirements-cuda.lock` is installed
only where the torch that arrived asks for it, which `make` finds out with `pip check`.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

TORCH = "2.13.0"
# torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl: a CPU build has another hash than the index shows.
CPU_BUILD_HASHES = ("6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",)
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
    done = subprocess.run(command, check=False, cwd=root, input=f"torch=={TORCH}\n", capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"uv could not resolve pyproject.toml:\n{done.stderr}")
    return done.stdout


def requirements(text: str) -> list[str]:
    """Cut a compiled file into one string a package, its hash lines included."""
    return [part for part in re.split(r"(?m)^(?=[a-z0-9])", text) if "==" in part]


def with_cpu_hashes(requirement: str) -> str:
    """Let torch's requirement accept the CPU build too."""
    extra = "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_BUILD_HASHES)
    return requirement.rstrip("\n") + extra + "\n"


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    header = HEADER.format(digest=hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest())
    packages = requirements(compile_all(root))
    cuda = [package for package in packages if CUDA_PACKAGE.match(package)]
    torch = [with_cpu_hashes(package) for package in packages if package.startswith(f"torch=={TORCH}")]
    rest = [package for package in packages if package not in cuda and not package.startswith("torch==")]
    for name, part in (("", rest), ("-torch", torch), ("-cuda", cuda)):
        (root / f"requirements{name}.lock").write_text(header + "".join(part), encoding="utf-8")


if __name__ == "__main__":
    main()
