"""Which recipe is better on claims held out? Folds by whole groups of near-duplicates, several seeds, one file each.

python bench/cross_validate.py run v6 --out cv/v6.json
python bench/cross_validate.py run v6 --first v6-text --other "0[1-8]*" "1[1-3]*" --out cv/text-first.json
python bench/cross_validate.py run v6 --loss twin=0.5 --out cv/twin.json
python bench/cross_validate.py compare cv/v6.json cv/*.json          # a table with paired intervals

The rows are our files 09 and 10 unless said otherwise. Nothing here reads a test.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from other_losses import NAMES, OtherLossEngine, named_loss
from safetensors.torch import load_file

from medverdict.app.averaging import reduced, rounded, stacked
from medverdict.claims import training_files
from medverdict.console import say
from medverdict.data.group import assign_groups
from medverdict.data.read import read_claims
from medverdict.data.split import split_by_group
from medverdict.errors import DataError, LeakError, MedverdictError, RecipeError
from medverdict.evaluate.interval import row_weights
from medverdict.evaluate.metrics import Floats, Sample, auc
from medverdict.files import write_json
from medverdict.model.bases import BaseFolder, fetch
from medverdict.model.lora import WEIGHTS, fill_adapter, save_adapter
from medverdict.model.precision import Placement, choose_placement
from medverdict.model.verifier import Verifier
from medverdict.predict.score import score_margins
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Claim, Recipe
from medverdict.train.choose import choose_engine
from medverdict.train.loop import start_training, train_steps
from medverdict.train.run import encode, make_deterministic
from medverdict.train.starting import Start, begin_from, read_start, require_same_base

MEAN = "mean"
"""Under which the margins of the averaged models stand, beside those of the seeds."""


@dataclass(frozen=True)
class Rows:
    """What is trained on and judged."""

    folds: Mapping[str, Sequence[Claim]]
    """Each is held out once."""
    other: Sequence[Claim]
    """Trained on in every fold."""


@dataclass(frozen=True)
class Candidate:
    """What is tried on the rows."""

    recipe: Recipe
    base: BaseFolder
    first: Recipe | None
    """Of a stage on the other rows, which then join no fold."""
    start: Start | None
    """A run whose adapter training begins from."""
    loss: tuple[str, float] | None
    """One of other_losses.NAMES and its weight; None is the recipe's own."""
    average: int | None
    """Rank at which the mean of the seeds is judged too."""


# ---- rows -----------------------------------------------------------------------------------------------------


def make_rows(options: argparse.Namespace) -> Rows:
    """Folds by group, whatever the other rows are; and those others that are near none of the rows."""
    if options.folds < 2:
        raise DataError(f"--folds {options.folds}: expected 2 or more, for each is judged by what the others teach.")
    rows = assign_groups(claims_of(options.rows), options.near)
    joint = assign_groups([*rows, *claims_of(options.other)], options.near)
    taken = {claim.group for claim in joint[: len(rows)]}
    other = [claim for claim in joint[len(rows) :] if claim.group not in taken]
    shares = {f"fold {number}": 1 / options.folds for number in range(options.folds)}
    return Rows(split_by_group(rows, shares, options.draw), other)


def claims_of(names: Sequence[str]) -> list[Claim]:
    """All claims of some files."""
    return [claim for path in named_files(names) for claim in read_claims(path).claims]


def named_files(names: Sequence[str]) -> list[Path]:
    """Files by path, or ours by a pattern of their name. Raises DataError where a name fits none."""
    found: list[Path] = []
    for name in names:
        fitting = [Path(name)] if Path(name).is_file() else [p for p in training_files() if fnmatch(p.name, name)]
        if not fitting:
            ours = ", ".join(path.name for path in training_files())
            raise DataError(f"{name}: expected a file of claims, or a pattern that fits one of ours: {ours}.")
        found += fitting
    return found


# ---- candidate ------------------------------------------------------------------------------------------------


def make_candidate(options: argparse.Namespace) -> Candidate:
    """All that is asked for, checked before any work. Raises RecipeError, RunError or LeakError."""
    recipe = load_recipe(options.recipe, options.set)
    if recipe.supervised_padding or recipe.keep_best:
        raise RecipeError(f"recipe {recipe.name}: here nothing pads and all steps count. Set both to 0 and false.")
    base = fetch(recipe.base)
    largest = recipe.lora_rank * len(options.seeds)
    if options.average is not None and not 1 <= options.average <= largest:
        raise RecipeError(
            f"--average {options.average}: expected 1 to {largest}, the rank of {len(options.seeds)} seeds' adapters."
        )
    first = make_first(options, recipe)
    return Candidate(recipe, base, first, make_start(options, recipe, base), options.loss, options.average)


