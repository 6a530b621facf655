"""Each clause of what is promised has a test that names it, and no test names another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLAUSE = re.compile(r"\b[CDPS]-[A-Z]+-[0-9]+\b")
SPECS = ("contract", "delivery", "policy", "settings")


def defined() -> list[str]:
    """Clauses that the pages state, each at the beginning of its paragraph."""
    pages = "".join((ROOT / f"docs/specs/{name}.md").read_text() for name in SPECS)
    return re.findall(r"^\*\*([CDPS]-[A-Z]+-[0-9]+)\*\* ", pages, re.MULTILINE)


def named() -> set[str]:
    """Clauses in the docstrings of tests; a comment doesn't count."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.update(CLAUSE.findall(ast.get_docstring(node) or ""))
    return found


def test_each_clause_has_a_test_and_each_test_a_clause():
    assert len(defined()) > 20
    assert named() == set(defined())


def test_each_clause_stands_once():
    assert sorted(defined()) == sorted(set(defined()))


def test_the_pages_refer_to_clauses_that_exist():
    for page in (ROOT / "docs").rglob("*.md"):
        assert set(CLAUSE.findall(page.read_text())) <= set(defined()), page
