"""Several devices answer as one does, in the same order; what happens when a process dies."""

import os
import signal
import subprocess
import sys
import textwrap
from multiprocessing import active_children

import numpy as np
import pytest

from medverdict.app import predict as app
from medverdict.app.predict import PredictOptions, predict
from medverdict.errors import GateError, RunError
from medverdict.files import write_json
from medverdict.model.precision import choose_devices
from medverdict.predict import stream
from medverdict.predict.journal import Journal
from medverdict.predict.load import load_run, read_run
from medverdict.predict.score import score_margins
from medverdict.predict.workers import score_apart

CLAIMS = [f"Thuốc {n} có tác dụng {'tốt' if n % 2 else 'xấu'}{' cho người bệnh' * (n % 3)}." for n in range(60)]
LARGE, PIPE = 8200, 65_536
"""Rows of a large list, bytes that a pipe holds."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setitem(stream.CHUNK, "cpu", 8)


@pytest.fixture
def claims_csv(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text("claim\n" + "\n".join(CLAIMS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def one_process(claims_csv, tiny_run, cpu):
    """What a single process writes."""
    return predict(claims_csv, PredictOptions(tiny_run, claims_csv.with_name("one.csv"))).out.read_bytes()


def test_two_processes_write_what_one_writes(claims_csv, tiny_run, one_process, monkeypatch):
    monkeypatch.setattr(stream, "score_margins", None)  # this process scores nothing
    done = predict(claims_csv, PredictOptions(tiny_run, devices="cpu,cpu"))
    assert done.out.read_bytes() == one_process
    assert done.rows == 60 and not active_children()
    assert sorted(p.name for p in claims_csv.parent.iterdir()) == ["claims-judged.csv", "claims.csv", "one.csv"]


def test_a_worker_that_is_killed_ends_the_work_and_the_same_command_goes_on(
    claims_csv, tiny_run, one_process, monkeypatch, capsys
):
    append, kept = Journal.append, []

    def then_kill(journal, margins):
        append(journal, margins)
        kept.append(len(margins))
        if len(kept) == 2:
            for worker in active_children():
                os.kill(worker.pid, signal.SIGKILL)

    monkeypatch.setattr(Journal, "append", then_kill)
    options = PredictOptions(tiny_run, devices="cpu,cpu")
    with pytest.raises(RunError, match=r"scored on cpu died.*goes on from there"):
        predict(claims_csv, options)
    assert not active_children()
    assert not claims_csv.with_name("claims-judged.csv").exists()
    scored = sum(kept)
    assert 16 <= scored < 60
    assert predict(claims_csv, options).out.read_bytes() == one_process
    assert f"{scored} of 60 rows were scored before" in capsys.readouterr().err
    assert sum(kept) == 60, "a row was kept twice, or never"


def test_what_a_worker_raises_is_raised_here(claims_csv, tiny_run, monkeypatch):
    """A run that this process could load and a worker cannot, as where a GPU answers differently."""
    loaded = app.load_run

    def then_damage(folder, placement):
        found = loaded(folder, placement)
        run = read_run(folder)
        golden = tuple(row.model_copy(update={"margin": row.margin + 9}) for row in run.golden)
        write_json(folder / "run.json", run.model_copy(update={"golden": golden}).model_dump(mode="json"))
        return found

    copied = claims_csv.with_name("run")
    copied.mkdir()
    for path in tiny_run.iterdir():
        if path.is_file():
            (copied / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(app, "load_run", then_damage)
    with pytest.raises(GateError, match="does not answer as it was measured"):
        predict(claims_csv, PredictOptions(copied, devices="cpu,cpu"))
    assert not active_children() and not claims_csv.with_name("claims-judged.csv").exists()


def test_large_lists_are_answered_in_the_order_asked(tiny_run, cpu):
    """Larger than a pipe holds, both what is asked and what is answered."""
    lists = [[f"Thuốc {n} {rest}." for n in range(LARGE)] for rest in ("tốt", "xấu", "có hại")]
    assert min(sum(map(len, texts)) for texts in lists) > PIPE and LARGE * 8 > PIPE
    verifier, told = load_run(tiny_run, cpu).verifier, []
    with score_apart(tiny_run, [cpu, cpu], told.append) as score:
        for texts, margins in zip(lists, score(lists), strict=True):
            assert np.allclose(margins[:20], score_margins(verifier, texts[:20]), atol=1e-5)
            assert len(margins) == LARGE
    assert told == [LARGE] * 3 and not active_children()


@pytest.mark.parametrize("answered", [0, 1])
def test_a_worker_that_is_killed_holds_nobody_up(tiny_run, cpu, answered):
    """Before it read a list, or while it scores one. What is larger than a pipe is half sent at most."""
    large = [f"Thuốc {n} {'tốt ' * 35}." for n in range(LARGE)]

    def asked():
        yield from [["Được."]] * answered
        yield from [large] * 2
        for worker in active_children():
            os.kill(worker.pid, signal.SIGKILL)
        yield from [large] * 2

    with (
        score_apart(tiny_run, [cpu], lambda rows: None) as score,
        pytest.raises(RunError, match=r"died.*said itself"),
    ):
        list(score(asked()))
    assert not active_children()


def test_a_load_that_fails_is_not_tried_again(cpu, tmp_path):
    with score_apart(tmp_path, [cpu], lambda rows: None) as score:
        (worker,) = active_children()
        with pytest.raises(RunError, match="not a finished run"):
            list(score([["Được."]] * 2))
        worker.join(60)
        assert worker.exitcode == 0, "it waits for another list"


def scoring(tiny_run, inside):
    """A process in a group of its own whose two workers score; `inside` is what it does with `score`."""
    script = f"""
