"""The real 0.5B base: pinned margins wherever it is cached, known figures on demand."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medverdict.claims import test_file as frozen_test_file
from medverdict.data.read import read_split
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.recipes.recipe import load_recipe

PINS = Path(__file__).parent / "pinned_margins.json"


@pytest.fixture(scope="module")
def verifier(real_base):
    from medverdict.model.precision import choose_placement

    return Verifier.load(real_base, load_recipe("zero-shot", ['base="qwen2.5-coder-0.5b"']), choose_placement("fp32"))


@pytest.fixture(scope="module")
def fixed_claims():
    """Fifty of our own claims, every sixteenth of the frozen test."""
    return [claim.text for claim in read_split(frozen_test_file()).claims[::16]]


@pytest.mark.pinned
def test_fifty_fixed_claims_keep_their_margins(verifier, fixed_claims):
    pinned = json.loads(PINS.read_text(encoding="utf-8"))
    margins = score_margins(verifier, fixed_claims)
    assert len(pinned) == len(margins) == 50
    assert np.abs(margins - pinned).max() < 0.02


@pytest.mark.pinned
def test_batch_order_and_unicode_form_do_not_change_an_answer(verifier, fixed_claims):
    few = fixed_claims[:12]
    alone = np.concatenate([score_margins(verifier, [claim]) for claim in few])
    assert np.abs(score_margins(verifier, few) - alone).max() < 1e-3
    mixed = [unicodedata.normalize("NFD", claim) for claim in few[::-1]]
    assert np.abs(score_margins(verifier, mixed)[::-1] - alone).max() < 1e-3


@pytest.mark.pinned
def test_the_label_words_are_the_tokens_that_were_published(verifier):
    tokenizer = verifier.encoder
    assert tokenizer.label_ids == (8214, 7833)
    sentence = "Một câu tiếng Việt có dấu đầy đủ."
    assert tokenizer.prompt_ids(sentence) == tokenizer.prompt_ids(unicodedata.normalize("NFD", sentence))


@pytest.mark.real
def test_zero_shot_on_the_public_sample_is_near_the_known_figure(verifier, shared_data):
    """Known: accuracy 61.5 %, AUC .66. What this code gets, and why not the same, stands in docs/log.md."""
    claims = read_split(shared_data / "official" / "dev.jsonl").claims
    truth = np.array([claim.label == "TRUE" for claim in claims])
    margins = score_margins(verifier, [claim.text for claim in claims])
    accuracy = float(((margins > 0) == truth).mean())
    auc = float(roc_auc_score(truth, margins))
    print(f"zero-shot on {len(claims)} rows: accuracy {accuracy:.4f}, AUC {auc:.4f}")
    assert accuracy == pytest.approx(0.615, abs=0.015)
    assert auc == pytest.approx(0.66, abs=0.03)
