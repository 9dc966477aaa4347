"""The command line: a table from command to function, and how each failure ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

import medverdict
from medverdict import cli_artifacts, cli_data, cli_generate, cli_sweep, cli_use
from medverdict.cli_ends import end, guarded
from medverdict.cli_help import BaseName, OverBudget, RecipeName, SectionedGroup, known_base_names
from medverdict.console import result_console, table
from medverdict.errors import NOT_ADVICE, RunError
from medverdict.records import Recipe

app = typer.Typer(
    name="medverdict",
    help="Train a small language model to judge medical claims, and say honestly how good it is. "
    "Research aid, not medical advice.\n\nExample: medverdict quickstart",
    cls=SectionedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Precision = Literal["fp32", "bf16", "fp16"]
Engine = Literal["auto", "plain", "fast"]
Where = Annotated[list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Only rows with it; repeatable.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable.")
]


def main() -> None:
    """Run the command line and end with its exit code.

    0 done, 2 the user's mistake, 3 a gate said no, 130 Ctrl-C, 143 a polite kill; anything else is our failure, with a
    traceback.
    """
    if "WORLD_SIZE" not in os.environ:  # torchrun ends its processes so, and one that waits for another must just go
        signal.signal(signal.SIGTERM, end)
    app()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(medverdict.__version__)
        raise typer.Exit


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for data, run and report.")] = Path("runs/quickstart"),
    base: BaseName = None,
) -> None:
    """The whole job: base, data, audit, a short training, evaluation beside baselines, report.

    Example: medverdict quickstart
    """
    from medverdict.app.quickstart import quickstart as job

    job(out, base)


def train(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="Folder that `prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="New folder for the run.")],
    base: BaseName = None,
    seed: Annotated[int | None, typer.Option(help="Data order, adapter start and dropout.")] = None,
    settings: Settings = None,
    precision: Annotated[Precision | None, typer.Option(help="Force a number format; a T4 has fp16.")] = None,
    over_budget: OverBudget = False,
    despite_leak: Annotated[
        bool, typer.Option("--despite-leak", help="Train without a clean audit; reported.")
    ] = False,
    resume: Annotated[Literal["auto", "never"], typer.Option(help="auto: go on after a cut.")] = "never",
    checkpoint_every: Annotated[str, typer.Option(help="Minutes or steps a cut may cost.")] = "5m",
    engine: Annotated[Engine, typer.Option(help="plain: the readable twin.")] = "auto",
    where: Where = None,
    init: Annotated[Path | None, typer.Option(help="Begin from the adapter of this run.")] = None,
) -> None:
    """Train one recipe on prepared data.

    Example: medverdict train v5-optimized --data data/mine --out runs/v5
    """
    from medverdict.app.training import TrainOptions
    from medverdict.app.training import train as job

    changes = list(settings or ())
    changes += [f"base={json.dumps(base)}"] if base is not None else []
    changes += [f"seed={seed}"] if seed is not None else []
    resumed = resume == "auto"
    options = TrainOptions(
        changes, over_budget, despite_leak, precision, resumed, checkpoint_every, engine, tuple(where or ()), init
    )
    run_record = job(recipe, data, out, options)
    result_console.print(f"run {run_record.id} is in {out}", markup=False, soft_wrap=True)
    result_console.print(f"next: medverdict evaluate {out} {data / 'test.jsonl'}", markup=False, soft_wrap=True)


def plan(
    recipe: RecipeName,
    data: Annotated[Path, typer.Option(help="Folder that `prepare` wrote.")],
    base: BaseName = None,
    settings: Settings = None,
    precision: Annotated[Precision | None, typer.Option(help="Force a number format; a T4 has fp16.")] = None,
    over_budget: OverBudget = False,
    engine: Annotated[Engine, typer.Option(help="plain: the readable twin.")] = "auto",
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Memory, steps and time of a training on this device, foretold from twenty of its own steps.

    Example: medverdict plan v5-optimized --data data/mine
    """
    from medverdict.app.planning import PlanOptions, sentences
    from medverdict.app.planning import plan as job

    changes = [*(settings or ()), *([f"base={json.dumps(base)}"] if base is not None else [])]
    told = job(recipe, data, PlanOptions(changes, over_budget, precision, engine, tuple(where or ())))
    if as_json:
        typer.echo(told.model_dump_json(indent=1))
        return
    result_console.print(table("plan", ("", "prediction"), sentences(told)))


