"""A run that can't be opened lets go of what it had opened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from observers import Unwatched

from headrace.config.loading import load
from headrace.errors import JournalDamaged
from headrace.journal.segments import segment_path
from headrace.runtime.file_run import run
from headrace.runtime.runs import RunRequest

pytestmark = pytest.mark.integration


def request(folder: Path) -> RunRequest:
    line = {
        "type": "payment",
        "event_id": "p1",
        "event_time": 1_700_000_000_000,
        "customer_id": "c",
        "merchant_id": "m",
        "amount": 1.0,
        "currency": "EUR",
    }
    events = folder / "events.jsonl"
    events.write_text(json.dumps(line) + "\n")
    return RunRequest(
        flow="fraud",
        sources=(str(events),),
        to=str(folder / "decisions.jsonl"),
        dead_letters=None,
        state=folder / "state",
        settings=load(None, ("flow.shards=3",)),
        config_file=None,
        speed=None,
        learn=True,
    )


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_shards_are_closed_when_a_later_one_can_not_be_opened(tmp_path: Path) -> None:
    asked = request(tmp_path)
    assert run(asked, Unwatched()).exit_code == 0
    damaged = segment_path(tmp_path / "state" / "shard-02", 1)
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.write_bytes(content)
    for checkpoint in damaged.parent.glob("*.ckpt"):
        checkpoint.unlink()
    before = descriptors()
    for _ in range(3):
        with pytest.raises(JournalDamaged):
            run(asked, Unwatched())
        assert descriptors() == before
