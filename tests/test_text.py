import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from medverdict.text import fold, looks_like_mojibake, normalise, repair_mojibake

CLAIM = "Bệnh lao lây qua đường hô hấp."


def test_both_unicode_forms_of_a_claim_become_the_same_text():
    assert normalise(unicodedata.normalize("NFD", CLAIM)) == CLAIM


def test_spaces_and_invisible_characters_do_not_make_another_claim():
    assert normalise("\ufeff Bệnh\u00a0lao \t lây\u200b qua\nđường hô hấp. ") == CLAIM


def test_case_and_punctuation_do_not_make_another_fact():
    assert fold("BỆNH LAO, lây qua đường hô-hấp!") == fold("bệnh lao lây qua đường hô hấp")


def test_text_read_with_the_wrong_code_page_is_seen_and_repaired():
    broken = CLAIM.encode("utf-8").decode("cp1252", errors="replace")
    assert looks_like_mojibake("giáº£m Ä‘au")
    assert repair_mojibake("giáº£m Ä‘au") == "giảm đau"
    assert broken != CLAIM


def test_sound_vietnamese_is_left_alone():
    assert not looks_like_mojibake(CLAIM)
    assert repair_mojibake("“Trích dẫn” ≥ 5 µg…") == "“Trích dẫn” ≥ 5 µg…"


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str):
    assert normalise(normalise(text)) == normalise(text)
