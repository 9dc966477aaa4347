"""The records that cross from one room to another: frozen, few fields, stored as the JSON they print."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Label = Literal["TRUE", "FALSE"]
Verdict = Literal["TRUE", "FALSE", "ABSTAIN"]


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Claim(Record):
    """One statement with its known answer."""

    id: str
    """Unique inside a data set."""
    text: str
    """NFC, single spaces, trimmed (`text.normalise`)."""
    label: Label
    """The answer key."""
    group: str = ""
    """Family of near-duplicates and pairs; split, bootstrap and audit never cut through one."""
    pair: str = ""
    """Names minimal-edit twins; empty when the claim has none."""
    source: str = ""
    """Where the row came from: a file's stem, or a style of ours."""
    topic: str = ""
    """Free text, for slices."""


class Dropped(Record):
    """One input row that was left out, and why: nothing disappears in silence."""

    file: str
    """Name of the file it stood in."""
    line: int
    """1-based line (JSONL) or record (CSV, the header being line 1)."""
    reason: str
    """Short and countable, such as `duplicate` or `too long`."""
    text: str
    """The row's text as it came."""


class Split(Record):
    """A named set of claims that is used as a whole."""

    name: str
    """`train`, `dev` or `test`."""
    claims: tuple[Claim, ...]
    """In file order."""
    sha256: str
    """Of the split's file, byte for byte."""
    where: tuple[str, ...] = ()
    """Conditions that chose these rows out of that file; the hash is then of the chosen rows."""


class AuditPair(Record):
    """Two rows that should not both be where they are."""

    kind: Literal["exact", "near", "flipped", "contradiction"]
    """`exact`/`near`: the same text across splits; `flipped`: so, with the other label; `contradiction`: the
    same text with both labels inside one split."""
    cosine: float
    """Of character 3-5-gram TF-IDF; 1.0 for exact."""
    left: str
    """Claim id in `left_split`."""
    right: str
    """Claim id in `right_split`."""
    left_split: str
    """Name of the split the left row is in."""
    right_split: str
    """Name of the split the right row is in."""
    left_text: str
    """The left row, for a person to read."""
    right_text: str
    """The right row, for a person to read."""


class Audit(Record):
    """What a search for leaks between splits found."""

    pairs: tuple[AuditPair, ...]
    """Every pair at or above the gate's threshold, worst first."""
    counts: dict[str, int]
    """Rows per split and label, pairs per kind, pairs at each threshold."""
    thresholds: dict[str, float]
    """`gate` closes the gate; `sensitivity` is only counted."""
    hashes: dict[str, str]
    """Split name to sha256, so that an audit belongs to exactly these files."""
    warnings: tuple[str, ...]
    """Imbalance and the like: worth reading, closing nothing."""
    clean: bool
    """True when no pair closes the gate."""


