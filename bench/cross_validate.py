"""Which recipe is better on claims held out? Folds by whole groups of near-duplicates, several seeds, one file each.

python bench/cross_validate.py run v6 --out cv/v6.json
python bench/cross_validate.py run v6 --first v6-text --other 0[1-8]* 1[1-3]* --out cv/text-first.json
python bench/cross_validate.py run v6 --loss twin=0.5 --out cv/twin.json
python bench/cross_validate.py compare cv/v6.json cv/*.json          # a table with paired intervals

The rows are our files 09 and 10 unless said otherwise. Nothing here reads a test.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from other_losses import NAMES, OtherLossEngine, named_loss

from medverdict.claims import training_files
from medverdict.console import say
from medverdict.data.group import assign_groups
from medverdict.data.read import read_claims
from medverdict.data.split import split_by_group
from medverdict.evaluate.interval import row_weights
from medverdict.evaluate.metrics import Floats, Sample, auc
from medverdict.files import write_json
from medverdict.model.bases import BaseFolder, fetch
from medverdict.model.lora import load_adapter
from medverdict.model.precision import choose_placement
from medverdict.model.prompt import Encoder
from medverdict.model.verifier import Verifier, end_token
from medverdict.predict.score import score_margins
from medverdict.recipes.recipe import load_recipe
from medverdict.records import Claim, Recipe
from medverdict.train.engine import Engine
from medverdict.train.fast import FastEngine, why_not_fast
from medverdict.train.loop import start_training, train_steps
from medverdict.train.plain import PlainEngine
from medverdict.train.run import encode, make_deterministic

Folds = dict[str, tuple[Claim, ...]]


# ---- rows -----------------------------------------------------------------------------------------------------


def make_folds(options: argparse.Namespace) -> tuple[Folds, list[Claim]]:
    """The rows in folds by group, whatever the other rows are; and those others that are near none of them."""
    rows = assign_groups(claims_of(options.rows), options.near)
    joint = assign_groups([*rows, *claims_of(options.other)], options.near)
    taken = {claim.group for claim in joint[: len(rows)]}
    shares = {f"fold {number}": 1 / options.folds for number in range(options.folds)}
    return split_by_group(rows, shares, options.draw), [c for c in joint[len(rows) :] if c.group not in taken]


def claims_of(names: Sequence[str]) -> list[Claim]:
    """All claims of some files."""
    return [claim for path in named_files(names) for claim in read_claims(path).claims]


def named_files(names: Sequence[str]) -> list[Path]:
    """Files by path, or ours by a pattern of their name. Exits where a name fits none."""
    found: list[Path] = []
    for name in names:
        fitting = [Path(name)] if Path(name).is_file() else [p for p in training_files() if fnmatch(p.name, name)]
        if not fitting:
            raise SystemExit(f"{name}: expected a file of claims, or a pattern that fits one of ours.")
        found += fitting
    return found


# ---- training -------------------------------------------------------------------------------------------------


def margins_of_seed(
    base: BaseFolder, recipe: Recipe, folds: Folds, other: list[Claim], options: argparse.Namespace
) -> Floats:
    """Margins of every row, fold after fold, each from a model that saw none of its fold."""
    verifier = Verifier.load(base, recipe, choose_placement(options.precision))
    if options.init:
        load_adapter(verifier.model, options.init)
    if options.first:
        first = load_recipe(options.first, options.first_set).model_copy(update={"seed": recipe.seed})
        train(with_recipe(verifier, base, first), other, None)
    joining = [] if options.first else other
    start = [parameter.detach().clone() for _, parameter in verifier.trained_parameters()]
    margins = []
    for name, held_out in folds.items():
        with torch.no_grad():
            for (_, parameter), before in zip(verifier.trained_parameters(), start, strict=True):
                parameter.copy_(before)
        taught = [claim for fold, claims in folds.items() if fold != name for claim in claims]
        train(verifier, [*taught, *joining], options.loss)
        margins.append(score_margins(verifier, [claim.text for claim in held_out]))
    return np.concatenate(margins)


def with_recipe(verifier: Verifier, base: BaseFolder, recipe: Recipe) -> Verifier:
    """The same model, told another recipe of the same adapter."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base.path / "tokenizer.json"))
    encoder = Encoder(tokenizer, recipe, end_token(verifier.model))
    return Verifier(verifier.model, encoder, verifier.placement, recipe)


def train(verifier: Verifier, claims: Sequence[Claim], loss: tuple[str, float] | None) -> None:
    """One stage, as `medverdict train` does it but for what it writes."""
    examples = encode(verifier.encoder, claims)
    recipe = verifier.recipe
    engine: Engine
    if loss:
        engine = OtherLossEngine(verifier, recipe, named_loss(*loss, verifier, claims))
    elif why_not_fast(verifier, recipe):
        engine = PlainEngine(verifier, recipe)
    else:
        engine = FastEngine(verifier, recipe, examples)
    train_steps(verifier, engine, examples, start_training(recipe), lambda row: None)


