"""The newcomer's walk and the table of rooms on the architecture page are those of the code."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
FILES_MAX = 12
FLOWS = ("fraud", "recommend")
OTHER_FOLDERS = {"flows", "operators", "config"}


class Step(NamedTuple):
    """A row of the walk: its number, the file as it is called and as it is linked, and what to read there."""

    number: int
    file: str
    link: str
    read: str


def section(title: str) -> str:
    """A section of the page, up to the next heading."""
    return re.split(r"^#+ ", PAGE.read_text().partition(f" {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def walk(flow: str) -> list[Step]:
    """The rows of a flow's walk."""
    (title,) = re.findall(rf"^### (.*the flow `{flow}`)$", PAGE.read_text(), re.MULTILINE)
    rows = re.findall(r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| `(.+?)` \|", section(title), re.MULTILINE)
    return [Step(int(number), file, link, read) for number, file, link, read in rows]


def defined(path: Path) -> set[str]:
    """Tables of a TOML file, as `[NAME]`; functions of a module and `Class.method` of its classes."""
    if path.suffix == ".toml":
        return {f"[{name}]" for name in tomllib.loads(path.read_text())}
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("flow", FLOWS)
def test_a_walk_is_short_and_in_order(flow):
    steps = walk(flow)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert 8 <= len(steps) <= FILES_MAX
    assert len({step.file for step in steps}) == len(steps)
    assert steps[0].file == f"flows/{flow}.toml"


@pytest.mark.parametrize(
    "step", [pytest.param(step, id=f"{flow}-{step.number}") for flow in FLOWS for step in walk(flow)]
)
def test_what_a_step_says_to_read_is_there(step):
    assert step.link == f"../{step.file}"
    assert step.read in defined(ROOT / step.file)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_walk_is_drawn(flow):
    (title,) = re.findall(rf"^### (.*the flow `{flow}`)$", PAGE.read_text(), re.MULTILINE)
    (drawn,) = re.findall(r"^```mermaid\n(.*?)^```", section(title), re.MULTILINE | re.DOTALL)
    for step in walk(flow)[1:]:
        assert re.search(rf'"{step.number} (?:\w+\.)?{re.escape(step.read.rpartition(".")[2])}"', drawn), step


def test_every_room_has_a_line():
    told = set(re.findall(r"^\| `([\w/]+)/` \|", section("The rooms"), re.MULTILINE))
    engine = {path.parent.name for path in (ROOT / "src/headrace").glob("*/__init__.py")} - OTHER_FOLDERS
    kinds = {f"kinds/{path.parent.name}" for path in (ROOT / "src/headrace/kinds").glob("*/__init__.py")}
    logic = {f"operators/{path.parent.name}" for path in (ROOT / "operators").glob("*/__init__.py")}
    assert told == (engine - {"kinds"}) | kinds | logic | {"flows", "config"}
