"""`medverdict serve` as a process: how it starts, what it keeps to itself, how it ends."""

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from live_server import OwnProcess
from medverdict.cli import main
from medverdict.errors import NOT_ADVICE, RunError
from medverdict.serve.app import BATCH
from medverdict.serve.server import address_of, bind

CLAIM = "Bệnh lao lây qua đường hô hấp."


@pytest.fixture
def start(tiny_run):
    started = []

    def call(*arguments):
        started.append(OwnProcess(tiny_run, *arguments))
        return started[-1]

    yield call
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def test_sigterm_answers_what_was_taken_and_then_ends_well(start, tmp_path):
    own = start(tmp_path / "go")
    asked = {"claims": [f"{CLAIM} Lần {n}, rồi lần {n * 7919}." for n in range(30)]}

    def ask():
        return httpx.post(f"{own.address}/verify", json=asked, timeout=60)

    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(ask) for _ in range(4)]
        while httpx.get(f"{own.address}/health").json()["waiting"] != 4 * 30 - BATCH["cpu"]:
            time.sleep(0.01)
        own.process.send_signal(signal.SIGTERM)
        while not refused(own.address):
            time.sleep(0.01)
        assert not any(job.done() for job in sent)
        (tmp_path / "go").touch()
        answers = [job.result() for job in sent]
    assert own.process.wait(60) == 0
    assert [len(a.json()["answers"]) for a in answers] == [30] * 4


def refused(address):
    try:
        httpx.get(f"{address}/health")
    except httpx.TransportError:
        return True
    return False


def test_it_is_heard_here_only_and_its_log_has_a_line_a_request_and_nothing_of_a_claim(start):
    own = start()
    assert own.address.startswith("http://127.0.0.1:")
    httpx.post(f"{own.address}/verify", json={"claim": CLAIM})
    httpx.post(f"{own.address}/verify", json={"claim": CLAIM * 100})
    httpx.post(f"{own.address}/verify", content=CLAIM.encode())
    httpx.get(f"{own.address}/{CLAIM}", params={"claim": CLAIM})
    assert own.end(signal.SIGTERM) == 0
    logged = "".join(own.lines)
    assert logged.count("POST /verify") == 3 and "(another path) 404" in logged
    assert NOT_ADVICE in " ".join(logged.split())
    assert "lao" not in logged and "hô" not in logged and "%" not in logged


def test_a_run_that_answers_differently_is_not_served(tiny_run, tmp_path, capsys, monkeypatch):
    shutil.copytree(tiny_run, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    stored["golden"][7]["margin"] += 5
    (tmp_path / "run" / "run.json").write_text(json.dumps(stored), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["medverdict", "serve", "--port", "0", "--run", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3 and "does not answer as it was measured" in capsys.readouterr().err


def test_a_place_that_is_taken_is_named(tmp_path):
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        host, port = taken.getsockname()
        with pytest.raises(RunError, match=rf"127.0.0.1:{port}: cannot listen there .*--port"):
            bind(host, port)
    with pytest.raises(RunError, match="cannot listen"):
        bind("no.such.host.invalid", 1)


def test_an_address_of_the_sixth_version_is_written_as_a_browser_reads_it():
    try:
        bound = bind("::1", 0)
    except RunError:
        pytest.skip("this machine has no IPv6")
    with bound:
        assert address_of(bound).startswith("http://[::1]:")


def test_nothing_opens_a_connection_while_serving():
    script = """
import socket
from medverdict.serve.app import BATCH
from medverdict.serve.server import forbid_outgoing
listening = socket.create_server(("127.0.0.1", 0))
forbid_outgoing()
for tried in (
    lambda: socket.create_connection(listening.getsockname()),
    lambda: socket.socket().connect(listening.getsockname()),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
):
    try:
        tried()
    except ConnectionRefusedError as error:
        assert "no network while serving" in str(error), error
    else:
        raise SystemExit("it went out")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
