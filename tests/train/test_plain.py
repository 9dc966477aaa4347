import math
from itertools import chain

import pytest
import torch

from medverdict.errors import GateError
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.train.loop import start_training, train_steps
from medverdict.train.plain import PlainEngine, accumulate_gradients, make_optimizer, summed_loss, supervised_positions
from medverdict.train.schedule import learning_rate_at, plan_steps, step_rows

NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)


@pytest.fixture
def verifier(tiny_base, toy_recipe, cpu):
    return Verifier.load(tiny_base, toy_recipe, cpu)


def encode(verifier, claims):
    return [verifier.encoder.example(claim.text, claim.label) for claim in claims]


def gradients(verifier):
    return {name: p.grad.clone() for name, p in verifier.trained_parameters() if p.grad is not None}


def train(verifier, claims, recipe):
    history = []
    engine, position = PlainEngine(verifier, recipe), start_training(recipe)
    train_steps(verifier, engine, encode(verifier, claims), position, history.append)
    return history


def test_a_tiny_model_learns_the_word_that_decides(tiny_base, toy_claims, toy_recipe, cpu):
    recipe = toy_recipe.model_copy(update={"method": "full", "lora_rank": 0, "epochs": 8.0})
    history = train(Verifier.load(tiny_base, recipe, cpu), toy_claims, recipe)
    assert history[0].loss > 1.0
    assert max(row.loss for row in history[-10:]) < 0.1


def test_the_same_seed_gives_the_same_adapter_byte_for_byte(tiny_base, toy_recipe, cpu, toy_claims):
    recipe = toy_recipe.model_copy(update={"lora_dropout": 0.1})
    trained = []
    for _ in range(2):
        verifier = Verifier.load(tiny_base, recipe, cpu)
        train(verifier, toy_claims, recipe)
        trained.append({name: p.detach().clone() for name, p in verifier.trained_parameters()})
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_the_loss_is_the_cross_entropy_of_the_answer_and_of_nothing_else(verifier, toy_claims):
    examples = encode(verifier, toy_claims[:3])
    expected = 0.0
    for example in examples:
        logits = verifier.model(torch.tensor([example.ids])).logits[0].log_softmax(-1)
        for position in range(len(example.ids) - example.answer_length, len(example.ids)):
            expected -= float(logits[position - 1, example.ids[position]].detach())
    assert float(summed_loss(verifier, examples)) == pytest.approx(expected, rel=1e-5)


def test_supervised_positions_stand_one_before_their_targets():
    assert list(supervised_positions([Example((10, 11, 12, 13), 2)])) == [(0, 1, 12), (0, 2, 13)]


def test_sixteen_rows_at_once_or_four_times_four_give_the_same_gradient(verifier, toy_claims):
    """Answers differ in length here, which is what once went wrong elsewhere."""
    examples = encode(verifier, toy_claims[:16])
    longer = [Example((*e.ids, 7, 8), e.answer_length + 2) if n % 3 == 0 else e for n, e in enumerate(examples)]
    losses, grads = [], []
    for rows in (16, 4, 5):
        verifier.model.zero_grad()
        losses.append(accumulate_gradients(verifier, longer, rows, NO_SCALER, sum(e.answer_length for e in longer)))
        grads.append(gradients(verifier))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    for name, gradient in grads[0].items():
        assert torch.allclose(gradient, grads[1][name], atol=1e-6), name
        assert torch.allclose(gradient, grads[2][name], atol=1e-6), name


def test_every_row_is_seen_once_an_epoch_in_an_order_that_the_seed_decides(toy_recipe):
    plan = plan_steps(10, toy_recipe)
    first, second = ([step_rows(s, plan, 0) for s in epoch] for epoch in (range(3), range(3, 6)))
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second)) == list(range(10))
    assert first != second
    assert first != [step_rows(s, plan, 1) for s in range(3)]
    assert plan.steps == 6 and plan.rows_seen == 20


def test_the_rate_rises_and_then_falls_to_zero(toy_recipe):
    recipe = toy_recipe.model_copy(update={"warmup_ratio": 0.1, "learning_rate": 1.0, "epochs": 25.0})
    plan = plan_steps(16, recipe)
    assert plan.steps == 100
    rates = {
        s: [learning_rate_at(n, plan, recipe.model_copy(update={"schedule": s})) for n in range(100)]
        for s in ("linear", "cosine", "constant")
    }
    for rate in rates.values():
        assert rate[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert rates["linear"][55] == pytest.approx(0.5)
    assert rates["cosine"][55] == pytest.approx(0.5)
    assert rates["cosine"][99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert rates["constant"][99] == 1.0


def test_a_loss_that_is_no_number_stops_the_training(verifier, toy_claims, toy_recipe):
    _, parameter = verifier.trained_parameters()[0]
    with torch.no_grad():
        parameter.fill_(math.nan)
    with pytest.raises(GateError, match="the loss is nan at step 1"):
        train(verifier, toy_claims, toy_recipe)


def test_a_gradient_that_is_no_number_stops_the_training(verifier, toy_claims, toy_recipe):
    verifier.trained_parameters()[0][1].register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(GateError, match="the gradient is"):
        train(verifier, toy_claims, toy_recipe)


def test_an_adapter_that_never_moves_is_not_called_trained(verifier, toy_claims, toy_recipe):
    for _, parameter in verifier.trained_parameters():
        parameter.register_hook(torch.zeros_like)
    with pytest.raises(GateError, match="still zero"):
        train(verifier, toy_claims, toy_recipe)


def test_clipping_bounds_the_gradient_and_zero_switches_it_off(tiny_base, toy_recipe, cpu, toy_claims):
    """Adam forgets the gradient's scale after one step, so a clipped and a free run part only later."""
    trained = {}
    for clip in (0.0, 1e-3):
        recipe = toy_recipe.model_copy(update={"clip_norm": clip})
        verifier = Verifier.load(tiny_base, recipe, cpu)
        history = train(verifier, toy_claims, recipe)
        assert all(row.gradient_norm > 1e-3 for row in history)
        trained[clip] = verifier.trained_parameters()[0][1].detach().clone()
    assert not torch.equal(trained[0.0], trained[1e-3])


def test_weight_decay_leaves_vectors_alone(tiny_base, toy_recipe, cpu, toy_claims):
    recipe = toy_recipe.model_copy(update={"method": "full", "lora_rank": 0, "weight_decay": 0.1})
    optimizer = make_optimizer(Verifier.load(tiny_base, recipe, cpu), recipe)
    decays = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in optimizer.param_groups}
    assert decays == {0.1: {2}, 0.0: {1}}
