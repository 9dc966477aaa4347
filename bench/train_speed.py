"""How fast a training step is: the published script, the libraries and this project's engines on the same batches.

    python bench/train_speed.py --out train_speed.json --limit 280      # all arms, 5 rounds, full-size random weights
    python bench/train_speed.py --out x.json --tiny --device cpu        # rehearsal in a minute
    python bench/train_speed.py --base FOLDER ...                       # real weights, this project's claims as rows

Each arm is a process of its own that loads, warms up and waits; in every round each arm in turn runs the same steps
on the same rows, alone on the device. Ratios are taken round by round. An arm that fails is reported, and the others
go on; the file is written after every round, so that whatever stops this leaves what was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from speed_arms import ARMS, FULL_RUN_ROWS, LIBRARIES, ROWS_A_STEP, SUSTAINED, make_config, make_rows, rank, run_arm

REFERENCES = (*LIBRARIES, "plain")
PASSED_ON = ("rounds", "steps", "warm", "device", "layers", "base")


class Arm:
    """One arm's process, as the parent sees it."""

    def __init__(self, name: str, options: argparse.Namespace, folder: Path) -> None:
        file = {"+": "with", "-": "without"}.get(name[0], "") + name
        self.name, self.log = name, folder / f"{file}.log"
        command = [sys.executable, __file__, f"--arm={name}", f"--scratch={folder / file}"]
        command += [f"--{option}={getattr(options, option)}" for option in PASSED_ON]
        command += ["--tiny"] if options.tiny else []
        self.rounds: list[dict[str, Any]] = []
        self.start: dict[str, Any] = {}
        self.sustained: dict[str, Any] | None = None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True,
            env={**os.environ, "OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
        self._reports: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("@"):
                self._reports.put(json.loads(line[1:]))
        self._reports.put(None)

    def answer(self, deadline: float) -> dict[str, Any]:
        """The next report. Raises RuntimeError saying why there is none."""
        try:
            report = self._reports.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            raise RuntimeError("no answer in time") from None
        if report is None:
            self.process.wait()
            raise RuntimeError(self.log.read_text(errors="replace")[-1500:] or "ended without a word")
        return report

    def go(self) -> None:
        """Let it run its next round."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.wait()


class Bench:
    """All arms, what they reported, and the time that is left."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.deadline = time.monotonic() + options.limit
        self.folder = Path(options.out).resolve().parent / "train_speed_logs"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.names = options.arms.split(",") if options.arms else list(ARMS)
        self.arms: list[Arm] = []
        self.living: list[Arm] = []
        self.dead: dict[str, str] = {}

    def run(self) -> None:
        """Wait for the arms, run the rounds in turn, then the sustained parts one after the other."""
        try:
            for place in range(len(self.names)):
                self._start_until(place + self.options.at_once)
                arm = self.arms[place]
                with self._mourning(arm):
                    arm.start = arm.answer(min(self.deadline, time.monotonic() + self.options.start_limit))
                    self.living.append(arm)
            print(f"{len(self.living)} arms ready, {self.left():.0f} s left", flush=True)
            for number in range(self.options.rounds):
                if not self._round(number):
                    break
                self.write()
        finally:
            for arm in self.arms:
                arm.end()

    def _start_until(self, count: int) -> None:
        """Few at a time, so that none waits long for a processor."""
        for name in self.names[len(self.arms) : count]:
            self.arms.append(Arm(name, self.options, self.folder))

    def _round(self, number: int) -> bool:
        """Every arm in turn; False when the time is up, and then the round counts for none."""
        begun = time.monotonic()
        for arm in self.living if number % 2 == 0 else self.living[::-1]:
            if self.left() < 1:
                print(f"time is up in round {number + 1}", flush=True)
                for other in self.living:
                    del other.rounds[number:]
                return False
            with self._mourning(arm):
                arm.go()
                arm.rounds.append(arm.answer(self.deadline))
                if number == self.options.rounds - 1 and arm.name in SUSTAINED:
                    arm.sustained = arm.answer(self.deadline)  # here, so that it is alone on the device
        self.living = [arm for arm in self.living if arm.name not in self.dead]
        print(f"round {number + 1}: {time.monotonic() - begun:.1f} s, {self.left():.0f} s left", flush=True)
        return True

    @contextlib.contextmanager
    def _mourning(self, arm: Arm) -> Any:
        """An arm that fails is out, and the others go on."""
        try:
            yield
        except RuntimeError as error:
            arm.end()
            self.dead[arm.name] = str(error)
            last = str(error).strip().splitlines()[-1]
            print(f"{arm.name} is out: {last}", flush=True)

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def write(self) -> dict[str, Any]:
        """Store what was measured so far."""
        result = summarise(self.options, [arm for arm in self.living if arm.rounds], self.dead)
        Path(self.options.out).write_text(json.dumps(result, indent=1), encoding="utf-8")
        return result


def useful_flop(rows: list[list[int]], config: Any, lora_rank: int) -> float:
    """Operations that these rows need when nothing is computed twice, LoRA on q, k, v, o.

    Forward 2 per weight and token; backward 2 more for the gradient of a frozen layer's input (not in the first
    projections) and 4 for an adapter's.
    """
    width, mlp, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    head_width = width // config.num_attention_heads
    qkv_out = width + 2 * config.num_key_value_heads * head_width
    qkv, rest = width * qkv_out, width * width + 3 * width * mlp
    adapters_in, adapters_out = lora_rank * (3 * width + qkv_out), lora_rank * 2 * width
    prefix = next(n for n, column in enumerate(zip(*(row[:-2] for row in rows), strict=False)) if len(set(column)) > 1)
    answers = len(rows)
    tokens = prefix + sum(len(row) - 1 - prefix for row in rows)
    deep = tokens * (layers - 1) + answers
    linear = 4 * (qkv * tokens * layers + rest * deep) - 2 * qkv * tokens
    adapters = 6 * (adapters_in * tokens * layers + adapters_out * deep)
    seen = sum((len(row) - 1) ** 2 - prefix**2 for row in rows) / 2 + prefix**2 / 2
    attention = 3 * 4 * width * seen * layers
    head = 4 * width * config.vocab_size * answers
    return float(linear + adapters + attention + head)


def summarise(options: argparse.Namespace, arms: list[Arm], dead: dict[str, str]) -> dict[str, Any]:
    """Per arm: samples, tokens and useful operations a second, memory, ratio to each reference round by round."""
    config = make_config(options)
    done = max((len(arm.rounds) for arm in arms), default=0)
    rows = make_rows(ROWS_A_STEP * (options.warm + options.steps * options.rounds), options)
    size = options.steps * ROWS_A_STEP
    spans = [rows[options.warm * ROWS_A_STEP + n * size :][:size] for n in range(done)]
    flops = [
        sum(useful_flop(span[k : k + ROWS_A_STEP], config, rank(options)) for k in range(0, size, ROWS_A_STEP))
        for span in spans
    ]
    tokens = [sum(map(len, span)) for span in spans]
    seconds = {arm.name: [r["seconds"] for r in arm.rounds] for arm in arms}
    out: dict[str, Any] = {}
    for arm in arms:
        mine = seconds[arm.name]
        entry: dict[str, Any] = {
            "milliseconds_a_step": spread([1e3 * s / options.steps for s in mine]),
            "samples_a_second": spread([size / s for s in mine]),
            "tokens_a_second": spread([n / s for n, s in zip(tokens, mine, strict=False)]),
            "useful_tflop_a_second": spread([f / s / 1e12 for f, s in zip(flops, mine, strict=False)]),
            "seconds_of_rounds": mine,
            "start": arm.start,
            "last": {k: v for k, v in arm.rounds[-1].items() if k != "seconds"},
        }
        for reference in REFERENCES:
            pairs = list(zip(seconds.get(reference, []), mine, strict=False))
            if pairs:
                entry[f"faster_than_{reference}"] = spread([theirs / own for theirs, own in pairs])
        if arm.sustained:
            entry["sustained"] = arm.sustained | full_run(arm.sustained)
        out[arm.name] = entry
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "rounds": done,
        "steps_a_round": options.steps,
        "rows_a_step": ROWS_A_STEP,
        "rows_from": options.base or "random tokens",
        "mean_tokens_a_row": statistics.fmean(map(len, rows)),
        "arms": out,
        "did_not_run": dead,
    }


