"""A run tells telemetry of its phases, its stages and its latency."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from observers import Unwatched

from headrace.config.loading import load
from headrace.control.reader import BatchReader
from headrace.journal.checkpoint import Finished
from headrace.runtime.file_run import run
from headrace.runtime.runs import RunRequest
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.integration

PAYMENTS = 40


class Noted:
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.events: Counter[str] = Counter()
        self.stages_in: list[str] = []
        self.decisions = 0
        self.types: Counter[str] = Counter()
        self.lines: list[bytes] = []
        self.checkpoints: list[Finished] = []
        self.shards = self.turns = 0

    def opened(self, shards: Sequence[DurableShard], reader: BatchReader, sending: object = None) -> None:
        assert sending is None
        assert self.phases == ["recovering"]
        assert reader.progress_by_source[0][1].bytes_done == 0
        self.shards = len(shards)

    def recovering(self, shard: int, applied: int, expected: int) -> None:
        raise AssertionError("there is nothing to recover")

    def turned(self) -> None:
        self.turns += 1

    def decoded(self, events: Sequence[object]) -> None:
        self.types.update(type(event).__name__ for event in events)

    def decided(self, decisions: Sequence[tuple[int, bytes]]) -> None:
        self.lines += [line for _, line in decisions]

    def evaluated(self, evaluated: Sequence[tuple[float, int]], *, learned: bool) -> None:
        assert learned

    def checkpointed(self, finished: Finished) -> None:
        self.checkpoints.append(finished)

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def batch(self, stage: str, ns: int, events: int) -> None:
        assert ns > 0
        self.stages_in.append(self.phases[-1])
        self.events[stage] += events

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        assert 0 < accepted_ns < now_ns <= time.perf_counter_ns()
        self.decisions += count


def events(folder: Path) -> Path:
    lines = [
        {
            "type": "payment",
            "event_id": f"p{number}",
            "event_time": 1_700_000_000_000 + number,
            "customer_id": f"c{number % 5}",
            "merchant_id": "m",
            "amount": 1.0,
            "currency": "EUR" if number % 4 else "USD",
        }
        for number in range(PAYMENTS)
    ]
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_phases_come_in_order_and_each_stage_counts_its_lines(tmp_path: Path) -> None:
    noted = Noted()
    request = RunRequest(
        flow="fraud",
        sources=(str(events(tmp_path)),),
        to=str(tmp_path / "decisions.jsonl"),
        dead_letters=None,
        state=tmp_path / "state",
        settings=load(None, ("flow.shards=2", "input.batch_lines_max=16")),
        config_file=None,
        speed=None,
        learn=True,
        telemetry=noted,
    )
    assert run(request, Unwatched()).exit_code == 0
    assert noted.phases == ["recovering", "running", "draining"]
    assert set(noted.stages_in) == {"running"}
    # The two shards share the lines; decisions and dead letters share what is written.
    assert noted.events == dict.fromkeys(("read", "decode", "apply", "journal", "write"), PAYMENTS)
    assert noted.decisions == PAYMENTS * 3 // 4
    assert (noted.shards, noted.types) == (2, {"Payment": PAYMENTS})
    assert sorted(noted.lines) == sorted(
        (tmp_path / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    )
    assert [finished.ok for finished in noted.checkpoints] == [True, True]
    assert noted.turns >= PAYMENTS // 16
