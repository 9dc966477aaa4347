"""Readers against hostile files: an answer or our own error, soon, and nothing written anywhere else."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from torch import nn

from damage import damaged
from medverdict.data.audit import require_clean
from medverdict.data.prepare import load_prepared, prepare
from medverdict.data.read import read_claims, read_split
from medverdict.errors import DataError, MedverdictError, RecipeError
from medverdict.files import read_records
from medverdict.model.bases import fetch
from medverdict.model.dequantise import dequantise
from medverdict.model.gguf_file import read_gguf
from medverdict.model.lora import load_adapter
from medverdict.model.verifier import Verifier
from medverdict.predict.load import check_files, read_run
from medverdict.recipes.recipe import load_recipe, recipe_text
from medverdict.records import HistoryRow, Prediction
from medverdict.train.checkpoint import write_checkpoint
from medverdict.train.identity import Identity, identify
from medverdict.train.manifest import Job
from medverdict.train.plain import PlainEngine
from medverdict.train.run import train_run
from medverdict.train.schedule import learning_rate_at, plan_steps, step_rows
from medverdict.train.session import begin
from medverdict.train.watch import DevSet
from medverdict.train.work import WorkFolder
from medverdict.train.world import ALONE
from model.tiny_gguf import write_tiny_gguf

PATIENCE = 5.0
"""Seconds for one file of some kilobytes."""
LONG_PATIENCE = 60.0
"""Seconds for one of a hundred megabytes."""


@dataclass(frozen=True)
class Sound:
    """One sound file of every kind, and what is needed to read some of them."""

    at: Path
    model: nn.Module
    identity: Identity


@dataclass(frozen=True)
class Target:
    """One of the sound files, and who reads it."""

    file: str
    read: Callable[[Sound], object]
    head: int = 0
    """Bytes in which most edits fall; 0 where all places are alike."""


def follow_recipe(path: Path) -> None:
    """Read a recipe, and do the arithmetic that it asks for on a thousand rows."""
    recipe = load_recipe(str(path))
    plan = plan_steps(1000, recipe)
    for step in (0, plan.steps // 2, plan.steps - 1):
        learning_rate_at(step, plan, recipe)
        step_rows(step, plan, recipe.seed)


def open_prepared(folder: Path) -> None:
    """Read a prepared folder as `train` does."""
    splits, audit = load_prepared(folder)
    require_clean(audit, splits, override=False)


TARGETS = {
    "claims, JSONL": Target("claims.jsonl", lambda s: read_claims(s.at / "claims.jsonl")),
    "claims, CSV": Target("claims.csv", lambda s: read_claims(s.at / "claims.csv")),
    "stored split": Target("data/dev.jsonl", lambda s: read_split(s.at / "data/dev.jsonl")),
    "prepared manifest": Target("data/manifest.json", lambda s: open_prepared(s.at / "data")),
    "stored audit": Target("data/audit.json", lambda s: open_prepared(s.at / "data")),
    "recipe": Target("mine.toml", lambda s: follow_recipe(s.at / "mine.toml")),
    "run manifest": Target("run/run.json", lambda s: check_files(s.at / "run", read_run(s.at / "run"))),
    "predictions": Target("run/dev.jsonl", lambda s: read_records(s.at / "run/dev.jsonl", Prediction)),
    "history": Target("run/history.jsonl", lambda s: read_records(s.at / "run/history.jsonl", HistoryRow)),
    "adapter": Target("run/adapter_model.safetensors", lambda s: load_adapter(s.model, s.at / "run"), head=1500),
    "GGUF header": Target("base.gguf", lambda s: read_gguf(s.at / "base.gguf"), head=1500),
    "GGUF whole": Target("base.gguf", lambda s: dequantise(s.at / "base.gguf", s.at / "out"), head=30_000),
    "base configuration": Target("base/config.json", lambda s: fetch(str(s.at / "base"))),
    "base weights": Target("base/model.safetensors", lambda s: fetch(str(s.at / "base")), head=1500),
    "checkpoint manifest": Target(
        "cut/step-00000000/manifest.json", lambda s: WorkFolder(s.at / "cut").newest(s.identity)
    ),
    "checkpoint state": Target("cut/step-00000000/state.json", lambda s: WorkFolder(s.at / "cut").newest(s.identity)),
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory, tiny_base, cpu):
    """Written by the code that writes such files for users."""
    at = tmp_path_factory.mktemp("sound")
    rows = [{"claim": f"Thuốc {n} chữa bệnh {n * 7 % 41}.", "label": "TRUE" if n % 2 else "FALSE"} for n in range(40)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (at / "claims.jsonl").write_text(lines, encoding="utf-8")
    cells = "".join(f'"{row["claim"]}",{row["label"]}\n' for row in rows[:8])
    (at / "claims.csv").write_text("claim,label\n" + cells, encoding="utf-8")
    (at / "mine.toml").write_text(recipe_text("quickstart"), encoding="utf-8")
    prepare([at / "claims.jsonl"], at / "data")
    shutil.copytree(tiny_base.path, at / "base")
    write_tiny_gguf(at / "base", at / "base.gguf")
    changes = ["epochs=1", "batch_size=16", "lora_rank=2", f"base={json.dumps(str(at / 'base'))}"]
    splits = load_prepared(at / "data").splits
    job = Job(load_recipe("quickstart", changes), tiny_base, splits["train"], splits["dev"], "data", ())
    train_run(job, cpu, at / "run")
    verifier = Verifier.load(tiny_base, job.recipe, cpu)
    engine = PlainEngine(verifier, job.recipe)
    identity = identify(job, verifier, engine, ALONE)
    session = begin(verifier, engine, DevSet(verifier, job.dev.claims), identity)
    write_checkpoint(at / "cut" / "step-00000000", session.snapshot())
    return Sound(at, verifier.model, identity)


@pytest.mark.parametrize("examples", [50, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_answered_or_refused_in_our_own_words(sound, tmp_path, name, examples):
    target = TARGETS[name]
    mine = replace(sound, at=tmp_path / "at")
    shutil.copytree(sound.at, mine.at)
    content = (sound.at / target.file).read_bytes()
    tried = []

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=damaged(content, target.head))
    def attack(data):
        (mine.at / target.file).parent.mkdir(exist_ok=True, parents=True)
        (mine.at / target.file).write_bytes(data)
        started = time.monotonic()
        try:
            target.read(mine)
        except MedverdictError as error:
            assert str(error)
        assert time.monotonic() - started < PATIENCE
        tried.append(len(data))

    target.read(mine)
    attack()
    shutil.rmtree(mine.at / "out", ignore_errors=True)
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*")} == {
        Path("at"),
        *(Path("at") / p.relative_to(sound.at) for p in sound.at.rglob("*")),
    }
    print(f"\n{name}: {len(tried)} files, {sum(tried):,} bytes")


# --- what the fuzzer and its author found


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "{a=" * 5000, '"\\ud800"'])
def test_a_recipe_of_bottomless_brackets_or_endless_digits_is_a_wrong_recipe(tmp_path, value):
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("quickstart") + f"\nextra = {value}\n", encoding="utf-8")
    with pytest.raises(RecipeError):
        load_recipe(str(path))
    with pytest.raises(RecipeError):
        load_recipe("quickstart", [f"epochs={value}"])


@pytest.mark.parametrize(
    "setting", ["seed=-1", f"seed={2**32}", "epochs=1e308", "batch_size=99999999999999999999", "lora_rank=1000000000"]
)
def test_numbers_that_no_machine_can_follow_are_refused_by_name(setting):
    with pytest.raises(RecipeError, match=setting.partition("=")[0]):
        load_recipe("quickstart", [setting])


def test_a_name_with_a_nul_byte_is_a_name_like_any_other():
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe("a\0.toml")


def test_a_sheet_of_delimiters_alone_has_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("\t\t\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text(" , ,\n , ,\n", encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(DataError):
            read_claims(tmp_path / name)


def test_paths_in_cells_stay_cells(tmp_path):
    evil = "../../../escape\0"
    rows = [
        {"claim": f"Thuốc {n} chữa bệnh {n * 7 % 41}.", "label": n % 2, "id": f"{evil}{n}", "topic": evil}
        | {"group": f"{evil}{n}", "source": evil, "pair": f"{evil}{n}"}
        for n in range(40)
    ]
    path = tmp_path / "in" / "deep" / "evil.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prepare([path], path.parent / "out")
    written = {p.parent for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {path.parent, path.parent / "out"}


LONG = "bệnh " * 15_000_000
LONG_FILES = {
    "one long claim": ("a.jsonl", '{"claim": "Thuốc.", "label": 1}\n{"claim": "' + LONG + '", "label": 1}\n', 1),
    "one long claim of mojibake": ("a.jsonl", '{"claim": "' + "Ã¡" * 50_000_000 + '", "label": 1}\n', None),
    "brackets": ("a.jsonl", "[" * 100_000_000, None),
    "objects": ("a.jsonl", '{"claim":' * 10_000_000, None),
    "digits": ("a.jsonl", '{"claim": "a", "label": ' + "1" * 100_000_000 + "}\n", None),
    "one long cell": ("a.csv", "claim,label\n" + LONG + ",TRUE\n", None),
    "an open quote": ("a.csv", 'claim,label\n"' + LONG, None),
    "delimiters": ("a.csv", "," * 100_000_000, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG_FILES)
def test_a_line_of_a_hundred_megabytes_is_no_hang(tmp_path, name):
    file, content, claims = LONG_FILES[name]
    (tmp_path / file).write_text(content, encoding="utf-8")
    started = time.monotonic()
    try:
        assert len(read_claims(tmp_path / file).claims) == claims
    except DataError:
        assert claims is None
    assert time.monotonic() - started < LONG_PATIENCE
