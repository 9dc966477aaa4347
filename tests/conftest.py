"""Fixtures for every room."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from medverdict import claims
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Claim, Recipe

if TYPE_CHECKING:
    from medverdict.model.bases import BaseFolder
    from medverdict.model.precision import Placement

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-real", action="store_true", help="fail, not skip, where real base or data is absent")


def absent(request: pytest.FixtureRequest, reason: str) -> NoReturn:
    """Skip with a reason, or fail where `--require-real` asks for the real thing."""
    if request.config.getoption("--require-real"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command in this process; exit code, stdout and stderr with line breaks as spaces."""

    from medverdict.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["medverdict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, " ".join(err.split())

    return call


@pytest.fixture(scope="session")
def shared_data(request: pytest.FixtureRequest) -> Path:
    """Third-party files for measuring; they are not part of the repository."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        absent(request, "third-party measuring files are not beside this checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def real_base(request: pytest.FixtureRequest) -> BaseFolder:
    """The 0.5B base that a mirror holds, from the cache: a test downloads nothing."""
    from medverdict.model.bases import cached

    ready = cached("qwen2.5-coder-0.5b")
    if ready is None:
        absent(request, "qwen2.5-coder-0.5b is not cached; `medverdict bases fetch qwen2.5-coder-0.5b` gets it")
    return ready


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseFolder:
    """A random two-layer Qwen2 in a folder of its own."""
    from medverdict.model.bases import fetch
    from tiny import make_tiny_base  # here, because the light rooms are tested without torch

    return fetch(str(make_tiny_base(tmp_path_factory.mktemp("tiny-base"))))


@pytest.fixture(scope="session")
def cpu() -> Placement:
    """Exact arithmetic: what a test compares should not hang on rounding."""
    import torch

    torch.set_num_threads(1)  # faster than two for matrices this small
    from medverdict.model.precision import Placement

    return Placement(torch.device("cpu"), "fp32")


@pytest.fixture(scope="session")
def tiny_run(tiny_base: BaseFolder, cpu: Placement, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run trained on the tiny base, to be used and not changed."""
    from tiny_run import make_tiny_run

    return make_tiny_run(tiny_base, cpu, tmp_path_factory.mktemp("tiny-run"))


@pytest.fixture
def toy_recipe(tiny_base: BaseFolder) -> Recipe:
    """LoRA on the tiny base, two short epochs."""
    settings = ["epochs=2", "batch_size=4", "lora_rank=4", "learning_rate=1e-2", "warmup_ratio=0"]
    return load_recipe("quickstart", [*settings, f"base={tiny_base.path}"])


@pytest.fixture
def few_claims(tmp_path: Path) -> Path:
    """File with the first sixty claims of one of our own: enough for every split, and soon trained on."""
    rows = claims.training_files()[0].read_text(encoding="utf-8").splitlines(keepends=True)[:60]
    path = tmp_path / "few.jsonl"
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def toy_claims() -> list[Claim]:
    """Forty claims of uneven length whose label hangs on one word, so that even a tiny model can learn it."""
    claims = []
    for number in range(40):
        label = "TRUE" if number % 2 else "FALSE"
        word = "tốt" if label == "TRUE" else "xấu"
        text = f"Thuốc {number} có tác dụng {word}" + " cho người bệnh" * (number % 3) + "."
        claims.append(Claim(id=f"toy:{number}", text=text, label=label, group=f"g{number}", topic="toy"))
    return claims