class Recipe(Record):
    """What to run: flat and whole, every field stands in its file."""

    name: str
    """The file's stem."""
    description: str
    """One line for a person."""
    method: Literal["zero-shot", "lora", "full"]
    """`zero-shot` trains nothing; `full` trains every weight."""
    base: str
    """Default base: a registry name, hub id, folder or .gguf; `--base` swaps it."""
    prompt: str
    """Template with one `{claim}`; the answer follows its last character."""
    label_true: str
    """Answer word for TRUE, with its leading space; compared by its first token."""
    label_false: str
    """Answer word for FALSE; its first token must differ."""
    append_eos: bool
    """Whether an end token follows the answer in training, supervised like it."""
    max_length: Annotated[int, Field(ge=16, le=4096)]
    """Tokens a prompt with its answer may have; a longer claim is an error, never cut in silence."""
    epochs: Annotated[float, Field(ge=0, le=100_000)]
    """Passes over the training rows."""
    learning_rate: Annotated[float, Field(ge=0)]
    """Peak rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"]
    """Shape after warm-up; linear and cosine end at zero."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)]
    """Share of all steps in which the rate rises from zero."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    """Rows in one forward pass (micro-batch)."""
    accumulation: Annotated[int, Field(ge=1, le=65_536)]
    """Micro-batches in one optimizer step."""
    weight_decay: Annotated[float, Field(ge=0)]
    """AdamW's decoupled decay, on matrices only."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)]
    """AdamW."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)]
    """AdamW."""
    adam_epsilon: Annotated[float, Field(gt=0)]
    """AdamW."""
    objective: Literal["verdict", "text"] = "verdict"
    """What the loss sees of a row: the answer word, or the claim itself in its place in the prompt, of TRUE rows alone,
    so that what they state is learnt without a verdict. The default is for runs stored before it."""
    chunk_rows: Annotated[int, Field(ge=0)] = 0
    """Rows, in file order, after which optimizer and schedule start afresh, as the published v4 did; 0: never. Every
    recipe file says it; the default is for runs that were stored before it existed."""
    supervised_padding: Annotated[int, Field(ge=0, le=4096)] = 0
    """Tokens to which every row is filled up with end tokens that the loss counts like the answer, as the published
    v5 did; 0: the loss sees no padding. The default is as above."""
    clip_norm: Annotated[float, Field(ge=0)]
    """Largest global gradient norm; 0 switches clipping off."""
    lora_rank: Annotated[int, Field(ge=0, le=4096)]
    """Rank r; 0 only where the method is not lora."""
    lora_alpha: Annotated[float, Field(ge=0)]
    """The update is scaled by alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)]
    """Dropout on the adapter's input."""
    lora_targets: tuple[str, ...]
    """Last names of the adapted linear layers, such as `q_proj`."""
    eval_every: Annotated[int, Field(ge=0)]
    """Steps between evaluations on dev; each epoch's end and the last step are measured too."""
    keep_best: bool
    """Keep the weights with the best dev accuracy (ties: lower loss), else the last ones."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Data order, adapter start and dropout."""


class Calibration(Record):
    """What was fitted on dev, and nowhere else."""

    temperature: float
    """p_true = sigmoid((margin - threshold) / temperature)."""
    threshold: float
    """Margin above which the verdict is TRUE."""
    abstain_below: float | None
    """Confidence max(p, 1-p) under which the verdict is ABSTAIN, when abstention is asked for; None where dev
    was too small to choose one."""
    n: int
    """Dev rows it was fitted on."""
    fitted_on: str
    """sha256 of the dev split."""


class GoldenRow(Record):
    """One claim of ours with the margin that the measured model gave it; replayed wherever it is loaded."""

    text: str
    """The claim."""
    margin: float
    """As measured at the end of the run."""


class BaseInfo(Record):
    """Which weights a run stands on."""

    name: str
    """As the user named it."""
    source: str
    """Hub id, mirror package, folder or file that it came from."""
    revision: str
    """Pinned revision, or the file's sha256."""
    sha256: str
    """Of the safetensors file that was loaded."""
    parameters: int
    """Tied weights counted once, adapters not counted."""


class Run(Record):
    """The manifest of a run folder: enough to say what was done, with what, to what."""

    id: str
    """Recipe, seed and eight hex digits of everything that decides the outcome."""
    recipe: Recipe
    """Resolved: with `--set`, `--seed` and `--base` applied."""
    recipe_sha256: str
    """Of the resolved recipe."""
    base: BaseInfo
    """The weights underneath."""
    code: dict[str, str]
    """Package version, commit and whether the tree was dirty (`unknown` outside a checkout)."""
    splits: dict[str, str]
    """Split name to sha256."""
    rows: dict[str, int]
    """Split name to number of rows; of train, those that the objective learns from."""
    data: str
    """Folder of the prepared splits, as the user named it; the hashes above say whether it is still the same."""
    where: tuple[str, ...] = ()
    """Conditions that chose training and dev rows out of that folder; empty for all."""
    started_from: tuple[str, ...] = ()
    """Id, adapter's sha256 of the run that it began from; of averaged runs, those of each in turn; empty: from zero."""
    device: str
    """Name of the processor or GPU."""
    precision: Literal["fp32", "bf16", "fp16"]
    """Of the forward pass."""
    processes: int = 1
    """That shared the rows of each step."""
    versions: dict[str, str]
    """python, torch, transformers, numpy."""
    parameters: int
    """Base and adapter together."""
    trained_parameters: int
    """How many of them the optimizer moved."""
    steps: int
    """Optimizer steps done."""
    best_step: int
    """Step whose weights were kept."""
    seconds: float
    """Wall time of training with its evaluations."""
    peak_bytes: int | None = None
    """Memory that torch held at most, from loading the base on, fragments and the scoring of dev included: in the
    process that finished the run, of several the first. None on a CPU, for a mean of runs, and in runs written before
    it was counted."""
    calibration: Calibration
    """Temperature and threshold from dev."""
    zero_shot: Calibration
    """The same, fitted the same way, for the untrained base with this prompt: a fair zero-shot row."""
    prompt_sha256: str
    """Of template and label words: what is served must match what was measured."""
    golden: tuple[GoldenRow, ...]
    """Replayed at every load."""
    averaged: tuple[str, ...] = ()
    """Runs whose adapters this one is the mean of; history, steps and seconds are then those of the first."""
    engine: str = ""
    """Class of the arithmetic of a step; empty where nothing was trained, and in runs older than the choice."""
    overrides: tuple[str, ...]
    """Gates that the user opened by hand; every report repeats them."""
    files: dict[str, str]
    """Relative path to sha256 of each file of the run."""
    resumes: tuple[str, ...] = ()
    """Where training was continued after a cut, with what had changed by then; empty when it ran through."""


