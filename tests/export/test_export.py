"""A run leaves as a plain model that other programs load, and answers there as it did here."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from medverdict.app.exporting import export
from medverdict.errors import ExportError
from medverdict.export.merged import merged_weights
from medverdict.model.lora import lora_layers
from medverdict.model.verifier import Verifier
from toy_runs import train_toy


@pytest.fixture(scope="module")
def run(tiny_base, tmp_path_factory):
    return train_toy(tiny_base, tmp_path_factory.mktemp("exported") / "run")


def test_a_merged_model_loads_with_plain_transformers_and_agrees(run, tmp_path):
    parity = export(run, tmp_path / "out", "merged", "f16")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("Đúng")["input_ids"]
    assert parity.n == 500 and parity.agreement > 0.98
    stored = json.loads((run / "run.json").read_text(encoding="utf-8"))
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as weights:
        told = weights.metadata()
    assert told["medverdict.prompt"] == stored["recipe"]["prompt"]
    assert told["medverdict.label_false"] == stored["recipe"]["label_false"]
    assert float(told["medverdict.threshold"]) == stored["calibration"]["threshold"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "not medical advice" in card and "500 claims" in card


def test_merging_adds_exactly_the_scaled_update(tiny_base, toy_recipe, cpu):
    verifier = Verifier.load(tiny_base, toy_recipe, cpu)
    name, layer = next(iter(lora_layers(verifier.model)))
    torch.nn.init.normal_(layer.lora_B)
    before = layer.base.weight.detach().clone()
    merged = merged_weights(verifier)[f"{name}.weight"]
    assert torch.allclose(merged, before + layer.scale * (layer.lora_B @ layer.lora_A))
    assert not any("lora" in key or ".base." in key for key in merged_weights(verifier))


@pytest.mark.parametrize("quantisation", ["f16", "q8_0"])
def test_llama_cpp_answers_a_gguf_file_as_the_run_does(run, tmp_path, quantisation):
    pytest.importorskip("xllamacpp", reason="llama.cpp's binding is not installed (extra gguf)")
    parity = export(run, tmp_path / "out", "gguf", quantisation)
    assert parity.agreement > 0.98
    assert "FROM ./model-" in (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")


def test_the_gguf_file_carries_prompt_label_words_and_threshold(run, tmp_path):
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp", reason="llama.cpp's binding is not installed (extra gguf)")
    export(run, tmp_path / "out", "gguf", "f16")
    fields = gguf.GGUFReader(tmp_path / "out" / "model-f16.gguf").fields
    stored = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert fields["medverdict.prompt"].contents() == stored["recipe"]["prompt"]
    assert fields["medverdict.label_true"].contents() == stored["recipe"]["label_true"]
    assert fields["medverdict.threshold"].contents() == pytest.approx(stored["calibration"]["threshold"], abs=1e-6)


def test_an_export_that_answers_differently_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr("medverdict.export.parity.MAY_TURN", {"merged": -1.0})
    with pytest.raises(ExportError, match="Nothing was written"):
        export(run, tmp_path / "out", "merged", "f16")
    assert not list(tmp_path.iterdir())
