"""The code says why: a share of its lines are comments, none of them banners or words for a tool."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src/headrace", "operators", "flows", "config")
SHARE_MIN = 0.03
BLOCK_LINES_MAX = 4
# Addressed to a tool, or a line that divides a file: neither says why.
SAYS_NOTHING = re.compile(r"#\s*(noqa|type:|ruff:|fmt:|pragma|mypy:|!|-{2,}|\d+\s*-{2,})")
WHITE = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


class Measured(NamedTuple):
    """Lines of a file: with code, docstrings left out, and with a comment that says something."""

    code: set[int]
    comments: set[int]


def docstring_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


def measured(source: str) -> Measured:
    code, comments = set[int](), set[int]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if not SAYS_NOTHING.match(token.string):
                comments.add(token.start[0])
        elif token.type not in WHITE:
            code.update(range(token.start[0], token.end[0] + 1))
    return Measured(code - set(docstring_lines(ast.parse(source))), comments)


@cache
def files() -> dict[str, Measured]:
    paths = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): measured(path.read_text()) for path in paths}


def test_three_in_a_hundred_lines_say_why():
    lines = sum(len(each.code | each.comments) for each in files().values())
    assert sum(len(each.comments) for each in files().values()) / lines >= SHARE_MIN


def test_a_comment_stands_in_few_lines():
    blocks = {name: comments - code for name, (code, comments) in files().items()}
    long = [
        f"{name}:{line}"
        for name, lines in blocks.items()
        for line in sorted(lines)
        if line - 1 not in lines and set(range(line, line + BLOCK_LINES_MAX + 1)) <= lines
    ]
    assert long == []


def test_what_says_nothing_is_not_counted():
    found = measured('"""Why."""\n# ---- part\nx = 1  # noqa: E501\ny = 2  # of customers\n# Because.\n')
    assert found == Measured({3, 4}, {4, 5})
