"""ROWS -> rows filled up with end tokens that the loss counts: the published v5's arithmetic, kept to be measured.

Its script padded every row to 256 and hid only the prompt from the loss, so that some 210 of 211 supervised tokens
were padding. Written as rows with longer answers, it needs nothing else of an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medverdict.errors import RecipeError
from medverdict.model.prompt import Example


def fill_up(examples: Sequence[Example], length: int, end_id: int | None) -> list[Example]:
    """The same rows, each `length` tokens long and supervised from the answer on; unchanged where `length` is 0.

    A fill token sees those before it, as in every causal model without a mask. Raises RecipeError for a row that is
    longer, and for a base without an end token.
    """
    if not length:
        return list(examples)
    if end_id is None:
        raise RecipeError("supervised_padding: this base has no end token to fill up with. Set it to 0.")
    longest = max(len(example.ids) for example in examples)
    if longest > length:
        raise RecipeError(f"supervised_padding: is {length}, but a row has {longest} tokens. Raise it, or set it to 0.")
    filled = []
    for example in examples:
        more = length - len(example.ids)
        ids = example.ids + (end_id,) * more
        filled.append(replace(example, ids=ids, answer_length=example.answer_length + more))
    return filled
