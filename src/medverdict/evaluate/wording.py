"""The numbers of a report as words: the same ones in every rendering."""

from __future__ import annotations

from medverdict.errors import NOT_ADVICE
from medverdict.evaluate.baselines import ZERO_SHOT
from medverdict.evaluate.records import Outcome, Report, System
from medverdict.records import Comparison, Metric, Run

DASH = "–"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return DASH if value is None else f"{100 * value:.{digits}f} %"


def percent_interval(metric: Metric) -> str:
    """The ends of a share's interval."""
    if metric.low is None or metric.high is None:
        return metric.why or DASH
    return f"{100 * metric.low:.1f} to {100 * metric.high:.1f} %"


def points(difference: float) -> str:
    """A difference of shares in percentage points, signed unless it rounds to zero."""
    text = f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def points_interval(metric: Metric) -> str:
    """The ends of a difference's interval, in percentage points."""
    return DASH if metric.low is None or metric.high is None else f"{points(metric.low)} to {points(metric.high)}"


def number(value: float | None) -> str:
    """A measure without a unit."""
    return DASH if value is None else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def number_interval(metric: Metric) -> str:
    """The ends of such a measure's interval."""
    if metric.low is None or metric.high is None:
        return metric.why or DASH
    return f"{number(metric.low)} to {number(metric.high)}"


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    return DASH if p is None else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def comparison_facts(found: Comparison) -> str:
    """What a comparison rests on, in one line."""
    runs = "" if found.seeds == (1, 1) else f", {found.seeds[0]} against {found.seeds[1]} runs"
    return (
        f"{found.n:,} claims in {found.groups:,} groups{runs}; won {len(found.won)}, lost {len(found.lost)}; exact "
        f"McNemar p {p_value(found.p)}; with 80 % power this set shows differences from {100 * found.detectable:.1f} "
        "points on."
    )


def headline(accuracy: Metric, best: System, against: Comparison) -> tuple[Outcome, str]:
    """The model against the best baseline, in one sentence with its numbers."""
    if accuracy.value is None:
        return "undefined", f"Accuracy is undefined on these {accuracy.n} claims: {accuracy.why}."
    start = f"Right on {percent(accuracy.value)} of {accuracy.n:,} claims"
    rival = f"the best baseline ({best.title}, {percent(best.accuracy.value)})"
    interval = f"95 % interval {points(against.low)} to {points(against.high)} points"
    size = f"{abs(100 * against.difference):.1f} points"
    if against.p < 0.05 and against.low > 0:
        return "better", f"{start}: {size} better than {rival}; {interval}."
    if against.p < 0.05 and against.high < 0:
        return "worse", f"{start}: {size} worse than {rival}; {interval}."
    return "no detectable difference", (
        f"{start}: no detectable difference from {rival}; {points(against.difference)} points, {interval}. "
        f"This test set reliably shows differences of {100 * against.detectable:.1f} points or more."
    )


def conclusion(report: Report) -> str:
    """What a terminal says under the table: headline, findings and the warning."""
    return "\n".join([report.headline, *(f"- {finding}" for finding in report.findings), NOT_ADVICE])


def findings(report: Report) -> tuple[str, ...]:
    """What a reader must know beside the headline, most important first."""
    found = [_hard_rows(report), _one_sided(report), _twins(report), _training(report)]
    return tuple(sentence for sentence in [*found, *_provenance(report)] if sentence)


def _hard_rows(report: Report) -> str:
    hard = report.systems[0].hard
    if hard.value is None or hard.low is None or hard.high is None:
        return "The keyword rule gets no claim wrong here, so nothing tells knowledge from cue words."
    easy = report.systems[0].easy
    share = (
        f"On the {hard.n} hard claims, where cue words mislead, it is right on {percent(hard.value)} "
        f"({percent_interval(hard)}); on the easy rest on {percent(easy.value)}."
    )
    if hard.low > 0.5 and easy.high is not None and easy.high < 0.5:
        return f"{share} That is a tilt to one answer, or the cue words turned round, not knowledge."
    if hard.low > 0.5:
        return f"{share} Better than tossing a coin: more than cue words."
    if hard.high < 0.5:
        return f"{share} Worse than tossing a coin: it leans on the cue words."
    return (
        f"{share} No better than tossing a coin, as far as this set can tell: its score may be wording, not knowledge."
    )


def _one_sided(report: Report) -> str:
    for label, other in (("TRUE", "FALSE"), ("FALSE", "TRUE")):
        recall = report.metrics[f"{label} recall"].value
        if recall is not None and recall < 0.5:
            return f"It is one-sided: {percent(1 - recall)} of the claims that are {label} are called {other}."
    return ""


def _twins(report: Report) -> str:
    if report.twins is None or report.twins.both_right.value is None:
        return ""
    both = report.twins.both_right
    return (
        f"Of {report.twins.pairs} twin pairs (one edit apart, opposite labels) it gets both right in "
        f"{percent(both.value)} ({percent_interval(both)}); a coin gets 25 %."
    )


def _training(report: Report) -> str:
    for system in report.systems[1:]:
        if system.name == ZERO_SHOT and system.lead and system.lead.value is not None:
            change = f"{points(system.lead.value)} points ({points_interval(system.lead)})"
            return f"Training changed the accuracy of the same base by {change}."
    return ""


def starts(run: Run) -> str:
    """Ids of the runs that it began from, without their hashes; empty: it began from the base."""
    return ", ".join(run.started_from[::2])


def _provenance(report: Report) -> list[str]:
    context = report.context
    audit, run = context.audit, context.run
    if audit is None:
        found = ["No audit stands behind this report: training rows may be among these claims."]
    elif audit.clean:
        found = [f"The audit found no pair at or above cosine {audit.thresholds.get('gate', 0.8):g} across the splits."]
    else:
        found = ["The audit found leaks; the report lists the worst. These figures may be too high."]
    if run and run.started_from:
        found.append(
            f"It began from {starts(run)}: what those were trained on is neither in the audit nor in the baselines."
        )
    if run and run.overrides:
        found.append(f"Gates were opened by hand: {'; '.join(run.overrides)}.")
    if run and run.steps:
        found.append("This is one run: another seed would move these figures too, and the intervals don't know that.")
    if context.peeks:
        times = len(context.peeks)
        found.append(
            f"This test file has been looked at {'once' if times == 1 else f'{times} times'}, by any run and this time "
            "included (a copy in another folder is counted apart)"
            + ("." if times == 1 else "; each further look makes its figures a little too hopeful.")
        )
    return found
