"""Kills a run at chosen writes."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worlds import World, overrides

from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.reader import JournalReader
from headrace.journal.segments import first_boundary, segment_numbers, segment_path


@dataclass(frozen=True)
class Moment:
    """Where to kill: at which call, of the run itself or of which of its forked children, and whom."""

    call: int
    torn: bool = False
    child: int = 0
    both: bool = False


class Killer:
    """Counts the calls of a process and of each child that it forks, and kills at one of them."""

    def __init__(self, moment: Moment | None, log: Path | None = None) -> None:
        self.moment, self.log = moment, log
        self.run = os.getpid()
        self.calls = self.children = 0
        self.here = 0  # 0 in the run, else the number of the child that this process is

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            self._note(name)
            moment = self.moment
            if moment and (moment.child, moment.call) == (self.here, self.calls):
                if moment.torn:
                    data = memoryview(arguments[1])
                    call(arguments[0], data[: max(1, len(data) // 2)])
                self._kill()
            result = call(*arguments, **named)
            return self._forked(result) if name == "fork" else result

        return counted

    def _forked(self, child: int) -> int:
        self.children += 1
        if not child:
            self.here, self.calls = self.children, 0
        else:
            # Waited for, so that every run makes the same calls; its end is left for the run to notice.
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        return child

    def _note(self, name: str) -> None:
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{self.here} {self.calls} {name}\n")

    def _kill(self) -> None:
        if self.moment and self.moment.both:
            os.kill(self.run, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def killing(moment: Moment) -> Callable[[], None]:
    return lambda: Killer(moment).install()


one_in = pytest.mark.parametrize("one_in", [4, pytest.param(1, marks=pytest.mark.soak)])


def chosen(every: Sequence[Moment], one_in: int) -> Sequence[Moment]:
    """One moment in so many, beginning at random; an assertion says which one it was."""
    return every[random.randrange(one_in) :: one_in]


def logged(world: World) -> list[Moment]:
    """Run to the end, and list the moments that there were."""
    world.folder.mkdir(exist_ok=True)
    log = world.folder / "calls"
    assert world.run(lambda: Killer(None, log).install()) == 0, world.said
    return list(moments(log))


def killed_within_a_batch(tmp_path: Path, source: Path, given: Path) -> World:
    """A run of three shards, killed when one of them had journalled the last batch and the others not."""
    world = World(tmp_path / "world", (source,), BATCHES + overrides(flow__shards=3))
    assert world.run(from_pipe(given)) == 0, world.said
    for shard in world.shards()[1:]:
        for number in checkpoint_numbers(shard):
            checkpoint_path(shard, number).unlink()
        for number in segment_numbers(shard)[1:]:
            segment_path(shard, number).unlink()
        frames = list(JournalReader(shard, first_boundary(shard), cut_torn_tail=False).frames())
        last = next(frame for frame in reversed(frames) if frame.records)
        with segment_path(shard, 1).open("r+b") as file:
            file.truncate(last.head.position)
    world.decisions.unlink()  # a kill leaves no line in it that a journal doesn't have
    return world


CALLS = ("open", "write", "replace", "ftruncate", "truncate", "mkdir", "unlink", "fork")


def moments(log: Path) -> Iterator[Moment]:
    """Moments of a run whose calls were logged.

    Of the run itself they are all; of one child, all with both killed, and a sample with the child killed
    alone or within a write; of the others the last, where a checkpoint gets its name.
    """
    for line in log.read_text().splitlines():
        child, call, name = int(line.split()[0]), int(line.split()[1]), line.split()[2]
        last = name in ("open", "replace")
        if not child:
            yield Moment(call)
            if name == "write":
                yield Moment(call, torn=True)
        elif child == 2:
            yield Moment(call, child=child, both=True)
            if last or call % 16 == 0:
                yield Moment(call, child=child)
                if not last:
                    yield Moment(call, torn=True, child=child, both=True)
        elif last:
            yield Moment(call, child=child, both=True)


BATCHES = overrides(input__batch_lines_max=16)


def from_pipe(path: Path) -> Callable[[], None]:
    """Put a file in the place of standard input."""
    return lambda: os.dup2(os.open(path, os.O_RDONLY), 0)
