"""Judge a file of claims on a cluster, or on one machine, with Ray Data: what `medverdict predict` does, on many.

    pip install "ray[data]==2.60.0"        # not a dependency of medverdict; this version is the one that was tried
    python3 examples/ray_predict.py --run runs/mine --input claims.parquet --output judged.parquet --workers 8

Input and output are CSV, JSON lines or Parquet by their suffix; the output is a folder of such files, with the columns
`verdict` and `p_true` added; the others stay as they are. Rows come in any order, so give them an id.

Each worker is a process that loads the run once; it takes a GPU where the cluster has one, else a CPU. On every
machine it needs medverdict, the base in its cache (`medverdict bases fetch NAME`), and run, input and output at the
same paths. Beside the workers Ray needs a CPU to read and write with.

A worker that dies is started anew by Ray Data and asked again for what it had not answered (without limit: its
`max_restarts` and `max_task_retries` are -1). The output appears when it is whole, as many rows as the input has; what
a job that was cut leaves, a folder *.partial.*, is thrown away when it is started again. A claim that cannot be judged,
empty or too long, ends the job with its reason; the number that stands in it counts within a batch, not in the file.
`medverdict predict` looks at every row of a CSV or JSON lines file first, and names those.

It joins the cluster that RAY_ADDRESS names or this machine belongs to; after one that was killed, run `ray stop` first.

Research aid, not medical advice. The model judges from memory and can be confidently wrong; our claims were written by
an AI and not reviewed by clinicians.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import ray
import ray.data
from ray.data.block import BlockAccessor
from ray.data.datasource import BlockBasedFileDatasink

import medverdict

FORMATS = (".csv", ".jsonl", ".parquet")
ROWS_A_FILE = 100_000


class Judge:
    """A worker: the run, loaded once, and asked for batch after batch."""

    def __init__(self, run: str, column: str) -> None:
        self.model = medverdict.load_run(run)  # checks every file and the golden rows
        self.column = column

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with two more columns."""
        answers = medverdict.verify(batch[self.column].to_pylist(), self.model)
        batch = batch.append_column("verdict", pa.array([answer.verdict for answer in answers]))
        return batch.append_column("p_true", pa.array([answer.p_true for answer in answers]))


def read(path: Path) -> ray.data.Dataset:
    """The rows of a file, or of a folder whose name has the suffix of the files in it."""
    if path.suffix == ".parquet":
        return ray.data.read_parquet(str(path))
    if path.suffix == ".jsonl":
        # not read_json, which makes a number of "007" and a time of a date
        return ray.data.read_text(str(path)).map(lambda row: json.loads(row["text"]))
    first = min(path.glob("*.csv")) if path.is_dir() else path
    names = pacsv.open_csv(first).schema.names
    return ray.data.read_csv(  # every column as the text it is: an id such as 007 is no number
        str(path),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
    )


class JsonLines(BlockBasedFileDatasink):
    """Unlike `write_json`, which goes through pandas, leaves whole numbers whole where others are missing."""

    def write_block_to_file(self, block: BlockAccessor, file: pa.NativeFile) -> None:
        """One line a row."""
        for row in block.iter_rows(public_row_format=True):
            file.write((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode())


def write(rows: ray.data.Dataset, folder: Path, suffix: str) -> None:
    """Into files of about `ROWS_A_FILE` rows."""
    if suffix == ".jsonl":
        rows.write_datasink(JsonLines(str(folder), file_format="jsonl", min_rows_per_file=ROWS_A_FILE))
    else:
        writer = {".parquet": rows.write_parquet, ".csv": rows.write_csv}[suffix]
        writer(str(folder), min_rows_per_file=ROWS_A_FILE)


def connect(workers: int) -> None:
    """To the cluster that RAY_ADDRESS names or this machine belongs to, else one is started here."""
    try:
        ray.init(address="auto")
    except ConnectionError:
        ray.init(num_cpus=workers + 1)  # one CPU more than the workers hold, to read and write with


def judge(options: argparse.Namespace) -> int:
    """The whole job; how many rows were judged."""
    partial = options.output.with_name(f"{options.output.stem}.partial{options.output.suffix}")
    shutil.rmtree(partial, ignore_errors=True)
    asked = read(options.input)
    judged = asked.repartition(target_num_rows_per_block=options.batch_size).map_batches(  # a kill costs a batch
        Judge,
        fn_constructor_args=(str(options.run.resolve()), options.column),
        batch_size=options.batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        num_gpus=1 if ray.cluster_resources().get("GPU", 0) else None,
    )
    write(judged, partial, options.output.suffix)
    written, expected = read(partial).count(), read(options.input).count()
    if written != expected:
        raise SystemExit(f"{partial}: holds {written} rows, and {options.input} {expected}; nothing is put in place.")
    partial.rename(options.output)
    return written


def main() -> None:
    """Read the command line and do the job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run")
    parser.add_argument("--input", type=Path, required=True, help="claims, one a row")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--workers", type=int, default=2, help="processes, one a GPU where there are any")
    parser.add_argument("--batch-size", type=int, default=1024, help="claims that a worker is given at a time")
    parser.add_argument("--column", default="claim", help="column of the claims")
    options = parser.parse_args()
    for path in (options.input, options.output):
        if path.suffix not in FORMATS:
            parser.error(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(FORMATS)}")
    if not options.input.exists():
        parser.error(f"{options.input}: no such file")
    if options.output.exists():
        parser.error(f"{options.output}: exists already; choose another --output, or delete it")
    connect(options.workers)
    print(f"{judge(options)} rows judged: {options.output}")


if __name__ == "__main__":
    main()
