"""Memory that runs out: the same rows in smaller passes, and the same result to rounding."""

import pytest
import torch

from medverdict.errors import RunError
from medverdict.model.verifier import Verifier
from medverdict.train import plain
from medverdict.train.loop import Position, start_training, train_steps
from medverdict.train.plain import PlainEngine


@pytest.fixture
def memory(monkeypatch):
    """A memory that holds `rows` in one pass: a larger pass fails after some gradients were already added."""
    passes = []

    def holds(rows):
        honest = plain.summed_loss

        def limited(verifier, examples):
            passes.append(len(examples))
            if len(examples) > rows and len(passes) % 2 == 0:
                raise torch.OutOfMemoryError("planted")
            return honest(verifier, examples)

        monkeypatch.setattr(plain, "summed_loss", limited)
        return passes

    return holds


def train(base, recipe, place, claims, said=None, monkeypatch=None):
    verifier = Verifier.load(base, recipe, place)
    examples = [verifier.encoder.example(claim.text, claim.label) for claim in claims]
    position = start_training(recipe)
    history = []
    if said is not None:
        monkeypatch.setattr("medverdict.train.loop.say", said.append)
    train_steps(verifier, PlainEngine(verifier, recipe), examples, position, history.append)
    return {n: p.detach().clone() for n, p in verifier.trained_parameters()}, history, position


def test_the_pass_is_halved_once_a_size_and_the_result_stays(
    tiny_base, toy_recipe, cpu, toy_claims, memory, monkeypatch
):
    recipe = toy_recipe.model_copy(update={"batch_size": 8, "accumulation": 2})
    expected, history, _ = train(tiny_base, recipe, cpu, toy_claims)
    memory(2)
    said = []
    found, short, position = train(tiny_base, recipe, cpu, toy_claims, said, monkeypatch)
    assert position.micro_batch == 2
    assert said == [
        "step 1: out of memory; from now on 4 rows a pass",
        "step 1: out of memory; from now on 2 rows a pass",
    ]
    assert [row.rows for row in short] == [row.rows for row in history]
    assert [row.loss for row in short] == pytest.approx([row.loss for row in history], rel=1e-4)
    for name, weight in expected.items():
        assert torch.allclose(found[name], weight, atol=1e-4), name


def test_a_second_attempt_draws_the_same_random_numbers(tiny_base, toy_recipe, cpu, toy_claims, memory, monkeypatch):
    """Dropout of a failed attempt must not shift that of the steps to come."""
    recipe = toy_recipe.model_copy(update={"batch_size": 4, "accumulation": 2, "lora_dropout": 0.1})
    small, _, _ = train(tiny_base, recipe.model_copy(update={"batch_size": 2, "accumulation": 4}), cpu, toy_claims)
    memory(2)
    found, _, _ = train(tiny_base, recipe, cpu, toy_claims, [], monkeypatch)
    assert all(torch.equal(found[name], weight) for name, weight in small.items())


def test_a_row_that_does_not_fit_alone_ends_the_training(tiny_base, toy_recipe, cpu, toy_claims, monkeypatch):
    def nothing_fits(*_):
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(plain, "summed_loss", nothing_fits)
    with pytest.raises(RunError, match="with one row at a time"):
        train(tiny_base, toy_recipe, cpu, toy_claims, [], monkeypatch)


def test_an_update_that_does_not_fit_is_not_done_twice(tiny_base, toy_recipe, cpu, toy_claims, monkeypatch):
    def does_not_fit(*_arguments, **_options):
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(torch.optim.AdamW, "step", does_not_fit)
    with pytest.raises(RunError, match="in the optimizer's update"):
        train(tiny_base, toy_recipe, cpu, toy_claims)


def test_a_resumed_training_stays_with_the_smaller_pass(tiny_base, toy_recipe, cpu, toy_claims):
    verifier = Verifier.load(tiny_base, toy_recipe, cpu)
    widths = []

    class Spy(PlainEngine):
        def step(self, batch, rate, micro_batch, meanwhile):
            widths.append(micro_batch)
            return super().step(batch, rate, micro_batch, meanwhile)

    examples = [verifier.encoder.example(claim.text, claim.label) for claim in toy_claims]
    train_steps(verifier, Spy(verifier, toy_recipe), examples, Position(1, step=18), lambda row: None)
    assert widths == [1, 1]
