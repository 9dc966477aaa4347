"""The budget: counted before any download, tied weights once, adapters included."""

from __future__ import annotations

import json

import pytest

from medverdict.errors import GATE_CLOSED, GateError, RunError
from medverdict.model.budget import LIMIT, check_budget, count_parameters
from tiny import make_tiny_base

QWEN_0_5B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


def write_config(folder, **changes):
    (folder / "config.json").write_text(json.dumps(QWEN_0_5B | changes))
    return folder


def test_the_limit_itself_is_allowed():
    assert check_budget(LIMIT) is None
    assert check_budget(LIMIT - 10, adapters=10) is None


@pytest.mark.parametrize(("base", "adapters"), [(LIMIT + 1, 0), (LIMIT, 1)])
def test_one_more_is_refused_with_count_and_excess(base, adapters):
    with pytest.raises(GateError, match=r"1,000,000,001 parameters.*: 1 over the budget of 1,000,000,000") as caught:
        check_budget(base, adapters)
    assert caught.value.exit_code == GATE_CLOSED


def test_an_override_returns_the_sentence_for_the_report():
    sentence = check_budget(1_100_048_384, override=True)
    assert sentence
    assert "overridden" in sentence
    assert "100,048,384 over" in sentence


def test_a_configuration_alone_is_counted_with_tied_weights_once(tmp_path):
    tied = count_parameters(write_config(tmp_path))
    untied = count_parameters(write_config(tmp_path, tie_word_embeddings=False))
    assert tied == 494_032_768, "the registry's count of this architecture"
    assert untied - tied == 151_936 * 896


def test_a_tiny_base_is_counted(tmp_path):
    assert count_parameters(make_tiny_base(tmp_path)) == 31_008


@pytest.mark.parametrize(
    "config",
    ["{", "{}", json.dumps(QWEN_0_5B | {"model_type": "own", "auto_map": {"AutoConfig": "evil.py--C"}})],
    ids=["broken json", "no model type", "remote code"],
)
def test_a_configuration_that_cannot_be_built_is_an_error(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(RunError, match=r"config\.json: no causal language model can be built"):
        count_parameters(tmp_path)
