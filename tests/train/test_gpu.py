"""The promises of training on a CUDA device, with the architecture of the 0.5B base."""

import json
import random

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from killing import Trained, Way, survive, train_apart
from medverdict.model.bases import fetch
from medverdict.model.verifier import Verifier
from medverdict.predict.load import read_run
from medverdict.records import Split
from medverdict.train.fast import FastEngine
from medverdict.train.loop import start_training, train_steps
from medverdict.train.manifest import Job
from medverdict.train.plain import PlainEngine

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
HARD = {"lora_dropout": 0.1, "accumulation": 4, "batch_size": 4, "keep_best": True, "eval_every": 7, "epochs": 10.0}
SIZE = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
}
"""Of Qwen2.5-0.5B; the weights are random, because what is compared is bytes and not knowledge."""


@pytest.fixture(scope="module")
def half_billion(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("half-billion")
    config = json.loads((tiny_base.path / "config.json").read_text()) | SIZE
    del config["layer_types"]  # of two layers
    torch.manual_seed(0)
    with torch.device("cuda"):
        Qwen2ForCausalLM(Qwen2Config(**config)).to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_base.path / name).read_bytes())
    return fetch(str(folder))


@pytest.fixture
def big_job(half_billion, toy_recipe, toy_claims):
    def make(**changes):
        parts = (("train", toy_claims[:28]), ("dev", toy_claims[28:]))
        splits = [Split(name=name, claims=tuple(claims), sha256=name) for name, claims in parts]
        changes = {"learning_rate": 1e-3, "lora_rank": 16} | changes
        return Job(toy_recipe.model_copy(update=changes), half_billion, *splits, "data", ())

    return make


@pytest.mark.parametrize(("engine", "precision"), [("fast", "bf16"), ("fast", "fp16"), ("plain", "bf16")])
def test_killed_or_not_and_in_whatever_process_the_bytes_are_the_same(big_job, tmp_path, engine, precision):
    training, way = big_job(**HARD), Way(engine, "cuda", precision, "5")
    expected = train_apart(training, tmp_path / "first", way)
    assert train_apart(training, tmp_path / "second", way) == expected
    first = read_run(tmp_path / "first")
    assert first.peak_bytes > 2 * first.parameters, "the base at least, two bytes a weight"
    seed = random.randrange(10**6)
    runs, deaths = survive(training, tmp_path, way, 3, seed)
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, {engine}, {precision}, seed {seed}:")
    print(f"{deaths} kills, {len(runs)} runs, adapter {expected.weights[:16]}")
    assert [Trained.of(run) for run in runs] == [expected] * len(runs)


def train(big_job, engine, place, **changes):
    """Weights after training without dropout, losses, and where the training ended."""
    training = big_job(**HARD | {"lora_dropout": 0.0, "epochs": 2.0} | changes)
    verifier = Verifier.load(training.base, training.recipe, place)
    examples = [verifier.encoder.example(claim.text, claim.label) for claim in training.train.claims]
    position, losses = start_training(training.recipe), []
    made = engine(verifier, training.recipe, examples)
    train_steps(verifier, made, examples, position, lambda row: losses.append(row.loss))
    return losses, position, torch.cuda.max_memory_allocated()


@pytest.mark.parametrize("engine", [lambda v, r, e: PlainEngine(v, r), FastEngine], ids=["plain", "fast"])
def test_memory_that_really_runs_out_costs_time_and_nothing_else(big_job, engine):
    from medverdict.model.precision import Placement

    place = Placement(torch.device("cuda"), "bf16")
    changes = {"batch_size": 28, "accumulation": 1}
    peaks = {}
    for rows in (28, 4):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        losses, _, peaks[rows] = train(big_job, engine, place, batch_size=rows, accumulation=28 // rows)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((0.5 * peaks[28] + 0.5 * peaks[4]) / total)
    try:
        short, position, _ = train(big_job, engine, place, **changes)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    print(f"\npeaks {peaks}, ended with {position.micro_batch} rows a pass")
    assert position.micro_batch < 28
    assert short == pytest.approx(losses, rel=0.02)


def test_a_restart_between_chunks_captures_its_graphs_anew(big_job):
    from medverdict.model.precision import Placement

    place = Placement(torch.device("cuda"), "bf16")
    changes = {"chunk_rows": 14, "batch_size": 7, "accumulation": 1, "epochs": 4.0}  # each chunk sees shapes again
    fast, position, _ = train(big_job, FastEngine, place, **changes)
    plain, _, _ = train(big_job, lambda v, r, e: PlainEngine(v, r), place, **changes)
    assert position.step == 16
    assert fast == pytest.approx(plain, rel=0.05)
