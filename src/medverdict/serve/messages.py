"""What goes over the wire: questions, answers, refusals, and what the server tells about itself."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from medverdict.errors import NOT_ADVICE
from medverdict.predict.answer import Answer
from medverdict.predict.load import LoadedRun
from medverdict.records import Record
from medverdict.serve.limits import Limits


class Wire(Record):
    """Base of what is sent: the line under a field is its description in the API."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Question(Wire):
    """One claim or several; exactly one of `claim` and `claims`."""

    claim: str | None = Field(default=None, examples=["Bệnh lao lây qua đường hô hấp."])
    """One statement."""
    claims: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Several."""
    abstain: bool = False
    """Answer ABSTAIN where the model is not sure enough."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.claim is None) == (self.claims is None):
            raise ValueError("expected either claim, a text, or claims, a list of texts")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The claims, however they were given."""
        return self.claims if self.claims is not None else (self.claim or "",)


class Answers(Wire):
    """One answer a claim, in their order."""

    answers: tuple[Answer, ...]
    """What the model says."""
    run: str
    """Id of the run that answered."""
    notice: str = NOT_ADVICE
    """To be shown wherever an answer is."""


class Refusal(Wire):
    """Why there is no answer."""

    reason: str
    """For a person."""


class Health(Wire):
    """Whether claims are judged now."""

    status: Literal["ok", "stopping"]
    """`stopping` comes with status 503."""
    waiting: int
    """Claims in the queue."""


class ModelFacts(Wire):
    """Which model answers, how it is asked, and what the server takes on."""

    run: str
    """Run id."""
    recipe: str
    """Name of the recipe it was trained by."""
    base: str
    """Name of the base."""
    base_revision: str
    """Pinned revision, or the file's sha256."""
    parameters: int
    """Base and adapter together."""
    trained_on: int
    """Claims."""
    prompt: str
    """Template; the claim takes the place of {claim}."""
    label_words: tuple[str, str]
    """What is compared after the prompt: the word for TRUE, the word for FALSE."""
    threshold: float
    """Margin above which the verdict is TRUE."""
    temperature: float
    """p_true = sigmoid((margin - threshold) / temperature)."""
    abstain_below: float | None
    """Confidence below which ABSTAIN is answered, when asked for; None where the run cannot abstain."""
    golden_rows: int
    """Claims whose stored answers were given again when the server started."""
    device: str
    """Processor or GPU."""
    precision: str
    """Number format of the forward pass."""
    overrides: tuple[str, ...]
    """Gates that were opened by hand when it was trained."""
    limits: dict[str, int | float]
    """Of one request: claims, characters of a claim, body_bytes, seconds."""
    notice: str = NOT_ADVICE
    """To be shown wherever an answer is."""

    @classmethod
    def of(cls, loaded: LoadedRun, limits: Limits) -> ModelFacts:
        """What there is to say of a loaded run."""
        run, recipe = loaded.run, loaded.run.recipe
        return cls(
            run=run.id,
            recipe=recipe.name,
            base=run.base.name.rstrip("/").rpartition("/")[2],  # a folder's own path is nobody's business
            base_revision=run.base.revision,
            parameters=run.parameters,
            trained_on=0 if recipe.method == "zero-shot" else run.rows["train"],
            prompt=recipe.prompt,
            label_words=(recipe.label_true, recipe.label_false),
            threshold=run.calibration.threshold,
            temperature=run.calibration.temperature,
            abstain_below=run.calibration.abstain_below,
            golden_rows=len(run.golden),
            device=loaded.verifier.placement.device_name,
            precision=loaded.verifier.placement.precision,
            overrides=run.overrides,
            limits={
                "claims": limits.claims,
                "characters": limits.characters,
                "body_bytes": limits.body_bytes,
                "seconds": limits.seconds,
            },
        )
