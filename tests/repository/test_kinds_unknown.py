"""Machinery knows no kind of flow: no name of one, of what it decides on, or of what only its events have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = re.compile(
    r"fraud|recommend|\bslate|_slate|slates|payment|click|\bcarts?\b|\bCart\b|session_id|merchant|device_id",
    re.IGNORECASE,
)
"""Names of the shipped kinds, of what they decide on, and of fields that not every flow's events have."""

OWN_ROOMS = ("kinds", "config", "operators", "flows")  # the last three are looked at where they lie
CONFIG = (
    *("canonical", "flow_kinds", "in_force", "layers", "loading", "overlay", "overrides", "references"),
    *("tables", "validation"),
)
"""What reads any configuration; the other modules there are tables of one kind or of several."""

ALLOWED = {
    "flows/kinds.py": "makes the shipped kinds known",
    "src/headrace/cli/demo.py": "shows the two shipped flows",
    "src/headrace/cli/demo_command.py": "shows the two shipped flows",
    "src/headrace/cli/demo_story.py": "shows the two shipped flows",
    "src/headrace/cli/erase.py": "tells a person where else data of a customer may lie",
    "src/headrace/cli/simulate.py": "makes the worlds that the two shipped flows decide in",
    "src/headrace/cli/event_features_notes.py": "the reference of features gives examples",
    "src/headrace/cli/event_features_reference.py": "the reference of features gives examples",
    "src/headrace/cli/events_reference.py": "the reference of events gives examples",
    "src/headrace/cli/features_reference.py": "the reference of features gives examples",
    "src/headrace/cli/replay.py": "has options of one kind's replay; others refuse them",
    "src/headrace/shard/apply_record.py": "reads decisions of versions that left fields out",
    "src/headrace/kafka/faults.py": "has a name of Kafka's protocol",
}
"""Where such names may stand, and why."""


def machinery() -> Iterator[Path]:
    for path in sorted((ROOT / "src" / "headrace").rglob("*.py")):
        if path.relative_to(ROOT / "src" / "headrace").parts[0] not in OWN_ROOMS:
            yield path
    yield from sorted((ROOT / "flows").rglob("*.py"))
    yield from (ROOT / "config" / f"{name}.py" for name in CONFIG)


def docstrings(tree: ast.AST) -> Iterator[int]:
    """Constants that only a reader reads: docstrings, also those behind an assignment."""
    for node in ast.walk(tree):
        for each in getattr(node, "body", ()) if isinstance(getattr(node, "body", ()), list) else ():
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                yield id(each.value)


def said(source: str) -> Iterator[tuple[int, str]]:
    """Every name and every text of a module that has an effect, with its line."""
    tree = ast.parse(source)
    read_only = set(docstrings(tree))
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield getattr(node, "lineno", 0), value
        if isinstance(node, ast.Constant) and id(node) not in read_only:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str):
                yield node.lineno, value


def names_in(source: str) -> list[str]:
    return [f"line {line}: {text[:60]!r}" for line, text in said(source) if NAMES.search(text)]


def kinds_told_apart(source: str) -> list[str]:
    """Where a module asks of which class a flow's settings are."""
    return [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and re.search(r"settings$", ast.unparse(node.args[0]))
    ]


def test_machinery_names_no_kind():
    found = {
        str(path.relative_to(ROOT)): names
        for path in machinery()
        if str(path.relative_to(ROOT)) not in ALLOWED and (names := names_in(path.read_text()))
    }
    assert not found, "\n".join(f"{path}: {names}" for path, names in found.items())


@pytest.mark.parametrize("path", ALLOWED)
def test_what_may_name_one_still_does(path):
    assert names_in((ROOT / path).read_text()), "nothing is left to be allowed here"


def test_machinery_asks_no_settings_for_their_class():
    found = {
        str(path.relative_to(ROOT)): lines
        for path in machinery()
        if str(path.relative_to(ROOT)) not in ALLOWED and (lines := kinds_told_apart(path.read_text()))
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Payments."""\nx = 1\n"""Of a click."""\n', 0),
        ("# of payments\nx = 1\n", 0),
        ("from a import Payment\n", 1),
        ("def f(e):\n    return e.session_id\n", 1),
        ('x = {"fraud": 1}\n', 1),
        ("x = b'merchant_id'\n", 1),
        ("x = translate(y)\n", 0),
    ],
)
def test_what_counts_as_a_name(source, found):
    assert len(names_in(source)) == found


def test_asking_settings_for_their_class_is_seen():
    assert kinds_told_apart("if isinstance(run.settings, FraudSettings):\n    pass\n") == ["line 1"]
    assert kinds_told_apart("isinstance(event, Payment)\n") == []
