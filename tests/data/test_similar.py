"""The fast search for near-duplicates gives what comparing all with all gives."""

import json
import random
import re
import resource
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from toy_claims import SYLLABLES, sentence

from medverdict.data import similar
from medverdict.data.similar import NEAR, RELATED, Similarity, near_pairs


def brute_force(texts, left, right, threshold):
    """All with all, by scikit-learn alone."""
    rows = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform(texts)
    cosine = (rows[left] @ rows[right].T).toarray()
    near = np.argwhere(cosine >= threshold - 1e-9)
    return {(int(left[i]), int(right[j])): cosine[i, j] for i, j in near}


def as_dict(pairs):
    return dict(zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.cosine.tolist(), strict=True))


def variants(count, seed=0):
    """Sentences of which many are each other with a word or two changed."""
    dice = random.Random(seed)
    rows = []
    for number in range(count):
        words = sentence(number % (count // 4), 10).split()
        for _ in range(dice.randrange(4)):
            words[dice.randrange(len(words))] = dice.choice(SYLLABLES)
        rows.append(" ".join(words))
    return rows


@pytest.mark.parametrize("threshold", [0.3, RELATED, NEAR, 0.95, 1.0])
def test_pairs_between_two_lists_are_those_of_brute_force(threshold):
    texts = variants(400)
    left, right = np.arange(150), np.arange(150, 400)
    expected = brute_force(texts, left, right, threshold)
    found = as_dict(near_pairs(texts[:150], texts[150:], threshold))
    assert {(i, j + 150) for i, j in found} == expected.keys()
    assert len(expected) > 10 or threshold == 1.0
    assert all(abs(cosine - expected[i, j + 150]) < 1e-9 for (i, j), cosine in found.items())


@pytest.mark.parametrize("threshold", [RELATED, NEAR])
def test_pairs_inside_one_list_are_those_of_brute_force_each_once(threshold):
    texts = variants(300, seed=1)
    rows = np.arange(300)
    expected = {(i, j) for i, j in brute_force(texts, rows, rows, threshold) if i < j}
    assert as_dict(Similarity(texts).within(threshold)).keys() == expected


def test_small_blocks_give_the_same_pairs(monkeypatch):
    texts = variants(200)
    whole = as_dict(Similarity(texts).within(RELATED))
    monkeypatch.setattr(similar, "_PRODUCTS", 500)
    monkeypatch.setattr(similar, "_VERIFIED", 7)
    assert as_dict(Similarity(texts).within(RELATED)) == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="abc áé.", max_size=12), min_size=1, max_size=12), st.sampled_from([0.2, 0.5, 0.8]))
def test_any_short_texts_even_empty_ones(texts, threshold):
    rows = np.arange(len(texts))
    try:
        expected = {
            (i, j) for i, j in brute_force([" ".join(t.split()) for t in texts], rows, rows, threshold) if i < j
        }
    except ValueError:  # scikit-learn refuses texts without any n-gram
        expected = set()
    assert as_dict(Similarity(texts).within(threshold)).keys() == expected


def test_unicode_form_case_and_spaces_do_not_matter():
    (cosine,) = near_pairs(["Bệnh LAO  phổi lây."], ["bệnh lao phổi lây."]).cosine
    assert cosine == pytest.approx(1)


def test_nothing_is_near_to_nothing():
    assert len(near_pairs([], ["a b c"]).left) == len(near_pairs(["a"], []).left) == 0


def templated_rows(folder, total):
    """The published templated rows, and made ones of the same two templates up to `total`."""
    rows = [
        json.loads(line)["input"]
        for name in ("val", "test")
        for line in (folder / "seed" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    causes = [m for m in map(re.compile(r"^Bệnh (.+) có thể gây ra triệu chứng (.+)\.$").match, rows) if m]
    diseases, symptoms = sorted({m[1] for m in causes}), sorted({m[2] for m in causes})
    dice = random.Random(0)
    made = dict.fromkeys(rows)
    while len(made) < total:
        disease, symptom = dice.choice(diseases), dice.choice(symptoms)
        made[f"Bệnh {disease} có thể gây ra triệu chứng {symptom}."] = None
        made[f"{symptom.capitalize()} là triệu chứng thường gặp của bệnh {disease}."] = None
    return list(made)[:total]


@pytest.mark.slow
def test_1250_rows_against_154477_are_searched_exactly_in_time_and_memory(shared_data, capsys):
    rows = templated_rows(shared_data, 1250 + 154_477)
    left, right = rows[:1250], rows[1250:]
    start = time.monotonic()
    found = near_pairs(left, right)
    seconds = time.monotonic() - start
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(f"\n1,250 x 154,477 rows: {seconds:.1f} s, peak {gigabytes:.2f} GiB, {len(found.left)} pairs")
    assert seconds < 90
    assert gigabytes < 4
    vectors = Similarity(rows).vectors
    sample = np.random.default_rng(0).choice(1250, 100, replace=False)
    cosine = (vectors[sample] @ vectors[1250:].T).tocoo()
    near = cosine.data >= NEAR - 1e-9
    expected = set(zip(sample[cosine.row[near]].tolist(), cosine.col[near].tolist(), strict=True))
    assert expected
    assert {pair for pair in as_dict(found) if pair[0] in set(sample.tolist())} == expected
