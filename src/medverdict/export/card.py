"""The page that travels with an exported model, written from its run and nothing else."""

from __future__ import annotations

from medverdict.errors import NOT_ADVICE
from medverdict.evaluate.wording import starts
from medverdict.export.parity import Parity
from medverdict.records import Run


def model_card(run: Run, kind: str, files: dict[str, int], parity: Parity) -> str:
    """README.md: what it is, how to ask it, what was measured, and what it is not. `files` gives bytes by name."""
    recipe, calibration = run.recipe, run.calibration
    listed = "\n".join(f"| `{name}` | {size / 1e6:,.1f} MB |" for name, size in sorted(files.items()))
    overrides = "\n".join(f"- **opened by hand:** {text}" for text in run.overrides) or "- none"
    began = f", beginning from {starts(run)}" if run.started_from else ""
    return f"""# {run.id}

**{NOT_ADVICE}**

A verifier of Vietnamese medical TRUE/FALSE claims: `{run.base.name}` ({run.base.source}, revision
`{run.base.revision[:16]}`) trained by medverdict {run.code["version"]} with recipe `{recipe.name}`, seed {recipe.seed},
on {run.rows["train"]:,} claims{began}.

## Files
| file | size |
|---|---|
{listed}

## How to ask
Put the claim (NFC, single spaces) into this prompt, whose last character is where the answer starts:

```
{recipe.prompt}
```

Compare the logits of the first tokens of `{recipe.label_true}` (TRUE) and `{recipe.label_false}` (FALSE) there; do not
generate and parse text.
margin = logit(TRUE word) - logit(FALSE word); p(TRUE) = sigmoid((margin - {calibration.threshold:.4f}) /
{calibration.temperature:.4f}); TRUE where p > 0.5. A program that only generates the likelier word uses threshold 0
instead, which was not measured.

## Parity
Format {kind} against the run, {parity.n} claims: {parity.agreement:.1%} of verdicts agree; the largest difference of
p(TRUE) is {parity.largest_difference:.3f}; right answers won {parity.won}, lost {parity.lost} (exact McNemar p =
{parity.p:.2g}); accuracy {parity.accuracy_export:.1%} against {parity.accuracy_run:.1%} of the run on these claims.

## Gates
{overrides}
"""


def modelfile(run: Run, weights: str) -> str:
    """For `ollama create`: it generates the likelier word, so the fitted threshold is not applied (see the card)."""
    recipe = run.recipe
    template = recipe.prompt.replace("{claim}", "{{ .Prompt }}")
    return f'''# {NOT_ADVICE}
# ollama create medverdict -f Modelfile && ollama run medverdict "Bệnh lao lây qua đường hô hấp."
FROM ./{weights}
TEMPLATE """{template}"""
PARAMETER temperature 0
PARAMETER num_predict 4
PARAMETER stop "\\n"
'''