def recipes(context: typer.Context, as_json: Json = False) -> None:
    """List the recipes; `recipes show NAME` prints one whole.

    Example: medverdict recipes show v5-optimized
    """
    if context.invoked_subcommand:
        return
    from medverdict.recipes.recipe import load_recipe, recipe_names

    known = [load_recipe(name) for name in recipe_names()]
    if as_json:
        typer.echo(json.dumps([r.model_dump(mode="json") for r in known], ensure_ascii=False, indent=1))
        return
    rows = [(r.name, r.method, _size(r), r.description) for r in known]
    result_console.print(table("recipes", ("name", "method", "rank", "what it is"), rows))


def _size(recipe: Recipe) -> str:
    return str(recipe.lora_rank) if recipe.method == "lora" else "–"


def recipes_show(recipe: RecipeName) -> None:
    """Print a recipe's file.

    Example: medverdict recipes show quickstart
    """
    from medverdict.recipes.recipe import recipe_text

    typer.echo(recipe_text(recipe), nl=False)


def bases(context: typer.Context, as_json: Json = False) -> None:
    """List the known bases; `bases fetch NAME` gets one.

    Example: medverdict bases
    """
    if context.invoked_subcommand:
        return
    from medverdict.model.bases import known_bases

    known = known_bases()
    if as_json:
        typer.echo(json.dumps([b.model_dump(mode="json") for b in known], ensure_ascii=False, indent=1))
        return
    rows = [
        (
            base.name,
            f"{base.parameters / 1e6:,.0f} M",
            f"{base.download_bytes / 1e6:,.0f} MB",
            "within" if base.within_budget else "over",
            base.licence,
            base.sources,
        )
        for base in known
    ]
    result_console.print(table("bases", ("name", "size", "download", "budget", "licence", "from"), rows))


def bases_fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="BASE", help="Name, hub id@revision, folder or .gguf file.", autocompletion=known_base_names
        ),
    ],
    over_budget: OverBudget = False,
) -> None:
    """Get a base through the hub, else the mirror, and check every hash.

    Example: medverdict bases fetch qwen2.5-coder-0.5b
    """
    from medverdict.model.bases import fetch

    ready = fetch(name, over_budget=over_budget)
    result_console.print(
        f"{ready.info.name}: {ready.info.parameters:,} parameters in {ready.path}", markup=False, soft_wrap=True
    )


