"""Small knowledge files in the form of the real ones, written by us."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from medverdict.generate.icd10 import COLUMNS

QUESTIONS = {
    "Cảm Cúm": [
        "ho khan, sốt cao và đau họng",
        "muốn hỏi bác sĩ",
        "đau cơ khắp người",
        "nghẹt mũi kéo dài",
        "rét run về chiều",
    ],
    "Viêm Dạ Dày": ["đau thượng vị sau ăn", "ợ chua nhiều lần", "đầy bụng khó tiêu", "buồn nôn buổi sáng"],
    "Sỏi Thận": ["đau quặn vùng hông lưng", "tiểu buốt nhiều lần", "nước tiểu lẫn máu", "đau lan xuống bẹn"],
    "Hen Suyễn": ["thở khò khè ban đêm", "tức ngực khi lạnh", "ho nhiều lúc gần sáng", "hụt hơi khi leo dốc"],
    "Thiếu Máu": ["da xanh nhợt nhạt", "chóng mặt lúc đứng dậy", "móng tay giòn", "rụng tóc nhiều"],
    "Viêm Khớp": ["cứng khớp buổi sáng", "sưng đầu gối hai bên", "khó cầm nắm đồ vật", "lạo xạo khi cử động"],
}


def vimedical(folder: Path, questions: dict[str, list[str]] | None = None) -> Path:
    """A CSV of patients' questions; each opens and closes as they do."""
    path = folder / "ViMedical_Disease.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("Disease", "Question"))
        for disease, told in (questions or QUESTIONS).items():
            for phrase in told:
                rows.writerow((disease, f"Tôi đang cảm thấy {phrase}. Tôi có thể đang bị bệnh gì?\n"))
    return path


def vimedner(folder: Path, sentences: list[tuple[str, dict[str, str]]] | None = None) -> Path:
    """JSON lines with spans, given as the marked words and their kind."""
    path = folder / "ViMedNER.jsonl"
    sentences = sentences or [
        ("hen suyễn thường do phấn hoa mùa xuân", {"hen suyễn": "DISEASE", "phấn hoa mùa xuân": "CAUSE"}),
        ("sỏi thận được phát hiện bằng siêu âm ổ bụng", {"sỏi thận": "DISEASE", "siêu âm ổ bụng": "DIAGNOSTIC"}),
        ("thiếu máu được chữa bằng viên sắt", {"thiếu máu": "DISEASE", "viên sắt": "TREATMENT"}),
    ]
    lines = []
    for number, (text, spans) in enumerate(sentences):
        label = [[text.index(words), text.index(words) + len(words), kind] for words, kind in spans.items()]
        lines.append(json.dumps({"id": number, "text": text, "label": label, "Comments": []}, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def icd10(folder: Path) -> Path:
    """A list of two chapters, two blocks each, two categories each, three codes each."""
    path = folder / "icd10.csv"
    header = COLUMNS
    names = ("đỏ", "vàng", "tím")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for c, (span, chapter) in enumerate((("A00-B99", "Bệnh loài sâu"), ("J00-J99", "Bệnh đường thở"))):
            for b in range(2):
                for k in range(2):
                    code = f"{span[0]}{b}{k}"
                    category = f"Chứng {('mưa', 'nắng', 'gió', 'bão')[b * 2 + k]} {('sâu', 'thở')[c]}"
                    whole = (span, chapter, f"Khối {('sông', 'núi')[b]} {('một', 'hai')[c]}", code, category)
                    rows.writerow((*whole, code, f"Disorder {code}", category))
                    for n, name in enumerate(names):
                        rows.writerow((*whole, f"{code}.{n}", f"Disorder {code} {n}", f"{category} {name}"))
    return path


def answers(folder: Path, name: str = "ViMedAQA_toy.jsonl") -> Path:
    """Question-answer pairs on drugs, each with facts of its own."""
    facts = {
        "Alphazin": "được bào chế từ vỏ liễu trắng phương bắc",
        "Betavit": "chứa tinh chất gấc chín sấy thăng hoa",
        "Gamadol": "được chiết tách nhờ dung môi cồn tuyệt đối",
        "Deltamin": "làm giãn cơ trơn phế quản tức khắc",
        "Epsilon": "gồm bột nghệ trộn mật ong rừng",
        "Zetafen": "ức chế men khử cholesterol tại tế bào gan",
    }
    rows = [
        {"question": f"{drug} là gì?", "answer": f"Thuốc {drug} {fact}.", "context": fact, "keyword": drug, "topic": 2}
        for drug, fact in facts.items()
    ]
    told = "Mỗi viên Etamol có hàm lượng hoạt chất chính là 500 mg"
    rows.append({"question": "?", "answer": f"{told}.", "context": told, "keyword": "Etamol", "topic": 2})
    rows.append({"question": "?", "answer": "Có, nên hỏi bác sĩ.", "context": "", "keyword": "Betavit", "topic": 2})
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