def make_first(options: argparse.Namespace, recipe: Recipe) -> Recipe | None:
    """Recipe of the first stage, which trains the adapter of `recipe`, dropout included."""
    if not options.first:
        return None
    if not options.other:
        raise RecipeError(f"--first {options.first}: expected --other with it, the files that it is trained on.")
    shared = ("base", "method", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
    return load_recipe(options.first).model_copy(update={name: getattr(recipe, name) for name in shared})


def make_start(options: argparse.Namespace, recipe: Recipe, base: BaseFolder) -> Start | None:
    """The run to begin from, held to what `medverdict train --init` asks."""
    if not options.init:
        return None
    if set(named_files(options.rows)) & set(training_files()):
        raise LeakError(f"--init {options.init}: it may have seen our claims. Give --rows that it was not trained on.")
    start, run = read_start(options.init, recipe)
    require_same_base(run, base.info)
    return start


# ---- training -------------------------------------------------------------------------------------------------


def margins_of_seed(candidate: Candidate, seed: int, rows: Rows, place: Placement, adapters: Path) -> Floats:
    """Margins of every row, fold after fold, each from a model that saw none of its fold.

    Where the seeds will be averaged, the adapter of each fold is left in `adapters`.
    """
    recipe = candidate.recipe.model_copy(update={"seed": seed})
    verifier = begun(candidate, recipe, place)
    if candidate.first:
        learner = begun(candidate, candidate.first.model_copy(update={"seed": seed}), place)
        train(learner, rows.other, None)
        verifier.put_back(dict(learner.trained_parameters()))
        del learner  # a base of its own
    joining = () if candidate.first else rows.other
    start = {name: parameter.detach().clone() for name, parameter in verifier.trained_parameters()}
    margins = []
    for name, held_out in rows.folds.items():
        verifier.put_back(start)
        taught = [claim for fold, claims in rows.folds.items() if fold != name for claim in claims]
        train(verifier, [*taught, *joining], candidate.loss)
        margins.append(score_margins(verifier, [claim.text for claim in held_out]))
        if candidate.average:
            save_adapter(verifier.model, recipe, folder_of(adapters, name, seed))
    return np.concatenate(margins)


def begun(candidate: Candidate, recipe: Recipe, place: Placement) -> Verifier:
    """A model before its first step."""
    verifier = Verifier.load(candidate.base, recipe, place)
    if candidate.start:
        begin_from(verifier, candidate.start)
    return verifier


def margins_of_mean(candidate: Candidate, seeds: Sequence[int], rows: Rows, place: Placement, adapters: Path) -> Floats:
    """Margins of every row from one model a fold: the mean of its seeds' updates, as `medverdict average` makes it."""
    rank = candidate.average
    assert rank, "asked for by whoever calls"
    verifier = Verifier.load(candidate.base, candidate.recipe.model_copy(update={"lora_rank": rank}), place)
    margins = []
    for name, held_out in rows.folds.items():
        stored = [load_file(folder_of(adapters, name, seed) / WEIGHTS) for seed in seeds]
        fill_adapter(verifier.model, rounded(reduced(stacked(stored), rank)), adapters)
        margins.append(score_margins(verifier, [claim.text for claim in held_out]))
    return np.concatenate(margins)


def folder_of(adapters: Path, fold: str, seed: int) -> Path:
    """Where the adapter of one fold and seed lies."""
    folder = adapters / f"{fold} seed {seed}"
    folder.mkdir(exist_ok=True)
    return folder


def train(verifier: Verifier, claims: Sequence[Claim], loss: tuple[str, float] | None) -> None:
    """One stage with the steps of `medverdict train`, from the first to the last."""
    examples = encode(verifier.encoder, claims)
    recipe = verifier.recipe
    engine = (
        OtherLossEngine(verifier, recipe, named_loss(*loss, verifier, claims))
        if loss
        else choose_engine(verifier, examples)
    )
    train_steps(verifier, engine, examples, start_training(recipe), lambda row: None)


def run(options: argparse.Namespace) -> None:
    """All seeds of one candidate; the file is written anew after each."""
    make_deterministic()
    candidate, rows = make_candidate(options), make_rows(options)
    place = choose_placement(options.precision)
    told = {name: str(value) for name, value in vars(options).items() if name not in ("call", "out", "seeds")}
    judged = [
        {"id": claim.id, "label": claim.label, "group": claim.group, "fold": name}
        for name, fold in rows.folds.items()
        for claim in fold
    ]
    found: dict[str, Any] = {"settings": told, "other_rows": len(rows.other), "rows": judged, "margins": {}}

    def keep(name: str, margins: Floats) -> None:
        found["margins"][name] = [round(float(margin), 4) for margin in margins]
        write_json(options.out, found)
        say(f"{options.out}: {name} done")

    with TemporaryDirectory() as adapters:
        for seed in options.seeds:
            keep(str(seed), margins_of_seed(candidate, seed, rows, place, Path(adapters)))
        if candidate.average:
            keep(MEAN, margins_of_mean(candidate, options.seeds, rows, place, Path(adapters)))


# ---- comparing ------------------------------------------------------------------------------------------------


def judges(path: Path, found: Mapping[str, Any]) -> Iterator[tuple[str, list[Floats]]]:
    """What a file compares: its seeds together, and the mean of them where there is one."""
    margins = {name: np.array(values) for name, values in found["margins"].items()}
    seeds = [values for name, values in margins.items() if name != MEAN]
    yield f"{path.stem}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}", seeds
    if MEAN in margins:
        yield f"{path.stem}, mean of {len(seeds)} seeds as one model", [margins[MEAN]]


def mean_auc(seeds: Sequence[Floats], rows: Sequence[Mapping[str, str]], weights: Floats) -> Floats:
    """AUC within a fold, mean over folds and seeds, for weights (resamples, rows): (resamples,)."""
    truth = np.array([row["label"] == "TRUE" for row in rows])
    fold = np.array([row["fold"] for row in rows])
    each = []
    for margins in seeds:
        for name in np.unique(fold):
            of = fold == name
            none = np.zeros(int(of.sum()))
            each.append(auc(Sample(truth[of], margins[of] > 0, margins[of], none, none.astype(int)), weights[:, of]))
    return np.asarray(np.mean(each, axis=0))


def right(seeds: Sequence[Floats], rows: Sequence[Mapping[str, str]]) -> float:
    """Share of right verdicts at threshold 0, mean over the seeds."""
    truth = np.array([row["label"] == "TRUE" for row in rows])
    return float(np.mean([(margins > 0) == truth for margins in seeds]))


def compare(options: argparse.Namespace) -> None:
    """One line a judge: AUC, accuracy, and the difference in AUC from the first with a 95 % interval over groups."""
    files = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in options.files]
    rows = files[0][1]["rows"]
    for path, found in files:
        if found["rows"] != rows:
            raise DataError(f"{path}: other rows or folds than {options.files[0]}. Compare files of the same rows.")
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    weights = np.concatenate([np.ones((1, len(groups))), *row_weights(groups)])  # the rows themselves, then resamples
    first: Floats | None = None
    for name, seeds in (judge for path, found in files for judge in judges(path, found)):
        drawn = mean_auc(seeds, rows, weights)
        told = f"{name}: AUC {drawn[0]:.4f}, {right(seeds, rows):.1%} right"
        if first is None:
            first = drawn
        else:
            low, high = np.nanpercentile(drawn[1:] - first[1:], [2.5, 97.5])
            told += f", {drawn[0] - first[0]:+.4f} ({low:+.4f} to {high:+.4f})"
        print(told)