def full_run(sustained: dict[str, Any]) -> dict[str, float]:
    """Minutes for a whole v5, predicted from the sustained steps: of all, and without the first half's captures."""
    steps, seconds, late = sustained["steps"], sustained["seconds"], sustained["second_half_seconds"]
    wanted = FULL_RUN_ROWS / ROWS_A_STEP
    rate = late / (steps - steps // 2)
    captures = max(0.0, seconds - rate * steps)
    return {
        "full_run_minutes_at_mean_rate": wanted * seconds / steps / 60,
        "full_run_minutes": (captures + wanted * rate) / 60,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def print_table(result: dict[str, Any]) -> None:
    """One line an arm."""
    print(f"{result['device']}, torch {result['torch']}, {result['mean_tokens_a_row']:.1f} tokens a row")
    heads = ("ms/step", "range", "rows/s", "tok/s", "TFLOP/s", "GiB", "resv", "x publ", "x free", "x trl")
    print(f"{'arm':14}" + "".join(f"{h:>{w}}" for h, w in zip(heads, (9, 17, 8, 8, 8, 7, 7, 8, 7, 7), strict=True)))
    for name, arm in result["arms"].items():
        ms, last = arm["milliseconds_a_step"], arm["last"]
        ratios = [arm.get(f"faster_than_{r}", {}).get("median", float("nan")) for r in ("published", "free", "trl")]
        middle = [arm[k]["median"] for k in ("samples_a_second", "tokens_a_second", "useful_tflop_a_second")]
        print(
            f"{name:14}{ms['median']:9.2f}{ms['low']:9.2f}-{ms['high']:7.2f}{middle[0]:8.0f}{middle[1]:8.0f}"
            f"{middle[2]:8.2f}{last.get('peak_allocated_gib', 0):7.2f}{last.get('peak_reserved_gib', 0):7.2f}"
            f"{ratios[0]:8.1f}{ratios[1]:7.1f}{ratios[2]:7.1f}"
        )
    for name, arm in result["arms"].items():
        if "sustained" in arm:
            print(f"{name} sustained: {json.dumps(arm['sustained'])}")
    for name, why in result["did_not_run"].items():
        print(f"{name}: did not run: {why.strip().splitlines()[-1]}")


def options_parser() -> argparse.ArgumentParser:
    """What parent and arms are told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="train_speed.json", help="where the JSON goes")
    parser.add_argument("--arms", default="", help=f"comma list; default all: {', '.join(ARMS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="a round")
    parser.add_argument("--warm", type=int, default=4, help="steps before the first round")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for everything")
    parser.add_argument("--start-limit", type=float, default=120.0, help="seconds until an arm must be ready")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="arms that start together")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a toy model, to rehearse")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--base", default="", help="folder of a base: real weights, and claims as rows")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    return parser


def main() -> None:
    """Parent or, with --arm, one arm."""
    options = options_parser().parse_args()
    if options.arm:
        run_arm(options.arm, options)
        return
    bench = Bench(options)
    bench.run()
    print_table(bench.write())


if __name__ == "__main__":
    main()
