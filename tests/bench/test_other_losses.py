"""Losses for experiments: each is what its paper says, and the plain loss where its weight is nothing."""

import pytest
import torch
from other_losses import OtherLossEngine, named_loss, plain_loss
from torch.nn.functional import kl_div, softplus

from medverdict.model.verifier import Verifier
from medverdict.train.loop import start_training, train_steps
from medverdict.train.plain import PlainEngine, answer_logits


@pytest.fixture
def verifier(tiny_base, toy_recipe, cpu):
    return Verifier.load(tiny_base, toy_recipe, cpu)


@pytest.fixture
def paired(toy_claims):
    """Rows 2 and 3 are twins; row 4 names a pair that it is alone in."""
    pairs = {2: "a", 3: "a", 4: "b"}
    return [claim.model_copy(update={"pair": pairs.get(n, "")}) for n, claim in enumerate(toy_claims[:8])]


@pytest.mark.parametrize(("name", "weight"), [("smoothing", 0.0), ("twin", 0.0), ("r-drop", 5.0)])
def test_without_weight_or_without_dropout_it_is_the_plain_loss(verifier, paired, name, weight):
    batch = verifier.encoder.examples(paired)
    torch.testing.assert_close(named_loss(name, weight, verifier, paired)(verifier, batch), plain_loss(verifier, batch))


def test_smoothing_gives_part_of_the_target_to_the_other_answer_at_its_first_token_alone(verifier, paired):
    batch = verifier.encoder.examples(paired)
    true_id, false_id = verifier.encoder.label_ids
    expected, tokens = 0.0, 0
    for example in batch:
        start = len(example.ids) - example.answer_length
        logs = verifier.head(verifier.hidden([example.ids[:-1]]))[0].log_softmax(-1).detach()
        for place in range(start, len(example.ids)):
            own = example.ids[place]
            log = logs[place - 1]
            if place == start:
                other = false_id if own == true_id else true_id
                expected -= float(0.9 * log[own] + 0.1 * log[other])
            else:
                expected -= float(log[own])
            tokens += 1
    loss = named_loss("smoothing", 0.1, verifier, paired)(verifier, batch)
    assert float(loss.detach()) == pytest.approx(expected / tokens, rel=1e-5)


def test_r_drop_adds_both_divergences_of_two_passes(tiny_base, toy_recipe, cpu, paired):
    verifier = Verifier.load(tiny_base, toy_recipe.model_copy(update={"lora_dropout": 0.5}), cpu)
    with torch.no_grad():
        for name, parameter in verifier.trained_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    batch = verifier.encoder.examples(paired)
    verifier.model.train()

    def loss(weight):
        torch.manual_seed(3)
        return float(named_loss("r-drop", weight, verifier, paired)(verifier, batch).detach())

    torch.manual_seed(3)
    one, two = (answer_logits(verifier, batch)[0].detach().log_softmax(-1) for _ in range(2))
    there, back = (kl_div(x, y, log_target=True, reduction="batchmean") for x, y in ((one, two), (two, one)))
    assert float(there) > 0.01, "the two passes do not differ"
    assert loss(2.0) - loss(0.0) == pytest.approx(float(there + back), rel=1e-4)


def test_the_twin_loss_asks_whole_pairs_for_their_order_and_leaves_other_rows_alone(verifier, paired):
    batch = verifier.encoder.examples(paired)
    prompts = verifier.encoder.prompts_ids([claim.text for claim in paired])
    false, true = verifier.margins([prompts[2], prompts[3]])
    added = named_loss("twin", 2.0, verifier, paired)(verifier, batch) - plain_loss(verifier, batch)
    both_rows_pay = 2 * softplus(false - true) / len(batch)
    torch.testing.assert_close(added.detach(), 2.0 * both_rows_pay)
    without = [claim for claim in paired if claim.pair != "a"]
    batch = verifier.encoder.examples(without)
    torch.testing.assert_close(named_loss("twin", 2.0, verifier, without)(verifier, batch), plain_loss(verifier, batch))


def test_with_the_plain_loss_its_engine_trains_as_the_plain_one(tiny_base, toy_recipe, cpu, toy_claims):
    trained = []
    for make in (PlainEngine, lambda verifier, recipe: OtherLossEngine(verifier, recipe, plain_loss)):
        verifier = Verifier.load(tiny_base, toy_recipe, cpu)
        examples = verifier.encoder.examples(toy_claims)
        train_steps(verifier, make(verifier, toy_recipe), examples, start_training(toy_recipe), lambda row: None)
        trained.append([parameter.detach() for _, parameter in verifier.trained_parameters()])
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
