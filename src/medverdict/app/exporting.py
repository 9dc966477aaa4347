"""The whole job of `export`: load what was measured, write it, ask it, and keep it only if it answers the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from medverdict import claims as shipped
from medverdict.console import progress, say
from medverdict.data.read import read_split
from medverdict.errors import ExportError
from medverdict.export.card import model_card, modelfile
from medverdict.export.gguf_write import Quantisation, write_gguf
from medverdict.export.llama import LlamaScorer
from medverdict.export.merged import merged_weights, write_merged
from medverdict.export.parity import ROWS, Parity, measure_parity, require_parity
from medverdict.files import new_folder, write_json, write_text
from medverdict.model.bases import fetch
from medverdict.model.precision import choose_placement
from medverdict.model.verifier import Verifier
from medverdict.predict.load import LoadedRun, load_run
from medverdict.predict.score import score_margins
from medverdict.records import Claim, Recipe

Format = Literal["merged", "gguf"]
GGUF = "model-{}.gguf"


def export(run_folder: Path, out: Path, kind: Format, quantisation: Quantisation, data: Path | None = None) -> Parity:
    """Write a run as a plain model into the new folder `out`.

    It is compared with the run on at least 500 labelled claims, of `data` or of our frozen test. Raises ExportError
    (exit 3) when it answers differently; then nothing is left of it.
    """
    with new_folder(out) as folder:
        loaded = load_run(run_folder, choose_placement())
        claims = _claims(data)
        reference = _measure("the run", loaded.verifier, claims)
        if kind == "merged":
            name, margins = "merged", _merged(loaded, folder, claims)
        else:
            name, margins = quantisation, _gguf(loaded, folder, quantisation, claims)
        labels = [claim.label for claim in claims]
        parity = measure_parity(name, reference, margins, labels, loaded.run.calibration)
        require_parity(parity, name)
        write_json(folder / "parity.json", parity.model_dump(mode="json"))
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        write_text(folder / "README.md", model_card(loaded.run, name, sizes, parity))
        write_json(folder / "run.json", loaded.run.model_dump(mode="json"))
    return parity


def _claims(data: Path | None) -> Sequence[Claim]:
    """Claims to compare on: every row of the user's file, or the first 500 of our frozen test."""
    if data is None:
        return read_split(shipped.test_file(), "test").claims[:ROWS]
    claims = read_split(data, "parity").claims
    if len(claims) < ROWS:
        raise ExportError(f"{data}: {len(claims)} claims; the parity gate needs at least {ROWS}. Name a larger file.")
    return claims


def _merged(loaded: LoadedRun, folder: Path, claims: Sequence[Claim]) -> np.ndarray:
    base = fetch(loaded.run.base.name, over_budget=True)
    write_merged(loaded.verifier, base.path, folder, loaded.run)
    say("loading the merged model as a plain one")
    again = Verifier.load(fetch(str(folder), over_budget=True), _untrained(loaded.run.recipe), choose_placement())
    return _measure("merged", again, claims)


def _gguf(loaded: LoadedRun, folder: Path, quantisation: Quantisation, claims: Sequence[Claim]) -> np.ndarray:
    base = fetch(loaded.run.base.name, over_budget=True)
    path = folder / GGUF.format(quantisation)
    say(f"writing {path.name}")
    write_gguf(path, merged_weights(loaded.verifier), base.path, loaded.run, quantisation)
    write_text(folder / "Modelfile", modelfile(loaded.run, path.name))
    scorer = LlamaScorer(path, loaded.run.recipe, loaded.verifier.encoder)
    with progress(f"llama.cpp, {quantisation}", len(claims)) as bar:
        return scorer.margins([claim.text for claim in claims], bar.advance)


def _measure(what: str, verifier: Verifier, claims: Sequence[Claim]) -> np.ndarray:
    with progress(what, len(claims)) as bar:
        return score_margins(verifier, [claim.text for claim in claims], bar.advance)


def _untrained(recipe: Recipe) -> Recipe:
    """The same questions to a model that needs no adapter."""
    return recipe.model_copy(update={"method": "zero-shot", "lora_rank": 0, "epochs": 0.0})