import itertools, pathlib, signal
from medverdict.model.precision import choose_placement
from medverdict.predict.workers import score_apart
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background would ignore it
try:
    with score_apart(pathlib.Path({str(tiny_run)!r}), [choose_placement()] * 2, lambda rows: None) as score:
{textwrap.indent(inside, " " * 8)}
        for margins in score(itertools.repeat(["Được."] * 8)):
            print(len(margins), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def test_workers_end_with_a_parent_that_is_killed(tiny_run):
    parent = scoring(tiny_run, "")
    assert parent.stdout.readline() == b"8\n"
    parent.kill()
    _, err = parent.communicate(timeout=60)  # ends when no process holds the pipes any more
    assert err == b""


def test_ctrl_c_is_heard_by_the_parent_alone(tiny_run):
    """Once while the workers import, when the parent goes on, and once while they score, when it does not."""
    parent = scoring(
        tiny_run,
        """
interrupt = signal.signal(signal.SIGINT, lambda *_: signal.signal(signal.SIGINT, interrupt))
print("started", flush=True)
""",
    )
    assert parent.stdout.readline() == b"started\n"
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.stdout.readline() == b"8\n"
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=60)
    assert out.endswith(b"interrupted\n") and err == b"" and parent.returncode == 0


def test_without_being_asked_only_a_large_file_is_shared(claims_csv, tiny_run, cpu, monkeypatch):
    two, asked = [cpu.device] * 2, []

    def watched(folder, loaded, devices, advance):
        asked.append(len(devices))
        return honest(folder, loaded, devices[:1], advance)

    honest = app.scorer
    monkeypatch.setattr(app, "choose_devices", lambda named: two)
    monkeypatch.setattr(app, "scorer", watched)
    for number, (worth, devices) in enumerate([(61, None), (60, None), (61, "all")]):
        monkeypatch.setattr(app, "ROWS_WORTH_WORKERS", worth)
        predict(claims_csv, PredictOptions(tiny_run, claims_csv.with_name(f"{number}.csv"), devices=devices))
    assert asked == [1, 2, 2]


@pytest.mark.parametrize("named", ["cuda:99", "cpu,", "tpu"])
def test_a_device_that_is_not_here_is_refused(claims_csv, run, named):
    code, _, err = run("predict", claims_csv, "--devices", named)
    assert code == 2 and "no device" in err and "cpu" in err


def test_devices_are_named_or_all(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [*map(str, choose_devices())] == [*map(str, choose_devices("all"))] == ["cuda:0", "cuda:1"]
    assert [*map(str, choose_devices("cuda:1, cuda:1"))] == ["cuda:1", "cuda:1"]
    with pytest.raises(RunError, match="one kind"):
        choose_devices("cpu,cuda:0")
