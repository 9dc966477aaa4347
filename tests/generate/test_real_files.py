"""The real knowledge files give the published number of rows, the same bytes each time, within two minutes."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from medverdict import text
from medverdict.app.generating import generate_icd10, generate_kb, generate_qa
from medverdict.files import read_records
from medverdict.generate.kb import PUBLISHED_ROWS
from medverdict.records import Claim

ICD10_SHA256 = "809dc269b58735add0f1f06d43eaafe0bd97a9009e8982bef5cf1443bed8a98a"
KB_SHA256 = "f9e96c7a05e5bd5f3d9a19ec8a48fcca4a84878151cbb371ac23c27e12109175"
QA_SHA256 = "1b796edfb5a5a965a40f448f32ea6a1e71e98ff51f932eb42d0baf62f6499613"


@pytest.mark.slow
@pytest.mark.pinned
def test_the_published_number_of_rows_balanced_none_twice_each_with_source_and_group(shared_data, tmp_path):
    raw = shared_data / "kb"
    start = time.monotonic()
    done = generate_kb(raw / "ViMedical_Disease.csv", raw / "ViMedNER.jsonl", tmp_path / "kb", PUBLISHED_ROWS, seed=0)
    assert time.monotonic() - start < 120
    claims = read_records(done.file, Claim)
    assert len(claims) == len({text.fold(claim.text) for claim in claims}) == 154_477
    assert Counter(claim.label for claim in claims) == {"TRUE": 77_239, "FALSE": 77_238}
    assert all(claim.source and claim.group.count(" | ") == 2 for claim in claims)
    assert done.origin.claims == {"kb.jsonl": KB_SHA256}
    assert done.quality.tfidf.low < 0.5 < done.quality.tfidf.high


@pytest.mark.slow
@pytest.mark.pinned
def test_codes_and_answers_give_the_rows_that_the_documents_name(shared_data, tmp_path):
    raw = shared_data / "kb"
    icd10 = generate_icd10(raw / "icd10_vi_en.csv", tmp_path / "icd10", None, seed=0)
    assert icd10.origin.claims == {"icd10.jsonl": ICD10_SHA256}
    files = [raw / "ViMedAQA_validation.jsonl", raw / "ViMedAQA_test.jsonl"]
    assert generate_qa(files, tmp_path / "qa", None, seed=0).origin.claims == {"qa.jsonl": QA_SHA256}