class HistoryRow(Record):
    """One optimizer step, as history.jsonl stores it; step 0 is the untrained base."""

    step: int
    """Optimizer steps done."""
    epoch: float
    """Passes over the training rows done."""
    rows: int
    """Rows seen."""
    loss: float | None
    """Mean over the step's supervised tokens before the update, in nats; None at step 0."""
    learning_rate: float
    """Of this step."""
    gradient_norm: float | None
    """Global, before clipping; None at step 0 and where fp16 overflowed."""
    skipped: bool
    """True where the fp16 scaler met an overflow and left the weights alone."""
    seconds: float
    """Since training began, evaluations included."""
    dev_accuracy: float | None = None
    """Share of dev rows on the right side of margin 0, where dev was scored after this step."""
    dev_loss: float | None = None
    """Mean log loss of dev between the two label words, in nats."""


class Prediction(Record):
    """One claim, judged; metrics, calibration and comparisons are pure functions of these."""

    claim_id: str
    """The claim's id."""
    text: str
    """The claim, so that slices and mistakes need nothing but this file."""
    label: Label
    """The answer key."""
    group: str
    """As in Claim."""
    pair: str
    """As in Claim."""
    topic: str
    """As in Claim."""
    source: str
    """As in Claim."""
    margin: float
    """logit(label_true) - logit(label_false) at the last prompt position; a baseline's score has the same sign."""
    p_true: float
    """Calibrated probability of TRUE."""
    verdict: Verdict
    """ABSTAIN only when asked for."""
    run: str
    """Run id, or `baseline:NAME`."""

    @classmethod
    def of(cls, claim: Claim, margin: float, p_true: float, verdict: Verdict, run: str) -> Prediction:
        """A judgement of `claim`, which it carries whole."""
        return cls(
            claim_id=claim.id,
            text=claim.text,
            label=claim.label,
            group=claim.group,
            pair=claim.pair,
            topic=claim.topic,
            source=claim.source,
            margin=margin,
            p_true=p_true,
            verdict=verdict,
            run=run,
        )

    def claim(self) -> Claim:
        """The claim that was judged."""
        return Claim(
            id=self.claim_id,
            text=self.text,
            label=self.label,
            group=self.group,
            pair=self.pair,
            source=self.source,
            topic=self.topic,
        )


class Metric(Record):
    """One number with what it is worth."""

    value: float | None
    """None where it is undefined, never 0.0 in its place."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end of the 95 % interval."""
    n: int
    """Rows it was computed on."""
    why: str = ""
    """Why it is undefined, or empty."""


class Comparison(Record):
    """A against B on the same rows."""

    a: str
    """Name of A."""
    b: str
    """Name of B."""
    n: int
    """Rows."""
    groups: int
    """Independent groups among them."""
    seeds: tuple[int, int]
    """Runs pooled on each side."""
    difference: float
    """Accuracy of A minus accuracy of B."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    p: float
    """Exact McNemar, two-sided, on majority verdicts where seeds are pooled."""
    won: tuple[str, ...]
    """Claim ids that A got right and B wrong."""
    lost: tuple[str, ...]
    """Claim ids that B got right and A wrong."""
    detectable: float
    """Smallest difference found with 80 % power at 5 % on this test set."""
    sentence: str
    """The result in words."""