def run(options: argparse.Namespace) -> None:
    """All seeds of one candidate; the file is written anew after each."""
    make_deterministic()
    folds, other = make_folds(options)
    recipe = load_recipe(options.recipe, options.set)
    base = fetch(recipe.base)
    told = {k: v for k, v in vars(options).items() if k not in ("call", "out", "seeds")}
    rows = [
        {"id": c.id, "label": c.label, "group": c.group, "fold": name} for name, fold in folds.items() for c in fold
    ]
    found: dict[str, Any] = {"settings": told, "other_rows": len(other), "rows": rows, "margins": {}, "seconds": {}}
    for seed in options.seeds:
        started = time.monotonic()
        margins = margins_of_seed(base, recipe.model_copy(update={"seed": seed}), folds, other, options)
        found["margins"][str(seed)] = [round(float(margin), 4) for margin in margins]
        found["seconds"][str(seed)] = round(time.monotonic() - started, 1)
        write_json(options.out, json.loads(json.dumps(found, default=str)))
        say(f"{options.out}: seed {seed} done")


# ---- comparing ------------------------------------------------------------------------------------------------


def mean_auc(found: dict[str, Any], weights: Floats) -> Floats:
    """AUC within a fold, mean over folds and seeds, for weights (resamples, rows): (resamples,)."""
    truth = np.array([row["label"] == "TRUE" for row in found["rows"]])
    fold = np.array([row["fold"] for row in found["rows"]])
    each = []
    for margins in map(np.array, found["margins"].values()):
        for name in np.unique(fold):
            of = fold == name
            none = np.zeros(int(of.sum()))
            each.append(auc(Sample(truth[of], margins[of] > 0, margins[of], none, none.astype(int)), weights[:, of]))
    return np.mean(each, axis=0)


def right(found: dict[str, Any]) -> Floats:
    """Share of right verdicts at threshold 0 of each row over the seeds: (rows,)."""
    truth = np.array([row["label"] == "TRUE" for row in found["rows"]])
    return np.mean([(np.array(margins) > 0) == truth for margins in found["margins"].values()], axis=0)


def compare(options: argparse.Namespace) -> None:
    """One line a file: AUC, its difference from the first file's with a 95 % interval over groups, accuracy."""
    one, *others = [json.loads(path.read_text(encoding="utf-8")) for path in options.files]
    groups = np.unique([row["group"] for row in one["rows"]], return_inverse=True)[1]
    weights = np.concatenate(list(row_weights(groups)))
    whole = np.ones((1, len(groups)))
    before, drawn = mean_auc(one, whole), mean_auc(one, weights)
    print(f"{options.files[0].stem}: {len(one['margins'])} seeds, AUC {before[0]:.4f}, {right(one).mean():.1%} right")
    for path, other in zip(options.files[1:], others, strict=True):
        if other["rows"] != one["rows"]:
            raise SystemExit(f"{path}: other rows or folds than {options.files[0]}. Compare files of the same rows.")
        now = mean_auc(other, whole)
        low, high = np.nanpercentile(mean_auc(other, weights) - drawn, [2.5, 97.5])
        told = f"{now[0] - before[0]:+.4f} ({low:+.4f} to {high:+.4f}), {right(other).mean():.1%} right"
        print(f"{path.stem}: {len(other['margins'])} seeds, AUC {now[0]:.4f}, {told}")


# ---- the command ----------------------------------------------------------------------------------------------


def loss_and_weight(text: str) -> tuple[str, float]:
    """`twin=0.5` and the like."""
    name, _, weight = text.partition("=")
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"{name}: expected one of {', '.join(NAMES)}, as in twin=0.5.")
    return name, float(weight)


def parse() -> argparse.Namespace:
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
    one.add_argument("--first", help="recipe of a first stage, on the other files alone")
    one.add_argument("--first-set", action="append", default=[], help="key=value over that recipe's fields")
    one.add_argument("--init", type=Path, help="folder of an adapter to begin from")
    one.add_argument("--loss", type=loss_and_weight, help=f"in the plain engine: {', '.join(NAMES)}, as in twin=0.5")
    one.add_argument("--near", type=float, default=0.75, help="cosine from which two claims share a fold")
    one.add_argument("--folds", type=int, default=5)
    one.add_argument("--draw", type=int, default=0, help="seed of the division into folds")
    one.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    one.add_argument("--precision", choices=["fp32", "bf16", "fp16"])
    many = commands.add_parser("compare", help="a table of files that `run` wrote")
    many.set_defaults(call=compare)
    many.add_argument("files", type=Path, nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    asked = parse()
    asked.call(asked)
