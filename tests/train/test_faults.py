"""What a training must not survive, whichever way it does its arithmetic."""

import math

import pytest
import torch

from medverdict.errors import GateError
from medverdict.model.verifier import Verifier
from medverdict.train.fast import FastEngine
from medverdict.train.loop import start_training, train_steps
from medverdict.train.plain import PlainEngine

ENGINES = {
    "plain": lambda verifier, examples: PlainEngine(verifier, verifier.recipe),
    "fast": lambda verifier, examples: FastEngine(verifier, verifier.recipe, examples),
}


@pytest.fixture(params=ENGINES)
def train(request, tiny_base, toy_recipe, cpu, toy_claims):
    """Train the toy recipe with changes; `spoil` is done to the weights before the first step."""

    def run(spoil=lambda parameter: None, **changes):
        verifier = Verifier.load(tiny_base, toy_recipe.model_copy(update=changes), cpu)
        examples = [verifier.encoder.example(claim.text, claim.label) for claim in toy_claims]
        engine = ENGINES[request.param](verifier, examples)
        with torch.no_grad():
            spoil(verifier.trained_parameters()[0][1])
        train_steps(verifier, engine, examples, start_training(verifier.recipe), lambda row: None)

    return run


def test_a_loss_that_is_no_number_stops_the_training(train):
    with pytest.raises(GateError, match="the loss is nan at step 1"):
        train(spoil=lambda parameter: parameter.fill_(math.nan))


def test_a_training_that_explodes_is_stopped(train):
    with pytest.raises(GateError, match=r"(loss|gradient) is (nan|inf) at step \d"):
        train(learning_rate=1e30, clip_norm=0.0)


def test_an_adapter_that_never_moves_is_not_called_trained(train):
    with pytest.raises(GateError, match="still zero after 20 steps"):
        train(learning_rate=0.0)
