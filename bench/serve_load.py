"""How much `medverdict serve` answers, how soon, and what becomes of four times as much.

    python bench/serve_load.py --run RUN [--seconds 20]

Starts the server in a process of its own, asks each claim alone first, which gives the answers that are right, then
keeps it busy with a few clients that wait for their answer, then sends four times as much as it managed, without
waiting. Every request must end in the right answer or in a refusal with its reason. Client and server share the
processor. Prints Markdown; exit 1 where an answer was lost or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medverdict import claims as shipped

CLIENTS = 16
OVERLOAD = 4
# In bf16 a margin moves with the company that a row is scored in; see GOLDEN_TOLERANCE in predict/load.py.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}


@dataclass
class Tally:
    """What became of the requests of one phase."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    turned: int = 0
    largest: float = 0.0
    without_reason: int = 0

    @property
    def lost(self) -> int:
        """Requests that nobody answered."""
        return self.sent - sum(self.statuses.values())


class Client:
    """Asks one claim a request over connections that are kept."""

    def __init__(self, address: str, tolerance: float) -> None:
        host, port = re.fullmatch(r"http://(.*):(\d+)", address).groups()  # type: ignore[union-attr]
        self._place = (host, int(port))
        self._tolerance = tolerance
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.right: dict[str, dict[str, object]] = {}

    async def ask(self, claim: str, tally: Tally) -> None:
        """Send one claim and count what comes back."""
        tally.sent += 1
        started = time.perf_counter()
        try:
            status, body = await self._post(json.dumps({"claim": claim}).encode())
        except (OSError, asyncio.IncompleteReadError):
            return  # lost
        tally.statuses[status] += 1
        if status != 200:
            tally.without_reason += not body.get("reason")
            return
        tally.seconds.append(time.perf_counter() - started)
        (answer,) = body["answers"]
        expected = self.right.setdefault(claim, answer)
        moved = abs(answer["p_true"] - expected["p_true"])
        tally.largest = max(tally.largest, moved)
        tally.turned += answer["verdict"] != expected["verdict"]
        tally.wrong += answer["claim"] != claim or moved > self._tolerance

    async def _post(self, body: bytes) -> tuple[int, dict]:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._place)
        head = (
            f"POST /verify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(lines[0].split()[1]), json.loads(content)


async def alone(client: Client, claims: list[str]) -> Tally:
    """One after the other: the latency of a server with nothing else to do, and the right answers."""
    tally = Tally()
    for claim in claims:
        await client.ask(claim, tally)
    return tally


async def busy(client: Client, claims: list[str], seconds: float) -> Tally:
    """Clients that ask again as soon as they are answered."""
    tally, end = Tally(), time.perf_counter() + seconds

    async def keep_asking(first: int) -> None:
        number = first
        while time.perf_counter() < end:
            await client.ask(claims[number % len(claims)], tally)
            number += CLIENTS

    await asyncio.gather(*(keep_asking(n) for n in range(CLIENTS)))
    return tally


async def flooded(client: Client, claims: list[str], seconds: float, rate: float) -> Tally:
    """`rate` requests a second whatever comes back."""
    tally, started = Tally(), time.perf_counter()
    jobs = []
    while (now := time.perf_counter() - started) < seconds:
        while len(jobs) < now * rate:
            jobs.append(asyncio.create_task(client.ask(claims[len(jobs) % len(claims)], tally)))
        await asyncio.sleep(0.005)
    await asyncio.gather(*jobs)
    return tally


def row(name: str, tally: Tally, seconds: float) -> str:
    """One line of the table."""
    refused = sum(count for status, count in tally.statuses.items() if status in (429, 503))
    p50, p99 = (np.percentile(tally.seconds, q) * 1000 for q in (50, 99))
    return (
        f"| {name} | {tally.sent / seconds:,.1f} | {len(tally.seconds) / seconds:,.1f} | {p50:,.0f} ms | {p99:,.0f} ms "
        f"| {refused:,} | {tally.lost} | {tally.wrong} | {tally.turned} | {tally.largest:.4f} |"
    )


async def measure(address: str, precision: str, seconds: float, count: int) -> bool:
    """Run the three phases and print them; whether nothing was lost, wrong or refused without a reason."""
    lines = shipped.test_file().read_text(encoding="utf-8").splitlines()[:count]
    claims = [json.loads(line)["claim"] for line in lines]
    client = Client(address, TOLERANCE[precision])
    print("| phase | asked /s | answered /s | p50 | p99 | refused | lost | wrong | turned | largest Δ p |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    tallies, rate = [], 0.0
    phases: dict[str, Callable[[], Awaitable[Tally]]] = {
        "one at a time": lambda: alone(client, claims),
        f"{CLIENTS} clients": lambda: busy(client, claims, seconds),
        f"{OVERLOAD} times too much": lambda: flooded(client, claims, seconds, OVERLOAD * rate),
        "one at a time again": lambda: alone(client, claims),
    }
    for name, phase in phases.items():
        started = time.perf_counter()
        tally = await phase()
        spent = time.perf_counter() - started
        rate = len(tally.seconds) / spent
        print(row(name, tally, spent), flush=True)
        tallies.append(tally)
    return not any(tally.lost or tally.wrong or tally.without_reason for tally in tallies)


def main() -> None:
    """Start a server, measure it, stop it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase under load")
    parser.add_argument("--claims", type=int, default=200, help="different claims that are asked")
    options = parser.parse_args()
    command = [sys.executable, "-m", "medverdict", "serve", "--run", str(options.run), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    told = ""
    while not (found := re.search(r"http://\S+", told)):
        if not (line := server.stderr.readline()):
            raise SystemExit(f"the server did not start:\n{told}")
        told += line
    drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
    run = json.loads((options.run / "run.json").read_text(encoding="utf-8"))
    try:
        from medverdict.model.precision import choose_placement

        place = choose_placement()
        print(f"{run['id']} on {place.device_name}, {place.precision}\n")
        sound = asyncio.run(measure(found.group(), place.precision, options.seconds, options.claims))
    finally:
        server.terminate()
        code = server.wait()
        drain.wait()
    print(f"\nSIGTERM: the server ended with {code}.")
    if not sound or code:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
