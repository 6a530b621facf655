"""The fenced blocks and the inline code of a Markdown page, with what a test has to know of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = re.compile(r"<!-- not run: (\S.*\S) -->")
LANGUAGES = ("sh", "output", "json", "toml", "python", "text", "yaml", "promql", "mermaid")


class Block(NamedTuple):
    """A fenced block: its page, the line it stands on, its language, its text, why it isn't run (or None)."""

    page: str
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        """Where it stands, for a person."""
        return f"{self.page}:{self.line}"

    def commands(self) -> Iterator[tuple[int, str]]:
        """The line and the text of each command; one that ends in a backslash goes on in the next line."""
        parts: list[str] = []
        for number, line in enumerate(self.text.splitlines(), self.line + 1):
            parts.append(line)
            if line.endswith("\\"):
                continue
            command = "\n".join(parts)
            if command.strip() and not command.lstrip().startswith("#"):
                yield number - len(parts) + 1, command
            parts = []


def pages() -> list[str]:
    """Every page of the project, by its path."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(str(each.relative_to(ROOT)) for each in found)


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, from top to bottom."""
    found: list[Block] = []
    reason = None
    for token in _tokens(page):
        if token.type == "fence":
            found.append(Block(page, token.map[0] + 1, token.info.strip(), token.content, reason))
        told = NOT_RUN.fullmatch(token.content.strip()) if token.type == "html_block" else None
        reason = told and told[1]
    return found


def inline_code(page: str) -> Iterator[tuple[str, str]]:
    """The place and the text of each piece of code within the prose, line breaks as spaces."""
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield f"{page}:{token.map[0] + 1}", " ".join(child.content.split())


@cache
def _tokens(page: str):
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())
