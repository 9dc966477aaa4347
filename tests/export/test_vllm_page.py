"""examples/vllm_classify.md: its code turns what the endpoint is documented to answer into our own verdicts.

vLLM is not here. A stand-in speaks the two endpoints' JSON and answers with plain transformers on an exported model.
"""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from medverdict.app.exporting import export
from medverdict.errors import NOT_ADVICE
from medverdict.predict.answer import answer
from medverdict.predict.load import GOLDEN_TOLERANCE, load_run
from toy_runs import toy_rows, train_toy

PAGE = (Path(__file__).resolve().parents[2] / "examples" / "vllm_classify.md").read_text(encoding="utf-8")
CLAIMS = [row.text for row in toy_rows(12)] + ["  Bệnh   lao\nlây.", "Ho kéo dài."]


@contextmanager
def stand_in(model_folder):
    """Answers /v1/completions and /classify for the model in fp32."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    config = {}

    def completions(body):
        assert body["max_tokens"] == 1 and body["return_tokens_as_token_ids"] and body["logprobs"]
        for index, prompt in enumerate(body["prompt"]):
            logprobs = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].log_softmax(0)
            shown = {*body["logprob_token_ids"], int(logprobs.argmax())}  # the sampled token is always among them
            top = {f"token_id:{token}": float(logprobs[token]) for token in shown}
            yield {"index": index, "logprobs": {"top_logprobs": [top]}}

    def classify(body):
        false_id, true_id = tokenizer.convert_tokens_to_ids(config["classifier_from_token"])
        head = model.lm_head.weight
        for index, prompt in enumerate(body["input"]):
            state = model.model(**tokenizer(prompt, return_tensors="pt")).last_hidden_state[0, -1]
            margin = state @ (head[true_id] - head[false_id])
            score = margin if body["use_activation"] is False else margin.sigmoid()
            yield {"index": index, "label": "LABEL_0", "probs": [float(score)], "num_classes": 1}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name, answers = {"/v1/completions": ("choices", completions), "/classify": ("data", classify)}[self.path]
            with torch.no_grad():
                answer = json.dumps({name: [*answers(body)][::-1]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", config
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def run(tiny_base, tmp_path_factory):
    return train_toy(tiny_base, tmp_path_factory.mktemp("vllm") / "run")


def test_both_ways_of_asking_give_our_verdicts(run, tmp_path, cpu):
    export(run, tmp_path / "mine", "merged", "f16")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    with stand_in(tmp_path / "mine") as (address, config):
        code = code.replace("http://127.0.0.1:8000", address).replace("models/mine", str(tmp_path / "mine"))
        page = {}
        exec(compile(code, "vllm_classify.md", "exec"), page)
        config.update(page["overrides"]())
        told = {way: page[way](CLAIMS) for way in ("by_completion", "by_classify")}
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    loaded = load_run(run, cpu)
    ours = answer(loaded, CLAIMS)
    assert len({one.verdict for one in ours}) == 2, "a test that could not fail"
    for answers in told.values():
        assert [verdict for verdict, _ in answers] == [one.verdict for one in ours]
        # the exported weights are rounded to bf16, ours are not
        assert np.allclose([p for _, p in answers], [one.p_true for one in ours], atol=0.02)
    assert np.allclose([p for _, p in told["by_completion"]], [p for _, p in told["by_classify"]], atol=1e-5)


def test_the_page_says_what_was_not_run_and_which_tolerance_holds():
    flat = " ".join(PAGE.replace("\n>", "").split())
    assert NOT_ADVICE in flat[:400]
    assert "Not run by us" in flat and f"within {GOLDEN_TOLERANCE['bf16']}" in flat
