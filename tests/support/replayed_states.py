"""States of simulated payments, to be replayed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from commands import headrace, simulated, waiting_for_checkpoints
from ledgers import erase

from headrace.journal.checkpoint import checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path

LINES = 1600
SMALL = ("--set", "input.batch_lines_max=32")
# Checkpoints only where a run ends, or often, all of them kept.
OFTEN = ("--set", "journal.checkpoint_inputs_max=200", "--set", "journal.checkpoints_max=100")
TINY = ("--warm-up-days", "0", "--horizon-days", "0", "--resamples", "20")
LOW, HIGH = 0.004, 0.012  # scores of a short world are low
THRESHOLDS = ("--set", f"policy.review_at={LOW}", "--set", f"policy.block_at={HIGH}")


@dataclass(frozen=True)
class State:
    """A state that runs have left, with what went in and out."""

    path: Path
    source: Path
    to: Path

    @property
    def decisions(self) -> list[dict]:
        return [json.loads(line) for line in self.to.read_text().splitlines()]

    @property
    def shard(self) -> Path:
        return self.path / "shard-00"

    def frames(self) -> list:
        return list(JournalReader(self.shard, first_boundary(self.shard), cut_torn_tail=False).frames())


def run(*arguments: object) -> None:
    ended = headrace("run", "fraud", *arguments, before=waiting_for_checkpoints)
    assert ended.code == 0, ended.said


def world() -> list[bytes]:
    return simulated(LINES)


def made(folder: Path, lines: list[bytes], *options: str) -> State:
    folder.mkdir(exist_ok=True)
    state = State(folder / "state", folder / "events.jsonl", folder / "decisions.jsonl")
    state.source.write_bytes(b"".join(line + b"\n" for line in lines))
    run("--from", state.source, "--to", state.to, "--state", state.path, *SMALL, *options)
    return state


def retire(state: State, count: int) -> None:
    """Remove the oldest segments, and checkpoints that need them."""
    for number in segment_numbers(state.shard)[:count]:
        segment_path(state.shard, number).unlink()
        checkpoint_path(state.shard, number).unlink(missing_ok=True)


def erased_at(state: State, place: int) -> int:
    """Erase a decision, the one at a place of all; tell its ordinal."""
    decided = [(f, n) for f in state.frames() for n, r in enumerate(f.records) if r.kind == Kind.DECIDED]
    frame, number = decided[place]
    erase(state.shard, frame, number)
    return frame.records[number].ordinal
