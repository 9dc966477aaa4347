"""One renderer of prompts, for training, measuring and serving alike; and the tokens it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from medverdict.errors import DataError, RecipeError
from medverdict.files import sha256_bytes
from medverdict.records import Claim, Label, Recipe
from medverdict.text import normalise


def render(template: str, claim: str) -> str:
    """The prompt for one claim: normalised text put into the template, which ends where the answer starts."""
    return template.replace("{claim}", normalise(claim))


def prompt_sha256(recipe: Recipe) -> str:
    """Hash of all that decides what the model reads and which words are compared."""
    parts = (recipe.prompt, recipe.label_true, recipe.label_false, str(recipe.append_eos))
    return sha256_bytes("\x00".join(parts).encode("utf-8"))


@dataclass(frozen=True)
class Example:
    """One training row as tokens."""

    ids: tuple[int, ...]
    """Prompt, then answer, then the end token where the recipe asks for it; or the prompt up to the claim's end."""
    answer_length: int
    """How many tokens at the end of `ids` are supervised."""


class Encoder:
    """Turns claims into token ids by one recipe and one tokenizer.

    Raises RecipeError when the label words start with the same token, so that no logit could tell them apart.
    """

    def __init__(self, tokenizer: Tokenizer, recipe: Recipe, end_id: int | None) -> None:
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._start = _start_tokens(tokenizer)
        self._answers: dict[Label, tuple[int, ...]] = {
            "TRUE": self._tokens(recipe.label_true),
            "FALSE": self._tokens(recipe.label_false),
        }
        if self._answers["TRUE"][:1] == self._answers["FALSE"][:1]:
            raise RecipeError(
                f"recipe {recipe.name}: label_true {recipe.label_true!r} and label_false {recipe.label_false!r} start "
                f"with the same token {self._answers['TRUE'][:1]} of this base; expected words whose first tokens "
                "differ. Choose others, for example ' Đúng' and ' Sai'."
            )
        self._end: tuple[int, ...] = ()
        if recipe.append_eos:
            if end_id is None:
                raise RecipeError(f"recipe {recipe.name}: append_eos is true but this base has no end token.")
            self._end = (end_id,)
        self._room = recipe.max_length - max(map(len, self._answers.values())) - len(self._end)

    @property
    def label_ids(self) -> tuple[int, int]:
        """First token of the TRUE word and of the FALSE word."""
        return self._answers["TRUE"][0], self._answers["FALSE"][0]

    def prompt_ids(self, claim: str) -> tuple[int, ...]:
        """Tokens of the prompt. Raises DataError when prompt and answer are longer than the recipe's limit."""
        return self.prompts_ids([claim])[0]

    def prompts_ids(self, claims: Sequence[str]) -> list[tuple[int, ...]]:
        """Tokens of many prompts, made on all processors. Raises DataError as `prompt_ids` does."""
        texts = [render(self._recipe.prompt, claim) for claim in claims]
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        prompts = [(*self._start, *found.ids) for found in encoded]
        for claim, ids in zip(claims, prompts, strict=True):
            if len(ids) > self._room:
                longest = len(ids) + self._recipe.max_length - self._room
                raise DataError(
                    f"a claim of {len(claim)} characters makes {longest} tokens; recipe {self._recipe.name} allows "
                    f"{self._recipe.max_length}. Shorten it or raise max_length: {claim[:80]!r}…"
                )
        return prompts

    def surely_fits(self, claim: str) -> bool:
        """Whether the prompt is so short that `prompt_ids` cannot refuse it: told without making its tokens.

        A token of byte-level BPE, or of SentencePiece with byte fallback, stands for a byte of the text or more; the
        two to spare are for a space that some of them put before it.
        """
        most = len(render(self._recipe.prompt, claim).encode("utf-8")) + 2 + len(self._start)
        return most <= self._room

    def examples(self, claims: Sequence[Claim]) -> list[Example]:
        """The training rows; where the recipe teaches text, the TRUE ones of them alone."""
        return [self.example(claim.text, claim.label) for claim in self.taught(claims)]

    def taught(self, claims: Sequence[Claim]) -> list[Claim]:
        """The claims that are trained on: a false one must not become likely as text."""
        return [claim for claim in claims if self._recipe.objective == "verdict" or claim.label == "TRUE"]

    def example(self, claim: str, label: Label) -> Example:
        """Tokens of one row, and how many of them are supervised: the answer's, or the claim's."""
        if self._recipe.objective == "text":
            return self._text_example(claim)
        answer = self._answers[label] + self._end
        return Example(self.prompt_ids(claim) + answer, len(answer))

    def _text_example(self, claim: str) -> Example:
        """The prompt up to the claim's end, all tokens of the claim supervised; a recipe has text before it."""
        if not self.surely_fits(claim):
            self.prompt_ids(claim)  # refuses one that is too long
        before = self._recipe.prompt.index("{claim}")
        whole = self._tokenizer.encode(self._recipe.prompt[:before] + normalise(claim), add_special_tokens=False)
        first = next(number for number, (_, end) in enumerate(whole.offsets) if end > before)
        return Example((*self._start, *whole.ids), len(whole.ids) - first)

    def supervised_texts(self, claim: Claim) -> tuple[str, ...]:
        """What the supervised tokens of a row may read: its label word, end token included; or the claim, whose first
        token may hold the space before it."""
        if self._recipe.objective == "text":
            return normalise(claim.text), " " + normalise(claim.text)
        word = self._recipe.label_true if claim.label == "TRUE" else self._recipe.label_false
        return (word + self.decode(self._end),)

    def decode(self, ids: tuple[int, ...]) -> str:
        """Text of some tokens, for a person to read."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _start_tokens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What this base expects before every text: its start token where its tokenizer would add one, else nothing."""
    bare, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    return tuple(whole[: next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)])
