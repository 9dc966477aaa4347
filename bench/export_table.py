"""What each format of an export costs and keeps: size, speed and agreement on this machine's processor.

    python bench/export_table.py --run RUN [--claims 500] [--formats f16 q8_0 q4_0]

PyTorch in bf16 is the reference; each GGUF file is written, loaded by llama.cpp and asked the same claims of the frozen
test. Prints Markdown. Needs room for one file at a time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from medverdict import claims as shipped
from medverdict.data.read import read_split
from medverdict.errors import ExportError
from medverdict.export.gguf_write import write_gguf
from medverdict.export.llama import LlamaScorer
from medverdict.export.merged import merged_weights
from medverdict.export.parity import measure_parity, require_parity
from medverdict.model.bases import fetch
from medverdict.model.precision import Placement
from medverdict.predict.load import load_run
from medverdict.predict.score import score_margins


def timed(score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Margins (n,) and claims per second, after two claims that warm up."""
    score(texts[:2])
    started = time.perf_counter()
    margins = score(texts)
    return margins, len(texts) / (time.perf_counter() - started)


def main() -> None:
    """Measure each format and print its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run")
    parser.add_argument("--claims", type=int, default=500, help="of the frozen test")
    parser.add_argument("--formats", nargs="+", default=["f16", "q8_0", "q4_0"], choices=["f16", "q8_0", "q4_0"])
    options = parser.parse_args()
    claims = read_split(shipped.test_file(), "test").claims[: options.claims]
    texts, labels = [claim.text for claim in claims], [claim.label for claim in claims]
    loaded = load_run(options.run, Placement(torch.device("cpu"), "bf16"))
    base = fetch(loaded.run.base.name, over_budget=True)
    reference, rate = timed(lambda asked: score_margins(loaded.verifier, asked), texts)
    size = 2 * loaded.run.parameters / 1e6
    print(f"{loaded.run.id}, {len(claims)} claims, {loaded.verifier.placement.device_name}\n")
    print("| format | weights | claims/s | verdicts that agree | largest Δ p | accuracy | won, lost (p) | gate |")
    print("|---|---|---|---|---|---|---|---|")
    itself = measure_parity("bf16", reference, reference, labels, loaded.run.calibration)
    print(f"| PyTorch bf16 | {size:,.0f} MB | {rate:.1f} | – | – | {itself.accuracy_run:.1%} | – | – |", flush=True)
    tensors = merged_weights(loaded.verifier)
    for kind in options.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model-{kind}.gguf"
            write_gguf(path, tensors, base.path, loaded.run, kind)
            size = path.stat().st_size / 1e6
            scorer = LlamaScorer(path, loaded.run.recipe, loaded.verifier.encoder)
            margins, rate = timed(scorer.margins, texts)
        parity = measure_parity(kind, reference, margins, labels, loaded.run.calibration)
        try:
            require_parity(parity, kind)
            gate = "passes"
        except ExportError:
            gate = "closed"
        print(
            f"| GGUF {kind} | {size:,.0f} MB | {rate:.1f} | {parity.agreement:.1%} | {parity.largest_difference:.3f} | "
            f"{parity.accuracy_export:.1%} | {parity.won}, {parity.lost} ({parity.p:.2g}) | {gate} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
