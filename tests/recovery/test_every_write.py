"""A run killed before any of its writes, or in the middle of one, and taken up again writes the same bytes.

Counted are all calls that change a file or a folder: in the run itself, and in the child that writes a
checkpoint, there once with the run left alive and once with it killed at the same moment.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from worlds import World, overrides, stream, write_lines

# An fsync changes nothing that a killed process leaves behind, so that it is no moment of its own.
CALLS = ("open", "write", "replace", "ftruncate", "truncate", "mkdir", "unlink", "fork")
OPTIONS = overrides(input__batch_lines_max=16, journal__checkpoint_inputs_max=30)


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


# A test of every run takes one moment in four, other ones each time; the long tests take all.
one_in = pytest.mark.parametrize("one_in", [4, pytest.param(1, marks=pytest.mark.soak)])


def chosen(every: Sequence[Moment], one_in: int) -> Sequence[Moment]:
    """One moment in so many, beginning at random; an assertion says which one it was."""
    return every[random.randrange(one_in) :: one_in]


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("world") / "events.jsonl", stream(42))


def logged(world: World) -> list[Moment]:
    """Run to the end, and list the moments that there were."""
    world.folder.mkdir(exist_ok=True)
    log = world.folder / "calls"
    assert world.run(lambda: Killer(None, log).install()) == 0, world.said
    return list(moments(log))


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 2])
@one_in
def test_killed_at_every_write_it_writes_the_same_bytes(tmp_path, events, shards, one_in):
    options = OPTIONS + overrides(flow__shards=shards)
    whole = World(tmp_path / "whole", (events,), options)
    every = logged(whole)
    assert len({moment.child for moment in every}) > 2, "too few checkpoints"
    assert whole.outputs()[0].count(b"\n") == 42
    world = World(tmp_path / "killed", (events,), options)
    # Two shards write as one does: there every fourth moment is enough.
    for moment in chosen(every, one_in if shards == 1 else 4 * one_in):
        world.clear()
        code = world.run(killing(moment))
        assert code == (-9 if moment.both or not moment.child else 0), (moment, world.said)
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment


@pytest.mark.slow
def test_killed_again_at_every_write_of_the_recovery_it_writes_the_same_bytes(tmp_path, events):
    whole = World(tmp_path / "whole", (events,), OPTIONS)
    every = logged(whole)
    # Past the middle of the run, within a frame of the journal or among the lines of the decisions.
    torn = [moment for moment in every if moment.torn and not moment.child]
    once, world = World(tmp_path / "once", (events,), OPTIONS), World(tmp_path / "twice", (events,), OPTIONS)
    assert once.run(killing(torn[len(torn) * 2 // 3])) == -9
    shutil.copytree(once.folder, tmp_path / "logged")
    for moment in logged(World(tmp_path / "logged", (events,), OPTIONS)):
        shutil.rmtree(world.folder, ignore_errors=True)
        shutil.copytree(once.folder, world.folder)
        world.run(killing(moment))
        assert world.run() == 0, (moment, world.said)
        assert world.outputs() == whole.outputs(), moment
