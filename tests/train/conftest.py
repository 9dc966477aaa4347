"""A small training job on the tiny base, for every test of this room."""

from __future__ import annotations

import pytest

from medverdict.files import write_jsonl
from medverdict.records import Split
from medverdict.train.manifest import Job


@pytest.fixture
def job(tiny_base, toy_recipe, toy_claims, tmp_path):
    def make(**changes):
        parts = {}
        for name, claims in (("train", toy_claims[:28]), ("dev", toy_claims[28:])):
            digest = write_jsonl(tmp_path / f"{name}.jsonl", claims)
            parts[name] = Split(name=name, claims=tuple(claims), sha256=digest)
        recipe = toy_recipe.model_copy(update=changes)
        return Job(recipe, tiny_base, parts["train"], parts["dev"], str(tmp_path), ())

    return make
