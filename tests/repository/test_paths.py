"""What the pages point to exists: links, anchors, files and modules."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))
from markdown import ROOT, inline_code, pages

FOLDERS = ("benchmarks", "config", "docs", "flows", "operators", "src", "tests", ".ci", ".github")
# What a page names and the repository doesn't hold, as a checkout makes it.
MADE = {"src/headrace/flows", "src/headrace/operators", "src/headrace/config"}
RELEASED = "CHANGELOG.md"


@cache
def names() -> set[str]:
    """The name of every file of the repository."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return {path.name for path in [*found, *ROOT.iterdir()]}


def links(page: str) -> Iterator[str]:
    """Targets of the links and pictures of a page."""
    for token in MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text()):
        for child in token.children or ():
            target = child.attrs.get("href") or child.attrs.get("src")
            if target:
                yield str(target)


def anchor(heading: str) -> str:
    """The anchor under which GitHub shows a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {anchor(each) for each in re.findall(r"^#+ +(.*)$", text, re.MULTILINE)}


def missing(page: str, code: str) -> bool:
    """Whether a piece of code within prose names a file of the repository that isn't there."""
    path = code.rstrip("/")
    if not re.fullmatch(r"[\w./-]+", path) or re.search(r"\b(?:NAME|NNNN)\b", path):
        return False
    if "/" not in path:
        return bool(re.fullmatch(r"\w+\.py", path)) and path not in names()
    if path.partition("/")[0] not in FOLDERS and not path.endswith(".py"):
        return False
    places = (ROOT, ROOT / "src/headrace", ROOT / "operators", (ROOT / page).parent)
    return path not in MADE and not any((place / path).exists() for place in places)


@pytest.mark.parametrize("page", pages())
def test_links_of_a_page_lead_somewhere(page):
    wrong = []
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        path = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        if not path.exists() or (fragment and path.suffix == ".md" and fragment not in anchors(path)):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in pages() if page != RELEASED])
def test_files_that_a_page_names_exist(page):
    assert [f"{place}: {code}" for place, code in inline_code(page) if missing(page, code)] == []


def test_a_name_that_is_gone_is_found():
    assert missing("README.md", "operators/gone.py")
    assert missing("README.md", "gone.py")
    assert not missing("README.md", "flows/fraud.toml")
    assert not missing("README.md", "state/control")