# ---- the command ----------------------------------------------------------------------------------------------


def loss_and_weight(text: str) -> tuple[str, float]:
    """`twin=0.5` and the like."""
    name, _, weight = text.partition("=")
    with suppress(ValueError):
        if name in NAMES and float(weight) >= 0:
            return name, float(weight)
    raise argparse.ArgumentTypeError(f"{text}: expected {', '.join(NAMES)} with a weight, as in twin=0.5.")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="cross-validate one candidate")
    one.set_defaults(call=run)
    one.add_argument("recipe")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--set", action="append", default=[], help="key=value over the recipe's fields")
    one.add_argument("--rows", nargs="+", default=["09-*", "10-*"], help="files to divide into folds")
    one.add_argument("--other", nargs="+", default=[], help="files that are trained on in every fold")
    one.add_argument("--first", help="recipe of a first stage, on the other files alone, for the same adapter")
    one.add_argument("--init", type=Path, help="folder of a run to begin from")
    one.add_argument("--loss", type=loss_and_weight, help=f"in the plain engine: {', '.join(NAMES)}, as in twin=0.5")
    one.add_argument("--near", type=float, default=0.75, help="cosine from which two claims share a fold")
    one.add_argument("--folds", type=int, default=5)
    one.add_argument("--draw", type=int, default=0, help="seed of the division into folds")
    one.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    one.add_argument("--average", type=int, metavar="RANK", help="also judge the mean of the seeds, at this rank")
    one.add_argument("--precision", choices=["fp32", "bf16", "fp16"])
    many = commands.add_parser("compare", help="a table of files that `run` wrote")
    many.set_defaults(call=compare)
    many.add_argument("files", type=Path, nargs="+")
    return parser.parse_args(words)


def main() -> None:
    """Do it; a mistake of the user ends with its sentence."""
    asked = parse()
    try:
        asked.call(asked)
    except MedverdictError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
