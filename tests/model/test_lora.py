import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from medverdict.errors import RecipeError, RunError
from medverdict.model.lora import adapter_is_zero, load_adapter, lora_layers, save_adapter, without_lora
from medverdict.model.verifier import Verifier

CLAIMS = ["Bệnh lao lây qua đường hô hấp.", "Thuốc kháng sinh không chữa cúm."]


@pytest.fixture
def verifier(tiny_base, toy_recipe, cpu):
    return Verifier.load(tiny_base, toy_recipe, cpu)


def move(verifier):
    """Give every B some weights, as training would."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, layer in lora_layers(verifier.model):
            layer.lora_B.copy_(torch.randn(layer.lora_B.shape, generator=generator) * 0.1)


def margins(verifier):
    return verifier.margins([verifier.encoder.prompt_ids(claim) for claim in CLAIMS])


def test_a_fresh_adapter_changes_nothing_and_says_so(verifier):
    with without_lora(verifier.model):
        untrained = margins(verifier)
    assert torch.equal(margins(verifier), untrained)
    assert adapter_is_zero(verifier.model)


def test_a_moved_adapter_can_be_switched_off_for_a_while(verifier):
    untrained = margins(verifier)
    move(verifier)
    trained = margins(verifier)
    with without_lora(verifier.model):
        assert torch.equal(margins(verifier), untrained)
    assert torch.equal(margins(verifier), trained)
    assert not torch.allclose(trained, untrained)


def test_only_the_adapter_is_trained_and_it_stays_in_full_precision(verifier):
    names = [name for name, _ in verifier.trained_parameters()]
    assert names and all("lora_" in name for name in names)
    assert all(p.dtype == torch.float32 for _, p in verifier.trained_parameters())


def test_a_stored_adapter_comes_back_exactly(verifier, tiny_base, toy_recipe, cpu, tmp_path):
    move(verifier)
    save_adapter(verifier.model, toy_recipe, tmp_path)
    again = Verifier.load(tiny_base, toy_recipe, cpu)
    load_adapter(again.model, tmp_path)
    assert torch.equal(margins(again), margins(verifier))


def test_the_peft_library_loads_the_adapter_and_answers_the_same(verifier, tiny_base, toy_recipe, tmp_path):
    move(verifier)
    save_adapter(verifier.model, toy_recipe, tmp_path)
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base.path), tmp_path).eval()
    true_id, false_id = verifier.encoder.label_ids
    for claim, ours in zip(CLAIMS, margins(verifier), strict=True):
        logits = theirs(torch.tensor([verifier.encoder.prompt_ids(claim)])).logits[0, -1]
        assert logits[true_id] - logits[false_id] == pytest.approx(float(ours), abs=1e-4)


def test_a_target_that_names_no_layer_is_refused_with_what_there_is(tiny_base, toy_recipe, cpu):
    wrong = toy_recipe.model_copy(update={"lora_targets": ("q_proj", "w_pack")})
    with pytest.raises(RecipeError, match=r"w_pack name no linear layer.*q_proj"):
        Verifier.load(tiny_base, wrong, cpu)


def test_an_adapter_of_another_shape_or_a_broken_one_is_refused(verifier, tiny_base, toy_recipe, cpu, tmp_path):
    save_adapter(verifier.model, toy_recipe, tmp_path)
    wider = Verifier.load(tiny_base, toy_recipe.model_copy(update={"lora_rank": 8}), cpu)
    with pytest.raises(RunError, match="does not fit"):
        load_adapter(wider.model, tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut short")
    with pytest.raises(RunError, match="not a readable adapter"):
        load_adapter(verifier.model, tmp_path)
