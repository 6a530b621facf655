"""A customer whose every id can be searched for in bytes, and commands that may be killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import ended, fork, run_main, warm
from worlds import World, all_of, outcome, payment, stream

from headrace.journal.erasures import work_files
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind, Record
from headrace.journal.segments import first_boundary

CUSTOMER = "GONE-customer"
TRACE = b"GONE"


def theirs(fields: dict[str, Any]) -> dict[str, Any]:
    """An event with customer c1 and all ids of theirs renamed."""
    number = str(fields.get("about", fields["event_id"]))[1:].split("-")[0]
    if int(number) % 5 != 1:
        return fields
    changes = {"event_id": f"GONE-{fields['event_id']}"}
    if "customer_id" in fields:
        changes["customer_id"] = CUSTOMER
    if "about" in fields:
        changes["about"] = f"GONE-{fields['about']}"
    return {**fields, **changes}


def renamed(line: bytes) -> bytes:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return line
    return json.dumps(theirs(fields)).encode()


def customers(payments: int, first: int = 0) -> list[bytes]:
    """A stream in which one customer can be told apart, also by lines that name them otherwise."""
    lines = [renamed(line) for line in stream(payments, first)]
    number = first + 1 - first % 5 + 5
    extra = [
        payment(number, event_id="GONE-negative", customer_id=CUSTOMER, amount=-1.0),
        payment(number, event_id="GONE-visit", customer_id=CUSTOMER, session_id="GONE-session"),
        b'{"type":"click","event_id":"GONE-click","event_time":%d,"session_id":"GONE-session","item_id":"i"}'
        % json.loads(payment(number))["event_time"],
        b'{"type":"payment","event_id":"GONE-cut","customer_id":"' + CUSTOMER.encode() + b'","am',
        outcome_of(number, event_id="GONE-early", about="GONE-never-came", customer_id=CUSTOMER),
        outcome_of(number, event_id="GONE-nameless", about=f"GONE-p{number}"),
    ]
    at = len(lines) // 2
    return [*lines[:at], *extra, *lines[at:]]


def outcome_of(number: int, **changes: str) -> bytes:
    """An outcome that names no customer, unless it is told to."""
    fields = json.loads(outcome(number))
    del fields["customer_id"]
    return json.dumps(fields | changes).encode()


def command_line(world: World, *arguments: str, before: Callable[[], None] = lambda: None) -> int:
    """Run a command in a forked child to its end; `before` is called in the child first."""
    said = world.folder / "said"
    warm()
    return ended(fork(lambda: run_main(list(arguments), said, before)))


def erase(world: World, before: Callable[[], None] = lambda: None) -> int:
    return command_line(world, "erase", "--customer", CUSTOMER, "--state", str(world.state), before=before)


def records(shard: Path) -> list[Record]:
    frames = JournalReader(shard, first_boundary(shard), cut_torn_tail=False).frames()
    return [record for frame in frames for record in frame.records]


def inputs(shard: Path) -> list[Record]:
    return [record for record in records(shard) if record.kind != Kind.CONTROL]


def notes(shard: Path) -> list[dict[str, Any]]:
    found = [json.loads(record.input) for record in records(shard) if record.kind == Kind.CONTROL]
    return [note for note in found if note["control"] == "erased"]


def _bytes_of(path: Path) -> bytes:
    """What is in a file; nothing where a flow that runs has deleted it meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def traces(state_files: World) -> list[Path]:
    """Files of the state in which an id of theirs stands."""
    return [path for path in all_of(state_files) if TRACE in _bytes_of(path)]


def check_gone(world: World) -> None:
    """Nothing of them is in the state, each shard notes what it erased, no work is left."""
    assert traces(world) == []
    for shard in world.shards():
        erased = {record.ordinal for record in inputs(shard) if record.erased}
        noted = {
            ordinal
            for note in notes(shard)
            for first, last in note["ordinals"]
            for ordinal in range(first, last + 1)
        }
        assert erased == noted
        assert work_files(shard) == work_files(shard, "erased") == []
        assert not list(shard.glob("*.erasing"))
    assert any(record.erased for shard in world.shards() for record in inputs(shard))
