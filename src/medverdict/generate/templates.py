"""FACT -> SENTENCE: our own templates, the same for true and false facts, so that none of them tells the label.

`{d}` is the disease, `{e}` the entity; a capital stands at the beginning of the sentence. PLAIN sentences state the
fact; STYLED ones say it as a teacher's statement would, from the disease's or the sign's side. All are short: of two
long sentences with little put into them, everything but that is the same, and near-duplicates glue all groups together.
"""

from __future__ import annotations

from medverdict.generate.records import Fact, Relation

PLAIN: dict[Relation, tuple[str, ...]] = {
    "symptom": ("{d} có thể gây {e}.", "{e} có thể do {d}."),
    "cause": ("{d} có thể do {e}.", "{e} có thể gây {d}."),
    "treatment": ("{d} có thể điều trị bằng {e}.", "{e} có thể dùng trong {d}."),
    "diagnosis": ("{d} có thể phát hiện bằng {e}.", "{e} giúp phát hiện {d}."),
}

STYLED: dict[Relation, tuple[str, ...]] = {
    "symptom": (
        "{d}: có thể gặp {e}.",
        "Trong {d} có thể thấy {e}.",
        "{e} gợi ý {d}.",
        "Biểu hiện của {d} gồm {e}.",
        "{e} là dấu hiệu của {d}.",
        "Triệu chứng {e} hướng tới {d}.",
        "Gặp {e} cần nghĩ tới {d}.",
        "{d} biểu hiện bằng {e}.",
    ),
    "cause": (
        "{d}: nguyên nhân có thể là {e}.",
        "Cơ chế của {d} liên quan đến {e}.",
        "{e} làm tăng khả năng mắc {d}.",
        "Nguyên nhân của {d} gồm {e}.",
        "{e} là nguồn gốc của {d}.",
        "Yếu tố {e} dẫn tới {d}.",
        "{d} bắt nguồn từ {e}.",
        "{d} xuất hiện sau {e}.",
    ),
    "treatment": (
        "{d}: có thể dùng {e}.",
        "Phác đồ {d} có thể gồm {e}.",
        "{e} có vai trò trong điều trị {d}.",
        "Điều trị của {d} gồm {e}.",
        "{e} là lựa chọn cho {d}.",
        "Chỉ định {e} dành cho {d}.",
        "Người mắc {d} có thể cần {e}.",
        "{d} đáp ứng với {e}.",
    ),
    "diagnosis": (
        "{d}: có thể chẩn đoán bằng {e}.",
        "Quy trình tìm {d} có thể gồm {e}.",
        "{e} có giá trị trong chẩn đoán {d}.",
        "Chẩn đoán của {d} gồm {e}.",
        "{e} là xét nghiệm cho {d}.",
        "Chỉ định {e} khi nghi {d}.",
        "Nghi {d} thì có thể cần {e}.",
        "{d} được xác định qua {e}.",
    ),
}

MOST = min(len(PLAIN[relation]) + len(STYLED[relation]) for relation in PLAIN)
"""Sentences that any fact can be told in."""


def tell(fact: Fact, template: str) -> str:
    """The sentence."""
    sentence = template.format(d=fact.disease, e=fact.entity)
    return sentence[0].upper() + sentence[1:]
