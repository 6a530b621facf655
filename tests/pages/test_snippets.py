"""What the pages show of events, decisions, settings and Python is right, and names only what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import orjson
import pytest
import typer
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parent))
from markdown import ROOT, Block, blocks, inline_code, pages

from headrace.cli.app import app
from headrace.cli.event_features_notes import EXAMPLE_FLOW
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.config.recommend_flow import RecommendSettings
from headrace.operators.events.contract import Decision, Recommendation
from headrace.operators.events.decode import Undecodable, decode_one
from headrace.operators.events.schemas import schema_files
from headrace.operators.models import model_errors
from headrace.shard.commands import decode_command

pytestmark = pytest.mark.pages

SCHEMAS = {name.removesuffix(".schema.json"): orjson.loads(text) for name, text in schema_files().items()}
COMMANDS = typer.main.get_command(app)
# Files that pages name in settings, with what they hold.
NAMED_FILES = {"trusted.txt": "c-7\n", "banks.tsv": "123456\tNordbank\n"}
# Options of other programs, in the prose.
OTHERS = {"--command-config"}


# How prose names settings.
KEY = re.compile(r"(?!.*\.(?:py|json)$|journal\.verify$)([a-z_]+(?:\.[a-z_]+)+)(?: ?= ?.*)?")
TABLE = re.compile(r"\[([a-z_.]+)\](?: ([a-z_]+))?")
KINDS = (FraudSettings, RecommendSettings)


def shown(language: str) -> list:
    """Every block of a language, named by its place."""
    found = [each for page in pages() for each in blocks(page) if each.language == language]
    return [pytest.param(each, id=each.place) for each in found]


@pytest.mark.parametrize("block", shown("json"))
def test_json_is_what_the_contract_says(block):
    for line in block.text.splitlines():
        fields = orjson.loads(line)
        kind = fields.get("type") or {"fraud": "decision"}.get(fields["kind"], "recommendation")
        if kind == "control":
            decode_command(line.encode())
            continue
        schema = SCHEMAS[kind]
        assert fields.keys() <= schema["properties"].keys()
        assert fields.keys() >= set(schema["required"])
        if "decision_id" in fields:
            msgspec.convert(fields, Decision if kind == "decision" else Recommendation)
        else:
            assert not isinstance(decode_one(line.encode()), Undecodable)


@pytest.mark.parametrize("block", shown("toml"))
def test_settings_are_accepted(block, tmp_path):
    for name, text in NAMED_FILES.items():
        (tmp_path / name).write_text(text)
    file = tmp_path / "mine.toml"
    file.write_text(_whole(block))
    load(file, model_errors=model_errors)


def _whole(block: Block) -> str:
    """The settings as a file, with what a piece of them needs around it."""
    if block.page == "docs/event-features.md" and "[flow]" not in block.text:
        return f'[flow]\nkind = "decisions"\n{EXAMPLE_FLOW}\n[features]\n{block.text}'
    if block.page != "docs/features.md":
        return block.text
    return f'extends = "fraud-sessions"\n[features]\n{block.text}'


@pytest.mark.parametrize("block", shown("python"))
def test_python_runs(block, tmp_path):
    subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, check=True)


def test_commands_and_options_in_the_prose_are_there():
    wrong = [
        f"{place}: {code}"
        for page in pages()
        if page != "CHANGELOG.md"
        for place, code in inline_code(page)
        if not _known(code)
    ]
    assert wrong == []


def _known(code: str) -> bool:
    """Whether a piece of code names no command, or only commands and options that are there."""
    words = code.split()
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return len(words) == 1 or words[1] in targets
    if words[0].startswith("benchmarks/") and words[0].endswith(".py"):
        return (ROOT / words[0]).exists()
    if words[0].startswith("--"):
        option = words[0].partition("=")[0]
        return option in OTHERS | _options(COMMANDS, everywhere=True) or f'"{option}"' in _programs()
    if words[0] != "headrace":
        return True
    command = COMMANDS
    while words[1:] and words[1] in getattr(command, "commands", {}):
        command = command.commands[words.pop(1)]
    asked = {each.partition("=")[0] for each in words[1:] if each.startswith("--")}
    unknown = hasattr(command, "commands") and words[1:] and not words[1].startswith(("-", "…"))
    return not unknown and asked <= _options(command, everywhere=False)


def _programs() -> str:
    """The text of all benchmarks, which have options of their own."""
    return "".join(each.read_text() for each in sorted((ROOT / "benchmarks").glob("*.py")))


def _options(command, *, everywhere: bool) -> set[str]:
    """The options of a command, and of those below it."""
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    below = getattr(command, "commands", {}).values() if everywhere else ()
    return own.union(*(_options(each, everywhere=True) for each in below))


def test_settings_in_the_prose_are_there():
    """Such as `journal.fsync = true`, `[control] poll_seconds` and `[policy.kill_switch]`."""
    tables = {table for kind in KINDS for table in kind.model_fields}
    wrong = []
    for place, code in [each for page in pages() if page != "CHANGELOG.md" for each in inline_code(page)]:
        named = KEY.fullmatch(code) or TABLE.fullmatch(code)
        path = ".".join(filter(None, named.groups())).split(".") if named else []
        if path and path[0] in tables and not any(_has(kind, path) for kind in KINDS):
            wrong.append(f"{place}: {code}")
    assert wrong == []


def _has(annotation: Any, path: list[str]) -> bool:
    """Whether settings of a type have a key; a table of named things has any name."""
    if not path:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(path[0])
        return field is not None and _has(field.annotation, path[1:])
    if get_origin(annotation) is dict:
        return _has(get_args(annotation)[1], path[1:])
    return any(_has(each, path) for each in get_args(annotation))
