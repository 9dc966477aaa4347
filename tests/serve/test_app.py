"""The HTTP API: the answers of `verify`, and a reason with every refusal."""

import json
import socket
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live_server import serving
from medverdict.errors import NOT_ADVICE
from medverdict.predict.answer import answer
from medverdict.serve import app as room
from medverdict.serve.limits import Limits

CLAIM = "Bệnh lao lây qua đường hô hấp."
CLAIMS = [f"Thuốc {n} có tác dụng {'tốt' if n % 2 else 'xấu'}{' cho người bệnh' * (n % 4)}." for n in range(30)]


def ask(address, **body):
    return httpx.post(f"{address}/verify", json=body, timeout=30)


def test_one_claim_and_many_are_answered_as_verify_answers(address, loaded):
    one = ask(address, claim=CLAIM)
    assert one.status_code == 200
    assert one.json()["notice"] == NOT_ADVICE and one.json()["run"] == loaded.run.id
    found = ask(address, claims=[CLAIM, *CLAIMS]).json()["answers"]
    assert found[0]["verdict"] == one.json()["answers"][0]["verdict"]
    for got, expected in zip(found, answer(loaded, [CLAIM, *CLAIMS]), strict=True):
        assert (got["claim"], got["verdict"]) == (expected.claim, expected.verdict)
        assert got["p_true"] == pytest.approx(expected.p_true, abs=1e-5)


def test_decomposed_unicode_changes_nothing(address):
    assert ask(address, claim=unicodedata.normalize("NFD", CLAIM)).json() == ask(address, claim=CLAIM).json()


def test_it_abstains_only_when_asked_to(address):
    verdicts = [{a["verdict"] for a in ask(address, claims=CLAIMS, abstain=yes).json()["answers"]} for yes in (0, 1)]
    assert "ABSTAIN" not in verdicts[0] and "ABSTAIN" in verdicts[1]


REFUSED = [
    ({}, 422, "body: expected either claim"),
    ({"claim": "a", "claims": ["b"]}, 422, "either claim"),
    ({"claims": []}, 422, "claims"),
    ({"claims": "a"}, 422, "claims"),
    ({"claims": ["a", 5]}, 422, "claims 1"),
    ({"claims": ["a", " \u200b "]}, 422, "claim 2: holds no text"),
    ({"claim": "dài " * 501}, 422, "at most 2000"),
    ({"claim": "ế" * 1990}, 422, "tokens"),
    ({"claims": ["a"] * 101}, 422, "at most 100"),
    ({"claim": "a", "mood": "good"}, 422, "mood"),
    ({"claim": "a" * 1_000_000}, 413, "larger than 1,000,000 bytes"),
    ({"claim": "a" * 9_000_000}, 413, "larger than 1,000,000 bytes"),
]


@pytest.mark.parametrize(("body", "status", "reason"), REFUSED)
def test_a_request_that_is_not_answered_is_told_why(address, body, status, reason):
    refused = ask(address, **body)
    assert refused.status_code == status and set(refused.json()) == {"reason"}
    assert reason in refused.json()["reason"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"claim": "\\ud800"}', b"null", b"1e999"])
def test_broken_json_is_the_askers_mistake(address, content):
    sent = httpx.post(f"{address}/verify", content=content, headers={"content-type": "application/json"})
    assert sent.status_code in (400, 422) and sent.json()["reason"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["claim", "claims", "abstain", "x"]), x),
    )
)
def test_no_body_breaks_the_server(address, body):
    content = json.dumps(body).encode()
    sent = httpx.post(f"{address}/verify", content=content, headers={"content-type": "application/json"})
    assert sent.status_code in (200, 400, 422), sent.text


def test_a_run_that_cannot_abstain_says_so(loaded):
    run = loaded.run.model_copy(
        update={"calibration": loaded.run.calibration.model_copy(update={"abstain_below": None})}
    )
    with serving(replace(loaded, run=run)) as address:
        refused = ask(address, claim=CLAIM, abstain=True)
    assert refused.status_code == 422 and "can't abstain" in refused.json()["reason"]


