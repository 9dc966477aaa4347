"""What a report is made of: every number that a page shows, as frozen records stored in report.json."""

from __future__ import annotations

from typing import Literal

from medverdict.records import Audit, HistoryRow, Label, Metric, Record, Run, Verdict


class Peek(Record):
    """One look at a test set."""

    when: str
    """UTC, ISO 8601, to the second."""
    run: str
    """Who was evaluated."""
    data_sha256: str
    """Of the test file as it was."""


class Context(Record):
    """What a report was told and cannot compute."""

    data: str
    """Name of the evaluated file."""
    data_sha256: str
    """Of that file."""
    run: Run | None = None
    """The manifest of the run."""
    audit: Audit | None = None
    """Between the training rows and these."""
    history: tuple[HistoryRow, ...] = ()
    """Of the training, thinned to a few hundred steps; evaluated steps all stay."""
    peeks: tuple[Peek, ...] = ()
    """Looks at this test file so far, by any run, this one included; empty where it is not marked as test."""
    commands: tuple[str, ...] = ()
    """What was typed to get here."""


class System(Record):
    """One judge on the same rows as all others."""

    name: str
    """Run id, or the baseline's name."""
    title: str
    """For a person."""
    accuracy: Metric
    """On all rows."""
    hard: Metric
    """On the rows that the keyword rule gets wrong."""
    easy: Metric
    """On the rows that the keyword rule gets right."""
    balanced: Metric
    """Balanced accuracy on all rows."""
    auc: Metric
    """Of its margins, whatever its threshold."""
    lead: Metric | None
    """Accuracy of the model minus this one, paired; None for the model itself."""
    p: float | None
    """Exact McNemar of that."""


class Slice(Record):
    """Some of the rows, chosen by what they are."""

    family: str
    """What the rows were told apart by."""
    name: str
    """Which of them these are."""
    accuracy: Metric
    """Share right."""
    excess: Metric
    """Error here minus error on all other rows."""


class Confusion(Record):
    """Counts of label and verdict, without abstention."""

    true_as_true: int
    true_as_false: int
    false_as_true: int
    false_as_false: int


class ReliabilityBin(Record):
    """Rows of similar p_true."""

    predicted: float
    """Mean p_true."""
    observed: Metric
    """Share whose label is TRUE."""


class RiskRow(Record):
    """The surest rows, and how often they are right."""

    coverage: float
    """Share of rows answered."""
    confidence: float
    """Lowest confidence among them."""
    accuracy: Metric
    """Share right among them."""


class ConformalRow(Record):
    """Answers with a promise: sets that miss the label with chance at most alpha, learnt on dev."""

    alpha: float
    """Promised upper bound."""
    dev_groups: tuple[int, int]
    """Groups with TRUE and with FALSE rows that it was learnt on."""
    missed_true: Metric
    """Share of TRUE rows here whose set lacks TRUE."""
    missed_false: Metric
    """Share of FALSE rows here whose set lacks FALSE."""
    answered: float
    """Share of rows whose set is one label."""
    accuracy: Metric
    """Share right among the answered."""


class Histogram(Record):
    """Margins by label."""

    edges: tuple[float, ...]
    """Bin edges, one more than bins."""
    true_rows: tuple[int, ...]
    """TRUE rows in each bin."""
    false_rows: tuple[int, ...]
    """FALSE rows in each bin."""


class Twins(Record):
    """Minimal-edit pairs with opposite labels: words alone can't get both right."""

    pairs: int
    """Pairs with both labels among the rows."""
    both_right: Metric
    """Share with every member right; tossing coins gets 25 % on two."""
    ranked: Metric
    """Share whose TRUE member has the higher margin; tossing coins gets 50 %."""


class Mistake(Record):
    """One row judged wrong."""

    claim_id: str
    text: str
    label: Label
    verdict: Verdict
    p_true: float
    topic: str
    cues: tuple[str, ...]
    """Of the keyword rule, in the text."""


TwinFault = Literal["one answer for both", "the wrong way round", "different answers to one label", "both wrong"]


class TwinMistake(Record):
    """One pair whose members are not all right."""

    pair: str
    kind: TwinFault
    members: tuple[Mistake, ...]
    """All of them, right or wrong."""


class Suspect(Record):
    """One row whose label deserves a second reading."""

    claim_id: str
    text: str
    label: Label
    p_label_model: float
    """The model's probability of the label."""
    p_label_words: float | None
    """Out-of-fold probability of the label by TF-IDF fitted on the other groups; None where too few rows."""


class Mistakes(Record):
    """Where a judge goes wrong."""

    wrong: int
    """Rows judged wrong."""
    n: int
    """Rows."""
    slices: tuple[Slice, ...]
    """Largest excess error first."""
    hidden_slices: int
    """Slices left out because they hold fewer rows than can say anything."""
    confident: tuple[Mistake, ...]
    """Wrong rows, the surest first."""
    twins: tuple[TwinMistake, ...]
    """Pairs not all right, the surest first."""
    twins_wrong: int
    """How many such pairs there are."""
    suspects: tuple[Suspect, ...]
    """The least believed labels first."""


Outcome = Literal["better", "worse", "no detectable difference", "undefined"]


class Report(Record):
    """All of an evaluation, recomputable from the stored predictions."""

    format: Literal[1] = 1
    """Of this file."""
    name: str
    """Who was evaluated."""
    outcome: Outcome
    """The model against the best baseline."""
    headline: str
    """That in words, with its numbers."""
    findings: tuple[str, ...]
    """What else a reader must know first, one sentence each."""
    n: int
    """Rows."""
    groups: int
    """Independent groups among them."""
    labels: dict[Label, int]
    """Rows by label."""
    metrics: dict[str, Metric]
    """Of the model."""
    systems: tuple[System, ...]
    """The model first, then every baseline, the best first."""
    hard_rows: int
    """Rows that the keyword rule gets wrong."""
    confusion: Confusion
    """Of the model."""
    twins: Twins | None
    """None where the rows hold no such pairs."""
    reliability: tuple[ReliabilityBin, ...]
    """By p_true, rising."""
    risk: tuple[RiskRow, ...]
    """From all rows down to the surest tenth."""
    abstention: RiskRow | None
    """At the confidence chosen on dev; None where none was."""
    conformal: tuple[ConformalRow, ...]
    """Empty where dev predictions were not given or too few."""
    histogram: Histogram
    """Of margins."""
    mistakes: Mistakes
    """Where it goes wrong."""
    files: dict[str, str]
    """Stored predictions to sha256."""
    context: Context
    """What was told."""
