import pytest
import torch
from transformers import AutoModelForCausalLM

from medverdict.model.lora import lora_layers
from medverdict.model.precision import Placement, choose_placement
from medverdict.model.verifier import Verifier, pad_right

CLAIMS = [f"Thuốc số {n} chữa bệnh" + " rất tốt" * n + "." for n in range(12)]


@pytest.fixture
def verifier(tiny_base, toy_recipe, cpu):
    return Verifier.load(tiny_base, toy_recipe, cpu)


def test_a_margin_is_the_difference_of_two_logits_at_the_last_position(verifier, tiny_base):
    plain = AutoModelForCausalLM.from_pretrained(tiny_base.path).eval()
    true_id, false_id = verifier.encoder.label_ids
    for claim in CLAIMS[:3]:
        ids = verifier.encoder.prompt_ids(claim)
        with torch.no_grad():
            logits = plain(torch.tensor([ids])).logits[0, -1]
        assert float(verifier.margins([ids])) == pytest.approx(float(logits[true_id] - logits[false_id]), abs=1e-4)


def test_neighbours_and_padding_do_not_change_an_answer(verifier):
    prompts = [verifier.encoder.prompt_ids(claim) for claim in CLAIMS]
    together = verifier.margins(prompts)
    alone = torch.cat([verifier.margins([prompt]) for prompt in prompts])
    backwards = verifier.margins(prompts[::-1]).flip(0)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, backwards, atol=1e-5)


def test_rows_are_padded_to_the_right_and_no_further_than_the_longest():
    assert pad_right([[5, 6, 7], [8]]).tolist() == [[5, 6, 7], [8, 0, 0]]


def test_the_same_seed_starts_the_same_adapter(tiny_base, toy_recipe, cpu):
    first, second = (Verifier.load(tiny_base, toy_recipe, cpu) for _ in range(2))
    other = Verifier.load(tiny_base, toy_recipe.model_copy(update={"seed": 1}), cpu)
    (_, a), (_, b), (_, c) = (next(iter(lora_layers(v.model))) for v in (first, second, other))
    assert torch.equal(a.lora_A, b.lora_A)
    assert not torch.equal(a.lora_A, c.lora_A)


def test_full_fine_tuning_trains_every_weight_in_full_precision(tiny_base, toy_recipe):
    full = toy_recipe.model_copy(update={"method": "full", "lora_rank": 0})
    verifier = Verifier.load(tiny_base, full, Placement(torch.device("cpu"), "bf16"))
    assert sum(p.numel() for _, p in verifier.trained_parameters()) == verifier.parameter_count()
    assert {p.dtype for _, p in verifier.trained_parameters()} == {torch.float32}


def test_half_precision_keeps_the_margin_within_its_rounding(tiny_base, toy_recipe, cpu):
    exact = Verifier.load(tiny_base, toy_recipe, cpu)
    rough = Verifier.load(tiny_base, toy_recipe, Placement(torch.device("cpu"), "bf16"))
    prompts = [exact.encoder.prompt_ids(claim) for claim in CLAIMS]
    assert torch.allclose(exact.margins(prompts), rough.margins(prompts), atol=0.2)


def test_a_format_can_be_forced():
    assert choose_placement("fp32").precision == "fp32"
