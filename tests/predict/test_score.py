import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medverdict.model.verifier import Verifier
from medverdict.predict.score import length_batches, predictions, score_margins
from medverdict.records import Calibration

CALIBRATION = Calibration(temperature=1.0, threshold=0.5, abstain_below=None, n=40, fitted_on="0" * 64)


def test_scores_come_back_in_the_order_of_the_claims(tiny_base, toy_recipe, cpu, toy_claims):
    verifier = Verifier.load(tiny_base, toy_recipe, cpu)
    texts = [claim.text for claim in toy_claims]
    done = []
    margins = score_margins(verifier, texts, done.append)
    one_by_one = np.concatenate([score_margins(verifier, [text]) for text in texts])
    assert np.allclose(margins, one_by_one, atol=1e-5)
    assert sum(done) == len(texts)


def test_a_prediction_carries_all_that_a_report_needs(toy_claims):
    made = predictions(toy_claims[:2], np.array([0.6, 0.4]), CALIBRATION, "run-1")
    assert [p.verdict for p in made] == ["TRUE", "FALSE"]
    assert made[0].text == toy_claims[0].text and made[0].group == "g0" and made[0].run == "run-1"
    assert made[0].p_true > 0.5 > made[1].p_true


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 600))
def test_every_row_is_in_one_batch_and_no_batch_is_too_wide(lengths: list[int], tokens: int):
    batches = length_batches(lengths, tokens)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= tokens