def test_more_requests_than_there_is_room_for_are_refused_and_none_is_lost(loaded, monkeypatch):
    go, score = threading.Event(), room.score_margins
    monkeypatch.setattr(room, "score_margins", lambda *given: go.wait(30) and score(*given))
    with serving(loaded, Limits(requests=4, waiting=64)) as address, ThreadPoolExecutor(12) as pool:
        sent = [pool.submit(ask, address, claim=claim) for claim in CLAIMS[:12]]
        while sum(job.done() for job in sent) < 8:
            threading.Event().wait(0.01)
        assert httpx.get(f"{address}/health").status_code == 200, "health must be heard when all else waits"
        go.set()
        answers = [job.result() for job in sent]
    assert sorted(a.status_code for a in answers) == [200] * 4 + [429] * 8
    assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 429)
    expected = {a.claim: a.verdict for a in answer(loaded, CLAIMS[:12])}
    told = [a.json()["answers"][0] for a in answers if a.status_code == 200]
    assert all(expected[a["claim"]] == a["verdict"] for a in told)


def test_an_answer_that_takes_too_long_is_refused_with_503(loaded, monkeypatch):
    go, score = threading.Event(), room.score_margins
    monkeypatch.setattr(room, "score_margins", lambda *given: go.wait(30) and score(*given))
    with serving(loaded, Limits(seconds=0.2)) as address:
        late = ask(address, claim=CLAIM)
        go.set()
    assert late.status_code == 503 and "0.2 seconds" in late.json()["reason"]


def test_a_body_that_comes_too_slowly_is_refused_with_408(loaded):
    with serving(loaded, Limits(body_seconds=0.2)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(b"POST /verify HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{")
            assert b" 408 " in slow.recv(1000).splitlines()[0]


@pytest.mark.parametrize("broken", ["raises", "not finite"])
def test_a_broken_model_is_our_failure_and_the_log_holds_no_claim(loaded, monkeypatch, caplog, broken):
    def score(verifier, texts):
        if broken == "raises":
            raise RuntimeError(f"cannot judge {texts}")
        return np.array([np.nan] * len(texts))

    monkeypatch.setattr(room, "score_margins", score)
    with caplog.at_level("INFO"), serving(loaded) as address:
        failed = ask(address, claim=CLAIM)
        httpx.get(f"{address}/verify/{CLAIM}?claim={CLAIM}")
    assert failed.status_code == 500 and failed.json()["reason"]
    ours = [record for record in caplog.records if record.name == "medverdict.serve"]
    assert len(ours) >= 2
    assert not any(CLAIM in record.getMessage() or "lao" in record.getMessage() for record in ours)


def test_model_tells_what_answers_and_within_which_limits(address, loaded):
    facts = httpx.get(f"{address}/model").json()
    assert facts["run"] == loaded.run.id and facts["prompt"] == loaded.run.recipe.prompt
    assert facts["label_words"] == [loaded.run.recipe.label_true, loaded.run.recipe.label_false]
    assert facts["golden_rows"] == 20 and facts["limits"]["claims"] == 100 and facts["notice"] == NOT_ADVICE


def test_the_description_of_the_api_is_whole_and_needs_no_other_server(address):
    api = httpx.get(f"{address}/openapi.json").json()
    assert set(api["paths"]) == {"/verify", "/health", "/model"}
    assert {"200", "413", "422", "429", "503"} <= set(api["paths"]["/verify"]["post"]["responses"])
    for path in ("/", "/docs"):
        page = httpx.get(f"{address}{path}")
        assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
        assert "http://" not in page.text and "https://" not in page.text and 'src="' not in page.text


def test_an_unknown_place_has_a_reason_too(address):
    assert httpx.get(f"{address}/nowhere").json() == {"reason": "Not Found"}
    assert httpx.get(f"{address}/verify").status_code == 405
