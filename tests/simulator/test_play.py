"""Live play: each line when it is due, flushed, and the same bytes as without a speed."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest

from headrace.operators.simulator import event_blocks, simulate, write
from headrace.operators.simulator.play import play


class Clock:
    """A clock that stands still until someone sleeps."""

    def __init__(self):
        self.time_s = 100.0
        self.slept = []

    def now(self):
        return self.time_s

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time_s += seconds


class Sheet(io.BytesIO):
    """Keeps what had been written at each flush, and when."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.seen = clock, []

    def flush(self):
        self.seen.append((self.clock.time_s - 100.0, self.getvalue()))


def played(blocks, speed):
    clock = Clock()
    sheet = Sheet(clock)
    play(blocks, sheet, speed, now=clock.now, sleep=clock.sleep)
    return sheet.seen, clock


def test_each_line_comes_when_it_is_due_and_is_flushed():
    blocks = [(np.array([50, 50, 60]), ["a\n", "b\n", "c\n"]), (np.array([60, 110]), ["d\n", "e\n"])]
    seen, clock = played(blocks, 10.0)
    assert seen == [(0.0, b"a\nb\n"), (1.0, b"a\nb\nc\n"), (1.0, b"a\nb\nc\nd\n"), (6.0, b"a\nb\nc\nd\ne\n")]
    assert clock.slept == [1.0, 5.0]


def test_who_falls_behind_writes_all_that_is_due_and_does_not_sleep():
    blocks = [(np.array([0]), ["a\n"]), (np.array([1, 2, 3, 90]), ["b\n", "c\n", "d\n", "e\n"])]
    clock = Clock()
    sheet = Sheet(clock)

    def slow():
        clock.time_s += 3.5
        yield blocks[1]

    def both():
        yield blocks[0]
        yield from slow()

    play(both(), sheet, 1.0, now=clock.now, sleep=clock.sleep)
    assert [written for _, written in sheet.seen] == [b"a\n", b"a\nb\nc\nd\n", b"a\nb\nc\nd\ne\n"]
    assert clock.slept == [86.5]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_must_be_positive(speed):
    with pytest.raises(ValueError, match="positive"):
        play([], io.BytesIO(), speed)


@pytest.mark.parametrize("preset", ["tiny", "storm"])
def test_a_played_world_has_the_bytes_of_a_written_one(tmp_path, preset):
    world = simulate(preset, 1, days=1)
    write(world, tmp_path / "e.jsonl.gz", speed=1e9)
    assert gzip.decompress((tmp_path / "e.jsonl.gz").read_bytes()) == b"".join(event_blocks(world))