def evaluate(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Folder of a run.")] = None,
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help="Labelled claims, CSV or JSONL.")] = None,
    version: Annotated[str | None, typer.Option(help="Find the run by its recipe instead.")] = None,
    runs: Annotated[Path, typer.Option(help="Where --version looks.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    target_accuracy: Annotated[float | None, typer.Option(help="Abstain below what reached this on dev.")] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Score a set with a run, its untrained base and the baselines, and write the report.

    Example: medverdict evaluate runs/v5 data/mine/test.jsonl
    """
    from medverdict.app.evaluation import evaluate as job
    from medverdict.app.evaluation import find_run
    from medverdict.evaluate.tables import summary_sheet
    from medverdict.evaluate.wording import conclusion

    if version is not None:
        run, data = find_run(version, runs), data or run
    if run is None or data is None:
        raise RunError("expected a run and a data file: medverdict evaluate RUN DATA, or --version NAME DATA.")
    done = job(run, data, out, target_accuracy, where or ())
    if as_json:
        typer.echo(done.report.model_dump_json(indent=1))
        return
    result_console.print(summary_sheet(done.report).to_rich())
    page = done.folder / "report.html"
    result_console.print(f"{conclusion(done.report)}\nreport: {page}", markup=False, soft_wrap=True)


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an evaluation, or a run with only one.")],
) -> None:
    """Compute a report again from its stored predictions alone, offline.

    Example: medverdict report runs/quickstart/report
    """
    from medverdict.app.stored import evaluation_folder
    from medverdict.evaluate.report import rebuild_report
    from medverdict.evaluate.wording import conclusion

    where = evaluation_folder(folder)
    result_console.print(conclusion(rebuild_report(where)), markup=False, soft_wrap=True)
    result_console.print(f"report: {where / 'report.html'}", markup=False, soft_wrap=True)


def baselines(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled claims, CSV or JSONL.")],
    train_file: Annotated[Path | None, typer.Option("--train", help="Rows for TF-IDF and the majority.")] = None,
    base: BaseName = None,
    as_json: Json = False,
) -> None:
    """What always-TRUE, a keyword rule and TF-IDF + logistic regression get; zero-shot with --base.

    Example: medverdict baselines test.csv --train train.csv
    """
    from medverdict.app.baselines import simple_baselines

    report = simple_baselines(data, train_file, base)
    if as_json:
        typer.echo(json.dumps({name: m.model_dump(mode="json") for name, m in report.items()}, indent=1))
        return
    from medverdict.evaluate.wording import percent, percent_interval

    rows = [(name, percent(m.value), percent_interval(m), str(m.n)) for name, m in report.items()]
    result_console.print(table(f"baselines on {data.name}", ("judge", "accuracy", "95 % interval", "rows"), rows))


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Run, evaluation folder or predictions; seeds by commas.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, or baseline:NAME of A's evaluation.")],
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA", help="Set to compare on; runs not scored on it yet are.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Paired difference of A and B on the same rows, with interval, McNemar's test and the rows won and lost.

    Example: medverdict compare runs/v6 runs/zero-shot data/mine/test.jsonl
    """
    from medverdict.app.stored import sides
    from medverdict.evaluate import compare as room
    from medverdict.evaluate.tables import flips_sheet
    from medverdict.evaluate.wording import comparison_facts

    of_a, of_b = sides(a, b, data)
    found = room.compare(of_a, of_b)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    result_console.print(f"{found.sentence}\n{comparison_facts(found)}", markup=False, soft_wrap=True)
    result_console.print(flips_sheet(found, of_a[0]).to_rich())


def mistakes(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Evaluated run, or the folder of an evaluation.")],
    as_json: Json = False,
) -> None:
    """Where a run goes wrong: slices, confident mistakes, twins that disagree, suspect labels.

    Example: medverdict mistakes runs/v5
    """
    from medverdict.app.stored import evaluation_folder, stored_baselines, stored_predictions
    from medverdict.evaluate.mistakes import find_mistakes
    from medverdict.evaluate.tables import mistake_sheets

    folder = evaluation_folder(run)
    found = find_mistakes(stored_predictions(folder), stored_baselines(folder))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    for sheet in mistake_sheets(found):
        result_console.print(sheet.to_rich())
    result_console.print(NOT_ADVICE, markup=False, soft_wrap=True)


COMMANDS = (
    quickstart,
    *cli_data.COMMANDS,
    plan,
    train,
    evaluate,
    report,
    baselines,
    compare,
    mistakes,
    *cli_sweep.COMMANDS,
    *cli_artifacts.COMMANDS,
    *cli_use.COMMANDS,
)
GROUPS = (("bases", bases, "fetch", bases_fetch), ("recipes", recipes, "show", recipes_show))

for _command in COMMANDS:
    app.command(_command.__name__)(guarded(_command))
for _name, _listing, _member, _function in GROUPS:
    _group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    _group.callback()(guarded(_listing))
    _group.command(_member)(guarded(_function))
    app.add_typer(_group, name=_name)
_generate = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make claims out of knowledge files.\n\nExample: medverdict generate qa pairs.jsonl --out data/qa",
)
for _maker in cli_generate.COMMANDS:
    _generate.command(_maker.__name__)(guarded(_maker))
app.add_typer(_generate, name="generate")
