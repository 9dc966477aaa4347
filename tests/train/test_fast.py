import dataclasses
import itertools

import pytest
import torch

from medverdict.errors import RunError
from medverdict.model.precision import Placement
from medverdict.model.prompt import Example
from medverdict.model.verifier import Verifier
from medverdict.train.choose import choose_engine
from medverdict.train.engine import EngineState
from medverdict.train.fast import FastEngine, Switches
from medverdict.train.plain import PlainEngine, accumulate_gradients
from medverdict.train.schedule import learning_rate_at, plan_steps, step_rows

NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)
TARGETS = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "all linear": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "some": ("q_proj", "v_proj", "up_proj"),
}
SWITCHED_OFF = [Switches(), *(Switches(**{f.name: False}) for f in dataclasses.fields(Switches))]
ALL_OFF = Switches(**{f.name: False for f in dataclasses.fields(Switches)})


@pytest.fixture
def recipe(toy_recipe):
    return toy_recipe.model_copy(update={"lora_dropout": 0.0, "batch_size": 4, "accumulation": 4})


def load(base, recipe, place):
    """A verifier whose adapter is not at its zero start, so that every gradient is tested."""
    verifier = Verifier.load(base, recipe, place)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in verifier.trained_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return verifier


def encode(verifier, claims):
    examples = [verifier.encoder.example(claim.text, claim.label) for claim in claims]
    return [Example((*e.ids, 7, 8), e.answer_length + 2) if n % 3 == 0 else e for n, e in enumerate(examples)]


def first_gradient(engine, verifier, batch, micro_batch):
    """Gradient as the first step leaves it in AdamW's first moment, which starts at zero: (1 - beta1) g."""
    moments = {}
    result = engine.step(batch, 0.0, micro_batch)
    (average,) = (t for key, t in engine.state().tensors.items() if key.endswith("exp_avg"))
    start = engine._flat.data_ptr()
    for name, p in verifier.trained_parameters():
        place = (p.data_ptr() - start) // 4
        moments[name] = average[place : place + p.numel()].view_as(p) / 0.1
    return result, moments


