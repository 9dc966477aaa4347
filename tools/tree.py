"""Write the tree of the package into README.md, one line a file, from each file's own first line; `make tree`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "medverdict"
NAMES = 48  # width of the column of names
OTHERS = {
    "model/bases.json": "the registry of bases: hub ids, revisions, licences, counts, hashes",
    "evaluate/page.html": "the report page: structure and style",
    "serve/page.html": "the page where a person asks: structure, style and script, nothing from outside",
    "serve/api.html": "the description of the HTTP API for people",
    "evaluate/keywords.txt": "the keyword rule's list, one cue a line",
    "data/synonyms.txt": "words that may stand for each other when claims are augmented",
    "claims/CARD.md": "card of our claims: who wrote them, how they were reviewed, what they may be used for",
    "shipped/CARD.md": "card of the shipped model",
}
SHELF = "shipped"
BESIDE = (
    ("tests/", "mirror the rooms"),
    ("examples/", "predicting with Ray Data, serving with vLLM"),
    ("bench/", "speed of training, scoring and serving; checks that need a GPU; cross-validation of recipes"),
    ("notebooks/", "the Colab notebook and its source"),
    ("tools/", "write the lock files, this tree, the results page and the notebook; ask for known vulnerabilities"),
    ("docs/", "guides, results, performance, scale, reliability, data, serving, Python API, a worked example, the log"),
)


def tree() -> str:
    """The package's files in order, with what each is for."""
    lines = ["src/medverdict/"]
    files = sorted(p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    files.sort(key=lambda p: (len(p.relative_to(PACKAGE).parts) > 1, p))
    room = ""
    for path in files:
        parts = path.relative_to(PACKAGE).parts
        if len(parts) > 1 and parts[0] != room:
            room = parts[0]
            lines.append(f"  {room}/")
        line = describe(path)
        if line is not None:
            indent = "    " if len(parts) > 1 else "  "
            lines.append(f"{indent}{'/'.join(parts[1:]) or parts[0]:<{NAMES - len(indent)}}{line}".rstrip())
    lines += [f"{name:<{NAMES}}{what}" for name, what in BESIDE]
    return "\n".join(lines)


def describe(path: Path) -> str | None:
    """First line of a Python file's docstring, a recipe's description, or what is known of the kind of file."""
    if path.parent.parent.name == SHELF:  # a run folder: one line stands for all of it
        return "manifest of the shipped model; beside it adapter and predictions" if path.name == "run.json" else None
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0] or None
    if path.suffix == ".toml":
        found = re.search(r'^description = "(.*)"', text, re.MULTILINE)
        return found.group(1) if found else ""
    if path.suffix == ".jsonl":
        rows = text.count("\n")
        return f"{rows:,} claims, frozen: never trained on" if path.stem == "test" else f"{rows:,} claims"
    return OTHERS.get(path.relative_to(PACKAGE).as_posix())


def in_readme(readme: str) -> str:
    """README.md with the tree of this moment between its markers."""
    block = f"<!-- tree -->\n```\n{tree()}\n```\n<!-- /tree -->"
    return re.sub(r"<!-- tree -->.*<!-- /tree -->", lambda _: block, readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(in_readme(path.read_text(encoding="utf-8")), encoding="utf-8")
