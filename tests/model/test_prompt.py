import unicodedata

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from medverdict.errors import DataError, RecipeError
from medverdict.model.prompt import Encoder, prompt_sha256, render
from medverdict.recipes.recipe import load_recipe

CLAIM = "Bệnh lao lây qua đường hô hấp."


@pytest.fixture
def tokenizer(tiny_base):
    return Tokenizer.from_file(str(tiny_base.path / "tokenizer.json"))


def test_a_claim_in_either_unicode_form_becomes_the_same_tokens(tokenizer, toy_recipe):
    encoder = Encoder(tokenizer, toy_recipe, end_id=1)
    assert encoder.prompt_ids(unicodedata.normalize("NFD", CLAIM)) == encoder.prompt_ids(CLAIM)


def test_training_and_scoring_read_the_same_prompt(tokenizer, toy_recipe, toy_claims):
    encoder = Encoder(tokenizer, toy_recipe, end_id=1)
    example = encoder.example(CLAIM, "FALSE")
    assert example.ids[: -example.answer_length] == encoder.prompt_ids(CLAIM)
    claim = toy_claims[0].model_copy(update={"label": "FALSE"})
    assert encoder.decode(example.ids[-example.answer_length :]) == " Sai"
    assert encoder.supervised_texts(claim) == (" Sai",)


def test_as_text_the_claim_itself_is_supervised_in_its_place_in_the_prompt(tokenizer, toy_recipe, toy_claims):
    verdicts, texts = (
        Encoder(tokenizer, toy_recipe.model_copy(update={"objective": name}), end_id=1) for name in ("verdict", "text")
    )
    for claim, space in ((CLAIM, ""), ("Sai khớp vai thường do ngã chống tay.", " ")):  # " Sai" is one token
        example = texts.example(claim, "TRUE")
        supervised = texts.decode(example.ids[-example.answer_length :])
        assert supervised == space + claim
        assert supervised in texts.supervised_texts(toy_claims[0].model_copy(update={"text": claim}))
        assert texts.decode(example.ids) == toy_recipe.prompt.partition("{claim}")[0] + claim
        assert verdicts.prompt_ids(claim)[: len(example.ids) - 1] == example.ids[:-1]  # the last may join what follows


def test_what_is_false_is_never_taught_as_text(tokenizer, toy_recipe, toy_claims):
    encoder = Encoder(tokenizer, toy_recipe.model_copy(update={"objective": "text"}), end_id=1)
    assert {claim.label for claim in encoder.taught(toy_claims)} == {"TRUE"} != {claim.label for claim in toy_claims}
    assert encoder.examples(toy_claims) == [encoder.example(c.text, "TRUE") for c in toy_claims if c.label == "TRUE"]


def test_an_end_token_follows_only_where_the_recipe_says_so(tokenizer, toy_recipe):
    ended = toy_recipe.model_copy(update={"append_eos": True})
    without, with_end = (Encoder(tokenizer, recipe, end_id=1).example(CLAIM, "TRUE") for recipe in (toy_recipe, ended))
    assert with_end.ids == (*without.ids, 1)
    assert with_end.answer_length == without.answer_length + 1


def test_a_base_that_expects_a_start_token_gets_it_once_in_front_of_the_prompt(tokenizer, toy_recipe):
    plain = Encoder(tokenizer, toy_recipe, end_id=1).example(CLAIM, "TRUE")
    start = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", start)])
    started = Encoder(tokenizer, toy_recipe, end_id=1)
    assert started.example(CLAIM, "TRUE").ids == (start, *plain.ids)
    assert start not in started.label_ids
    assert started.prompts_ids([CLAIM, CLAIM])[1][:1] == (start,)


def test_label_words_that_start_alike_are_refused(tokenizer, toy_recipe):
    alike = toy_recipe.model_copy(update={"label_true": " Sai", "label_false": " Sai lầm"})
    with pytest.raises(RecipeError, match="with the same token"):
        Encoder(tokenizer, alike, end_id=1)


def test_a_claim_beyond_the_limit_is_an_error_and_never_cut(tokenizer, toy_recipe):
    encoder = Encoder(tokenizer, toy_recipe, end_id=1)
    with pytest.raises(DataError, match="allows 512"):
        encoder.prompt_ids("dài " * 600)
    texts = Encoder(tokenizer, toy_recipe.model_copy(update={"objective": "text"}), end_id=1)
    with pytest.raises(DataError, match="allows 512"):
        texts.example("dài " * 600, "TRUE")


@pytest.mark.parametrize("word", ["a", "ệ", " ", "🩺", "lao ", "中"])
def test_what_is_said_to_fit_without_looking_does_fit(tokenizer, toy_recipe, word):
    encoder = Encoder(tokenizer, toy_recipe, end_id=1)
    said = [encoder.surely_fits(word * n) for n in range(600)]
    assert said[0]
    assert said[-1] == (not word.strip())
    for n in (n for n in range(0, 600, 7) if said[n]):
        assert encoder.prompt_ids(word * n)


def test_braces_in_a_claim_stay_what_they_are():
    assert render("Nhận định: {claim}\nĐáp án:", "a {claim} {x}") == "Nhận định: a {claim} {x}\nĐáp án:"


def test_the_prompt_hash_knows_the_label_words():
    recipe = load_recipe("quickstart")
    assert prompt_sha256(recipe) != prompt_sha256(recipe.model_copy(update={"label_true": " TRUE"}))
    assert prompt_sha256(recipe) == prompt_sha256(recipe.model_copy(update={"epochs": 9.0}))
