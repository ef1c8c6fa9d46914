"""The commands of a page of docs, as its reader runs them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, step: int, language: str) -> str:
    """All blocks of a language in one numbered section of a page; of none, "" as the language."""
    sections = re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (section,) = (section for section in sections if section.startswith(f"{step}. "))
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    return "".join(block for of, block in fenced if of == language)
