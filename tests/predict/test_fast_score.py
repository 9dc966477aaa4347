import unicodedata

import numpy as np
import pytest
import torch

from medverdict.app.baselines import untrained_margins
from medverdict.errors import DataError, GateError
from medverdict.model.fast_body import fast_body
from medverdict.model.lora import fill_adapter, lora_layers, without_lora
from medverdict.model.precision import Placement
from medverdict.model.verifier import Verifier
from medverdict.predict import score
from medverdict.predict.load import load_run, replay_golden
from medverdict.predict.score import fast_batches, plain_margins, score_margins, why_not_fast
from medverdict.train.fast import FastEngine
from medverdict.train.plain import PlainEngine

EXACT = 1e-4


def shake(verifier, seed=1):
    """Adapters far from zero, written in place as every loader writes them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in lora_layers(verifier.model):
            for matrix in (layer.lora_A, layer.lora_B):
                matrix.copy_(torch.randn(matrix.shape, generator=generator) * 0.1)


@pytest.fixture
def verifier(tiny_base, toy_recipe, cpu):
    made = Verifier.load(tiny_base, toy_recipe, cpu)
    shake(made)
    assert why_not_fast(made) is None
    return made


@pytest.fixture
def texts(toy_claims):
    return [claim.text for claim in toy_claims]


@pytest.mark.parametrize("method", ["lora", "zero-shot", "full"])
def test_margins_are_those_of_the_plain_twin(tiny_base, toy_recipe, cpu, texts, method):
    verifier = Verifier.load(tiny_base, toy_recipe.model_copy(update={"method": method}), cpu)
    shake(verifier)
    plain = plain_margins(verifier, texts)
    assert np.ptp(plain) > 0.1
    fast = score_margins(verifier, texts)
    assert np.abs(fast - plain).max() < EXACT
    assert ((fast > 0) == (plain > 0)).all()


@pytest.mark.parametrize("targets", [("gate_proj", "up_proj", "down_proj"), ("up_proj",), ("q_proj",)])
def test_adapters_joined_to_the_weights_of_gate_and_up_as_on_a_gpu_answer_the_same(
    tiny_base, toy_recipe, cpu, texts, targets
):
    recipe = toy_recipe.model_copy(update={"lora_targets": targets, "lora_rank": 6, "lora_alpha": 4})
    verifier = Verifier.load(tiny_base, recipe, cpu)
    shake(verifier)
    plain, apart = plain_margins(verifier, texts), score_margins(verifier, texts)
    fast_body(verifier.model).joins_adapters = True
    joined = score_margins(verifier, texts)
    assert targets == ("q_proj",) or (joined != apart).any()  # else the other products were not taken
    assert np.abs(joined - plain).max() < EXACT
    with without_lora(verifier.model):
        base = plain_margins(verifier, texts)
        assert np.abs(score_margins(verifier, texts) - base).max() < EXACT
    assert np.abs(base - plain).max() > 0.01


def test_slices_whose_tokens_are_made_ahead_change_nothing(verifier, texts, monkeypatch):
    whole = score_margins(verifier, texts)
    monkeypatch.setattr(score, "CLAIMS_A_SLICE", 7)  # and so the last one is short
    told: list[int] = []
    assert np.abs(score_margins(verifier, texts, told.append) - whole).max() < EXACT
    assert sum(told) == len(texts)
    with pytest.raises(DataError, match="raise max_length"):  # in a slice behind the first
        score_margins(verifier, [*texts, "dài " * 9999])


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_inside_its_rounding(tiny_base, toy_recipe, cpu, texts, precision, joined):
    recipe = toy_recipe.model_copy(update={"lora_rank": 6, "lora_alpha": 4})  # a scale that is no power of two

    def margins(precision, judge):
        verifier = Verifier.load(tiny_base, recipe, Placement(torch.device("cpu"), precision))
        shake(verifier)
        fast_body(verifier.model).joins_adapters = joined
        return judge(verifier, texts)

    exact = margins("fp32", plain_margins)
    rounding = np.abs(margins(precision, plain_margins) - exact).max()
    assert np.abs(margins(precision, score_margins) - exact).max() < 2 * rounding


def test_an_answer_does_not_hang_on_batch_order_or_unicode_form(verifier, texts, monkeypatch):
    margins = score_margins(verifier, texts)
    assert np.allclose(score_margins(verifier, texts[::-1])[::-1], margins, atol=EXACT)
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert decomposed != texts
    assert (score_margins(verifier, decomposed) == margins).all()
    for tokens in (1, 150, 100_000):
        monkeypatch.setitem(score.TOKENS_A_BATCH, "cpu", tokens)
        assert np.allclose(score_margins(verifier, texts), margins, atol=EXACT), tokens


def test_the_constant_prompt_is_computed_once_a_batch(verifier, texts, monkeypatch):
    shapes = []
    shape_of = score.shape_of
    monkeypatch.setattr(
        score, "shape_of", lambda *given, **named: shapes.append(shape_of(*given, **named)) or shapes[-1]
    )
    score_margins(verifier, texts)
    prompt = len(verifier.encoder.prompt_ids("x"))
    assert all(shape.prefix > prompt // 2 for shape in shapes)
    longest = max(map(len, verifier.encoder.prompts_ids(texts)))
    assert sum(shape.tokens for shape in shapes) < longest * len(texts) / 2


def test_progress_is_told_and_nothing_scored_where_there_is_nothing(verifier, texts):
    told = []
    score_margins(verifier, texts, told.append)
    assert sum(told) == len(texts)
    assert score_margins(verifier, []).shape == (0,)
    assert list(fast_batches(verifier, [])) == []


def test_a_claim_too_long_is_refused_before_anything_is_scored(verifier, texts):
    with pytest.raises(DataError, match="Shorten it"):
        score_margins(verifier, [*texts, "dài " * 600])


def test_dev_is_scored_with_the_weights_of_the_moment(tiny_base, toy_recipe, cpu, toy_claims, texts):
    recipe = toy_recipe.model_copy(update={"lora_dropout": 0.0})
    for engine in (FastEngine, PlainEngine):
        verifier = Verifier.load(tiny_base, recipe, cpu)
        before = score_margins(verifier, texts)  # the body exists before the engine does
        examples = [verifier.encoder.example(claim.text, claim.label) for claim in toy_claims]
        trainer = engine(verifier, recipe, examples) if engine is FastEngine else engine(verifier, recipe)
        for start in (0, 16):
            trainer.step(examples[start : start + 16], 1e-2, 4)
            margins = score_margins(verifier, texts)
            assert np.abs(margins - plain_margins(verifier, texts)).max() < EXACT
            assert np.abs(margins - before).max() > 100 * EXACT
            before = margins


def test_training_goes_on_after_scoring_as_if_nothing_had_been_scored(tiny_base, toy_recipe, cpu, toy_claims, texts):
    losses = {}
    for scores in (False, True):
        verifier = Verifier.load(tiny_base, toy_recipe, cpu)
        examples = [verifier.encoder.example(claim.text, claim.label) for claim in toy_claims]
        engine = FastEngine(verifier, toy_recipe, examples)
        torch.manual_seed(0)
        losses[scores] = []
        for start in (0, 16, 0):
            losses[scores].append(engine.step(examples[start : start + 16], 1e-2, 4).loss)
            if scores:
                score_margins(verifier, texts)
    assert losses[True] == losses[False]


def test_a_replaced_adapter_answers_at_once(verifier, texts):
    old = score_margins(verifier, texts)
    names = [(n, p) for n, m in lora_layers(verifier.model) for p in ("lora_A", "lora_B")]
    stored = {f"base_model.model.{n}.{p}.weight": getattr(verifier.model.get_submodule(n), p) + 0.05 for n, p in names}
    fill_adapter(verifier.model, stored, "here")
    new = score_margins(verifier, texts)
    assert np.abs(new - old).max() > 100 * EXACT
    assert np.abs(new - plain_margins(verifier, texts)).max() < EXACT


def test_golden_rows_are_replayed_with_the_stored_adapter_and_notice_another(tiny_run, cpu):
    loaded = load_run(tiny_run, cpu)
    golden = loaded.run.golden
    margins = score_margins(loaded.verifier, [row.text for row in golden])
    assert np.allclose(margins, [row.margin for row in golden], atol=EXACT)
    with torch.no_grad():
        for _, layer in lora_layers(loaded.verifier.model):
            layer.lora_B.add_(0.1)
    with pytest.raises(GateError, match="does not answer as it was measured"):
        replay_golden(loaded.verifier, loaded.run)


def test_the_untrained_baseline_is_the_base_and_the_adapter_is_back_afterwards(tiny_run, tiny_base, cpu, toy_claims):
    loaded = load_run(tiny_run, cpu)
    texts = [claim.text for claim in toy_claims]
    trained = score_margins(loaded.verifier, texts)
    untrained = untrained_margins(loaded, toy_claims)
    recipe = loaded.run.recipe.model_copy(update={"method": "zero-shot"})
    base = plain_margins(Verifier.load(tiny_base, recipe, cpu), texts)
    assert np.abs(untrained - base).max() < EXACT
    assert np.abs(trained - base).max() > 100 * EXACT
    assert (score_margins(loaded.verifier, texts) == trained).all()