def apart(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("targets", TARGETS)
def test_loss_and_gradient_of_a_step_are_those_of_the_plain_engine(tiny_base, recipe, cpu, toy_claims, targets):
    recipe = recipe.model_copy(update={"lora_targets": TARGETS[targets], "clip_norm": 0.0, "adam_beta1": 0.9})
    plain = load(tiny_base, recipe, cpu)
    batch = encode(plain, toy_claims[:16])
    supervised = sum(example.answer_length for example in batch)
    loss = accumulate_gradients(plain, batch, 4, NO_SCALER, supervised)
    expected = {name: p.grad for name, p in plain.trained_parameters()}
    for switches in SWITCHED_OFF:
        if not switches.flat:
            continue  # its moments are in pieces; the 20 steps below cover it
        fast = load(tiny_base, recipe, cpu)
        result, found = first_gradient(FastEngine(fast, recipe, batch, switches), fast, batch, 4)
        assert result.loss == pytest.approx(loss, rel=1e-5)
        whole = torch.cat([g.flatten() for g in expected.values()])
        assert result.gradient_norm == pytest.approx(float(whole.norm()), rel=1e-5)
        for name, gradient in expected.items():
            assert apart(found[name], gradient) < 1e-5, (name, switches)


def test_claims_taught_as_text_have_the_loss_and_gradient_of_the_plain_engine(tiny_base, recipe, cpu, toy_claims):
    recipe = recipe.model_copy(update={"objective": "text", "clip_norm": 0.0, "adam_beta1": 0.9})
    plain, fast = (load(tiny_base, recipe, cpu) for _ in range(2))
    batch = plain.encoder.examples(toy_claims)[:12]
    loss = accumulate_gradients(plain, batch, 4, NO_SCALER, sum(example.answer_length for example in batch))
    result, found = first_gradient(FastEngine(fast, recipe, batch), fast, batch, 4)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert all(apart(found[name], p.grad) < 1e-5 for name, p in plain.trained_parameters())


@pytest.mark.parametrize("switches", [*SWITCHED_OFF, ALL_OFF], ids=lambda s: repr(s).removeprefix("Switches"))
def test_twenty_steps_have_the_same_losses_and_end_at_the_same_weights(tiny_base, recipe, cpu, toy_claims, switches):
    losses, weights = [], []
    for kind in ("plain", "fast"):
        verifier = load(tiny_base, recipe, cpu)
        examples = encode(verifier, toy_claims)
        plan = plan_steps(len(examples), recipe)
        engine = PlainEngine(verifier, recipe) if kind == "plain" else FastEngine(verifier, recipe, examples, switches)
        results = [
            engine.step(
                [examples[row] for row in step_rows(n % plan.steps, plan, 0)], learning_rate_at(n % 5, plan, recipe), 4
            )
            for n in range(20)
        ]
        losses.append([result.loss for result in results])
        weights.append(torch.cat([p.detach().flatten() for _, p in verifier.trained_parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert apart(weights[1], weights[0]) < 1e-4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_parts_it_from_plain_no_more_than_plain_from_itself(
    tiny_base, recipe, cpu, toy_claims, precision
):
    def losses(kind, of, micro_batch=16):
        verifier = load(tiny_base, recipe, Placement(cpu.device, of))
        examples = encode(verifier, toy_claims[:32])
        engine = FastEngine(verifier, recipe, examples) if kind == "fast" else PlainEngine(verifier, recipe)
        if of == "fp16":  # a scale at which nothing overflows, or runs would differ by a whole step
            engine.load_state(EngineState(engine.state().tensors, engine.state().numbers | {"scale": 1024.0}))
        steps = [engine.step(examples[n % 2 * 16 : n % 2 * 16 + 16], 2e-4, micro_batch) for n in range(20)]
        assert not any(step.skipped for step in steps)
        return torch.tensor([step.loss for step in steps])

    exact, fast = losses("plain", "fp32"), losses("fast", precision)
    plain = [losses("plain", precision, micro_batch) for micro_batch in (16, 8, 4, 2)]
    spread = max(float((a - b).abs().max()) for a, b in itertools.combinations(plain, 2))
    assert 0 < min(float((fast - p).abs().max()) for p in plain) <= 1.5 * spread  # 0: rounding was not reached
    assert float((fast - exact).abs().mean()) <= 2 * max(float((p - exact).abs().mean()) for p in plain)


def weights_of(verifier):
    return torch.cat([p.detach().flatten() for _, p in verifier.trained_parameters()])


def train(engine, verifier, examples, steps, rate=1e-2, micro_batch=4):
    """Losses of some steps on the same few batches."""
    return [engine.step(examples[n % 3 * 4 : n % 3 * 4 + 4], rate, micro_batch).loss for n in steps]


def drop_by_feature(x, p=0.5, training=True, inplace=False):
    """A mask that knows the feature alone, so that engines which lay out tokens differently drop the same."""
    if not training:
        return x
    kept = torch.rand(x.shape[-1], generator=torch.Generator().manual_seed(x.shape[-1])) > p
    return x * kept / (1 - p)


@pytest.mark.parametrize("switches", [*SWITCHED_OFF, ALL_OFF], ids=lambda s: repr(s).removeprefix("Switches"))
def test_dropout_stands_where_the_plain_engine_has_it(tiny_base, recipe, cpu, toy_claims, switches, monkeypatch):
    recipe = recipe.model_copy(update={"lora_dropout": 0.5, "lora_targets": TARGETS["all linear"]})
    monkeypatch.setattr(torch.nn.functional, "dropout", drop_by_feature)
    found = []
    for kind in ("plain", "fast"):
        verifier = load(tiny_base, recipe, cpu)
        examples = encode(verifier, toy_claims[:16])
        engine = PlainEngine(verifier, recipe) if kind == "plain" else FastEngine(verifier, recipe, examples, switches)
        found.append((train(engine, verifier, examples, range(6)), weights_of(verifier)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-4)
    assert apart(found[1][1], found[0][1]) < 1e-4


def test_dropout_follows_the_seed_and_hits_the_prefix_once_for_all_rows(tiny_base, recipe, cpu, toy_claims):
    recipe = recipe.model_copy(update={"lora_dropout": 0.5})
    verifier = load(tiny_base, recipe, cpu)
    examples = encode(verifier, toy_claims[:2])
    twins = [examples[1], examples[1]]  # the same row twice: only what is not the prefix is dropped twice
    engine = FastEngine(verifier, recipe, examples)
    losses = {}
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.setdefault(seed, []).append(engine.step(twins, 0.0, 4).loss)
    assert losses[1][0] == losses[1][1] != losses[2][0]
    whole = FastEngine(verifier, recipe, twins)  # every token before the last one belongs to the prefix
    torch.manual_seed(1)
    assert whole._pass(twins)[0].prefix == len(twins[0].ids) - 2
    assert whole.step(twins, 0.0, 4).loss > 0


def test_memory_that_ran_out_changes_passes_and_not_results(tiny_base, recipe, cpu, toy_claims):
    found = []
    for micro_batch in (4, 3, 1):
        verifier = load(tiny_base, recipe, cpu)
        examples = encode(verifier, toy_claims[:16])
        engine = FastEngine(verifier, recipe, examples)
        found.append((train(engine, verifier, examples, range(6), micro_batch=micro_batch), weights_of(verifier)))
    for losses, weights in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-5)
        assert apart(weights, found[0][1]) < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_state_put_back_goes_on_with_the_same_bytes(tiny_base, recipe, toy_claims, precision):
    recipe, place = recipe.model_copy(update={"lora_dropout": 0.3}), Placement(torch.device("cpu"), precision)
    verifier = load(tiny_base, recipe, place)
    examples = encode(verifier, toy_claims[:16])
    engine = FastEngine(verifier, recipe, examples)
    torch.manual_seed(0)
    train(engine, verifier, examples, range(5))
    state, chance, then = engine.state(), torch.get_rng_state(), weights_of(verifier)
    kept = EngineState({name: t.clone() for name, t in state.tensors.items()}, state.numbers)
    expected = train(engine, verifier, examples, range(5, 10)), weights_of(verifier)
    other = load(tiny_base, recipe, place)
    again = FastEngine(other, recipe, examples)
    train(again, other, examples, range(2))  # another past, to be forgotten
    for p, value in zip((p for _, p in other.trained_parameters()), then.split(sizes(other)), strict=True):
        with torch.no_grad():
            p.copy_(value.view_as(p))
    again.load_state(kept)
    torch.set_rng_state(chance)
    losses = train(again, other, examples, range(5, 10))
    assert losses == expected[0]
    assert torch.equal(weights_of(other), expected[1])


def sizes(verifier):
    return [p.numel() for _, p in verifier.trained_parameters()]


def test_restarted_it_is_as_new(tiny_base, recipe, cpu, toy_claims):
    verifier = load(tiny_base, recipe, cpu)
    examples = encode(verifier, toy_claims[:16])
    engine = FastEngine(verifier, recipe, examples)
    fresh = engine.state()
    train(engine, verifier, examples, range(3))
    assert engine.state().tensors
    engine.restart()
    assert engine.state() == fresh
    again = FastEngine(verifier, recipe, examples)
    start = weights_of(verifier)
    first = train(engine, verifier, examples, range(2)), weights_of(verifier)
    with torch.no_grad():
        for (_, p), value in zip(verifier.trained_parameters(), start.split(sizes(verifier)), strict=True):
            p.copy_(value.view_as(p))
    assert train(again, verifier, examples, range(2)) == first[0]
    assert torch.equal(weights_of(verifier), first[1])


def test_in_fp16_an_overflow_is_skipped_and_the_scale_goes_the_way_of_torchs_scaler(tiny_base, recipe, toy_claims):
    place = Placement(torch.device("cpu"), "fp16")
    found = {}
    for kind in ("plain", "fast"):
        verifier = load(tiny_base, recipe, place)
        examples = encode(verifier, toy_claims[:16])
        engine = PlainEngine(verifier, recipe) if kind == "plain" else FastEngine(verifier, recipe, examples)
        while engine.step(examples[:4], 1e-2, 4).skipped:  # so that there are moments to be left alone
            pass
        raised = {"scale": 2.0**40} if kind == "plain" else {"scale": 2.0**40, "growth": 0}
        engine.load_state(EngineState(engine.state().tensors, engine.state().numbers | raised))
        before = weights_of(verifier)
        results = [engine.step(examples[:4], 1e-2, 4)]
        assert results[0].skipped and torch.equal(weights_of(verifier), before)
        results += [engine.step(examples[:4], 1e-2, 4) for _ in range(29)]
        assert not torch.equal(weights_of(verifier), before)
        found[kind] = [result.skipped for result in results], engine.state().numbers["scale"], results[-1].loss
        skips = sum(found[kind][0])
        assert found[kind][1] == 2.0 ** (40 - skips) and 0 < skips < 30
    assert abs(sum(found["fast"][0]) - sum(found["plain"][0])) <= 1
    assert found["fast"][2] == pytest.approx(found["plain"][2], rel=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "full", "lora_rank": 0}, "the recipe's method is full"),
        ({"supervised_padding": 64}, "trains on padding"),
    ],
)
def test_where_it_does_not_apply_the_plain_engine_works_and_says_why(tiny_base, recipe, cpu, change, said, capsys):
    recipe = recipe.model_copy(update=change)
    verifier = Verifier.load(tiny_base, recipe, cpu)
    assert isinstance(choose_engine(verifier, [], "auto"), PlainEngine)
    assert said in capsys.readouterr().err
    with pytest.raises(RunError, match=said):
        choose_engine(verifier, [], "fast")


def test_the_fast_engine_is_the_default_and_plain_may_be_asked_for(tiny_base, recipe, cpu, toy_claims):
    verifier = load(tiny_base, recipe, cpu)
    examples = encode(verifier, toy_claims[:4])
    assert isinstance(choose_engine(verifier, examples, "plain"), PlainEngine)
    assert isinstance(choose_engine(verifier, examples), FastEngine)
