"""The two pages, each whole in itself: no build step, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from medverdict.data.rows import COLUMNS
from medverdict.serve.messages import ModelFacts

_HERE = Path(__file__).parent
_FACTS = "{}/*facts*/"


@dataclass(frozen=True)
class Page:
    """HTML with the headers that keep it to itself."""

    html: str
    headers: dict[str, str]


def claims_page(facts: ModelFacts) -> Page:
    """The page where claims are typed or pasted, or a file is judged."""
    told = {"model": facts.model_dump(mode="json"), "claimColumns": COLUMNS["claim"]}
    as_json = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return _sealed((_HERE / "page.html").read_text(encoding="utf-8").replace(_FACTS, as_json))


def api_page(version: str) -> Page:
    """The description of the API, drawn from /openapi.json."""
    return _sealed((_HERE / "api.html").read_text(encoding="utf-8").replace("$version", version))


def _sealed(html: str) -> Page:
    """Only the page's own scripts and styles run, and they talk to this server only."""
    policy = {
        "default-src": "'none'",
        "script-src": _hashes(re.findall(r"<script>(.*?)</script>", html, re.DOTALL)),
        "style-src": _hashes(re.findall(r"<style>(.*?)</style>", html, re.DOTALL)),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return Page(
        html,
        {
            "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        },
    )


def _hashes(blocks: list[str]) -> str:
    digests = (hashlib.sha256(block.encode("utf-8")).digest() for block in blocks)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
