"""Adapters of one recipe become one adapter that is their mean."""

import pytest
import torch
from safetensors.torch import load_file

from medverdict.app.averaging import average, reduced, rounded, stacked
from medverdict.app.training import TrainOptions, train
from medverdict.data.prepare import prepare
from medverdict.errors import RunError
from medverdict.model.lora import WEIGHTS
from medverdict.predict.load import load_run, read_run

A, B = "m.lora_A.weight", "m.lora_B.weight"


def adapter(seed, rank=3):
    chance = torch.Generator().manual_seed(seed)
    return {A: torch.randn(rank, 10, generator=chance), B: torch.randn(8, rank, generator=chance)}


def update(weights, alpha=6.0):
    return alpha / weights[A].shape[0] * (weights[B] @ weights[A])


def test_the_stacked_adapter_is_the_mean_of_the_updates():
    members = [adapter(seed) for seed in range(4)]
    torch.testing.assert_close(update(stacked(members)), torch.stack([update(m) for m in members]).mean(0))


def test_a_reduced_adapter_is_the_nearest_of_its_rank():
    whole = stacked([adapter(0), adapter(1)])
    exact = update(whole)
    values = torch.linalg.svdvals(exact)
    for rank in (1, 3, 6):
        smaller = reduced(whole, rank)
        assert smaller[A].shape == (rank, 10) and smaller[B].shape == (8, rank)
        missed = torch.linalg.norm(update(smaller) - exact)
        torch.testing.assert_close(missed, torch.linalg.norm(values[rank:]), atol=1e-4, rtol=1e-4)


def test_rounding_keeps_the_update_to_a_thousandth():
    whole = adapter(0)
    assert torch.linalg.norm(update({k: t.float() for k, t in rounded(whole).items()}) - update(whole)) < 1e-3 * 60


@pytest.fixture(scope="module")
def trained(tiny_base, tmp_path_factory):
    from medverdict import claims

    folder = tmp_path_factory.mktemp("averaging")
    few = folder / "few.jsonl"
    few.write_text("".join(claims.training_files()[0].read_text("utf-8").splitlines(keepends=True)[:60]), "utf-8")
    prepare([few], folder / "data")
    for seed in (0, 1):
        settings = [f"base={tiny_base.path}", "epochs=1", "lora_rank=2", f"seed={seed}"]
        train("quickstart", folder / "data", folder / f"s{seed}", TrainOptions(settings))
    return folder


@pytest.mark.parametrize("rank", [None, 2])
def test_the_mean_is_a_run_like_any_other(trained, cpu, tmp_path, rank):
    run = average([trained / "s0", trained / "s1"], trained / "data", tmp_path / "mean", rank)
    assert len(run.averaged) == 2 and run.recipe.lora_rank == (rank or 4)
    assert run.id not in run.averaged
    loaded = load_run(tmp_path / "mean", cpu)  # replays its golden rows
    stored = load_file(tmp_path / "mean" / "adapter_model.safetensors")
    assert loaded.run == run and all(tensor.dtype == torch.float16 for tensor in stored.values())


def test_a_rank_above_the_exact_one_and_runs_of_other_recipes_are_refused(trained, tmp_path, tiny_base):
    with pytest.raises(RunError, match="rank 4 already"):
        average([trained / "s0", trained / "s1"], trained / "data", tmp_path / "a", 5)
    settings = [f"base={tiny_base.path}", "epochs=2", "lora_rank=2"]
    train("quickstart", trained / "data", tmp_path / "other", TrainOptions(settings))
    with pytest.raises(RunError, match="more than their seed"):
        average([trained / "s0", tmp_path / "other"], trained / "data", tmp_path / "b")


def test_the_mean_says_where_its_members_began(trained, tmp_path, tiny_base):
    for seed in (0, 1):
        options = TrainOptions(
            [f"base={tiny_base.path}", "epochs=1", "lora_rank=2", f"seed={seed}"], init=trained / f"s{seed}"
        )
        train("quickstart", trained / "data", tmp_path / f"s{seed}", options)
    run = average([tmp_path / "s0", tmp_path / "s1"], trained / "data", tmp_path / "mean")
    firsts = [read_run(trained / f"s{seed}") for seed in (0, 1)]
    assert run.started_from == tuple(part for first in firsts for part in (first.id, first.files[WEIGHTS]))
    with pytest.raises(RunError, match="recipe, start, base"):
        average([tmp_path / "s0", trained / "s1"], trained / "data", tmp_path / "x")
