"""States of simulated payments whose ledgers are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import commands
from ledgers import erase

from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary

NO_USE = b'{"type": "payment", "event_id": "cut off\n'
NEW_TEXT = "Another text from here on."
CHANGED = ["--set", f'reasons.texts.high_amount="{NEW_TEXT}"', "--set", "policy.review_at=0.0005"]
FIRST = 400


@dataclass(frozen=True)
class State:
    """A state that two runs have left, with what went in and out."""

    path: Path
    source: Path
    lines: list[bytes]
    decisions: list[dict]

    @property
    def inputs(self) -> dict[str, dict]:
        events = [json.loads(line) for line in self.lines if line != NO_USE]
        return {event["event_id"]: event for event in events}

    def outcomes(self, event_id: str) -> list[dict]:
        return [event for event in self.inputs.values() if event.get("about") == event_id]


def run(*arguments: object) -> None:
    ended = commands.headrace("run", "fraud", *arguments)
    assert ended.code == 0, ended.said


def made(folder: Path, *options: str) -> State:
    """A run, and another one with other texts and thresholds on the rest of the events."""
    from headrace.operators import simulator

    world = b"".join(simulator.event_blocks(simulator.simulate("tiny", 1))).splitlines(keepends=True)
    lines = [*world[:100], NO_USE, *world[100:1200]]
    source, to, state = folder / "events.jsonl", folder / "decisions.jsonl", folder / "state"
    where = ["--from", source, "--to", to, "--state", state, *options]
    source.write_bytes(b"".join(lines[:FIRST]))
    run(*where, "--set", "input.batch_lines_max=32")
    source.write_bytes(b"".join(lines))
    run(*where, *CHANGED)
    return State(state, source, lines, [json.loads(line) for line in to.read_text().splitlines()])


def erase_decision(state: State, decision_id: str) -> None:
    directory = state.path / "shard-00"
    for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
        for place, record in enumerate(frame.records):
            if record.kind == Kind.DECIDED and f'"{decision_id}"'.encode() in record.output:
                erase(directory, frame, place)
                return
    raise AssertionError(decision_id)
