"""Runs on topics are killed again and again, and nothing is lost, sent twice, or other than journalled."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from topic_worlds import PATIENCE_S, Running, World, inputs_in, members, size_of, wait_until_gone
from worlds import tiny_world

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LINES = 3000
AIMS = ("any", "recovery", "checkpoint", "drain")
AIM_SECONDS_MAX = 5.0
# How many kills, and of each kind that is aimed at how many must have hit; quick ones by number of processes.
QUICK_KILLS = {1: (20, 0), 2: (10, 0)}
SOAK_KILLS = pytest.param((100, 5), marks=pytest.mark.soak)
# Each shard takes a checkpoint every few inputs, so that kills meet one that is being written.
OPTIONS = ("--set", "journal.checkpoint_inputs_max=5")


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return tiny_world(LINES)


def unfinished(state: Path) -> set[tuple[Path, int]]:
    """Checkpoints that are being written, or whose writing was cut short, each with its inode."""
    found = set()
    for path in state.glob("shard-*/checkpoint-*.tmp"):
        with suppress(FileNotFoundError):
            found.add((path, path.stat().st_ino))
    return found


def in_use(state: Path) -> bool:
    """Whether a run holds the state's lock."""
    with suppress(FileNotFoundError), (state / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def waited(reached: Callable[[], object]) -> bool:
    """Look very often whether something is so, for a while."""
    until = time.monotonic() + AIM_SECONDS_MAX
    while not reached():
        if time.monotonic() >= until:
            return False
        time.sleep(0)
    return True


class Kills(Counter[str]):
    """In what kills fell. They are aimed at each kind in turn, and a kind is counted where it was hit.

    Recovery is hit when the state was taken up, inputs wait, and none of them was applied; a checkpoint when
    its file is left without its name; a drain when it was asked for and had not come to its end.
    """

    def __init__(self) -> None:
        super().__init__()
        seed = os.environ.get("HEADRACE_SEED")
        self.seed = int(seed) if seed else int.from_bytes(os.urandom(4))
        self.rng = random.Random(self.seed)
        print(f"HEADRACE_SEED={self.seed}")  # noqa: T201  # shown when the test fails

    def some_time(self, state: Path, bytes_max: int, seconds_max: float) -> None:
        """Wait while it starts, or until it has journalled some more."""
        if self.rng.random() < 0.3:
            time.sleep(self.rng.uniform(0.0, 2.5))
            return
        wanted = size_of(state) + self.rng.randrange(1, bytes_max)
        until = time.monotonic() + self.rng.uniform(0.25, 1.0) * seconds_max
        while size_of(state) < wanted and time.monotonic() < until:
            time.sleep(0.001)

    def check(self, least: int) -> None:
        """Each kind was hit."""
        print(f"kills: {dict(self)}")  # noqa: T201
        assert all(self[aim] >= least for aim in AIMS), f"{dict(self)}"


def portions(lines: Sequence[bytes], kills: int) -> list[Sequence[bytes]]:
    """Lines to be sent before each kill, and the rest."""
    step = len(lines) // kills
    return [lines[kill * step : (kill + 1) * step] for kill in range(kills)] + [lines[kills * step :]]


# -- one process


def kill_one(world: World, kills: Kills, aim: str) -> None:
    """Start a process on inputs that wait, and kill it at a moment of the kind that is aimed at."""
    state, before, left = world.state, inputs_in(world.state), unfinished(world.state)
    running = world.start(*OPTIONS)
    asked = False
    if aim == "recovery":
        waited(lambda: in_use(state))
        time.sleep(kills.rng.uniform(0.0, 0.4))
    elif aim == "checkpoint":
        waited(lambda: unfinished(state) - left)
    elif aim == "drain":
        asked = waited(lambda: inputs_in(state) > before)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(kills.rng.uniform(0.0, 0.08))
    else:
        kills.some_time(state, 60_000, 6.0)
    taken = aim != "checkpoint" and in_use(state)  # nothing must come between seeing one and the kill
    running.kill()
    killed = running.process.returncode == -signal.SIGKILL
    recovering = killed and taken and inputs_in(state) == before
    kills["recovery"] += recovering
    kills["checkpoint"] += killed and bool(unfinished(state) - left)
    kills["drain"] += killed and asked
    kills["any"] += killed and not recovering and not asked


@pytest.mark.parametrize("number", [QUICK_KILLS[1], SOAK_KILLS])
def test_kills_of_one_process(world, lines, number):
    """D-ONCE-1, D-ONCE-2, D-STATE-1."""
    count, least = number
    kills = Kills()
    *parts, rest = portions(lines, count)
    for place, part in enumerate(parts):
        world.send(part)
        kill_one(world, kills, AIMS[place % len(AIMS)])
    world.send(rest)
    world.run(len(lines))
    world.check()
    kills.check(least)


# -- several


class Cluster:
    """A launcher with two members, one of which, or the launcher, is killed."""

    def __init__(self, world: World, kills: Kills) -> None:
        self.world, self.kills = world, kills
        self.running = self._start()

    def _start(self) -> Running:
        return self.world.start("--processes", "2", *OPTIONS)

    def kill(self, aim: str, sent: int) -> None:
        """Kill at a moment of the kind that is aimed at; afterwards a launcher runs again."""
        world, rng, kills = self.world, self.kills.rng, self.kills
        state, left = world.state, unfinished(world.state)
        if aim == "recovery":
            self._let_one_die()
        before = inputs_in(state)
        victim, asked, told = rng.randrange(2), False, aim == "drain"
        if aim == "recovery":
            time.sleep(rng.uniform(0.0, 0.6))
        elif aim == "checkpoint":
            waited(lambda: unfinished(state) - left)
            victim = next((int(path.parent.name[-2:]) % 2 for path, _ in unfinished(state) - left), victim)
        elif aim == "drain":
            waited(lambda: members(world))
            asked = waited(lambda: inputs_in(state) > before)
            self.running.process.send_signal(signal.SIGTERM)
            time.sleep(rng.uniform(0.0, 0.15))
        else:
            kills.some_time(state, 30_000, 8.0)
        pids = members(world)
        launcher = not pids or rng.random() < 0.25
        self._fall(None if launcher else pids[victim])
        at_once = unfinished(state) - left
        recovering = aim == "recovery" and before < sent and inputs_in(state) == before
        kills["checkpoint"] += bool(at_once)
        kills["recovery"] += recovering
        # On a slow machine it may have been told to stop before it decided anything: that hits no drain.
        ended_badly = self._again(pids, told=told, launcher=launcher)
        kills["drain"] += asked and ended_badly
        kills["any"] += not recovering and not told

    def _fall(self, pid: int | None) -> None:
        if pid is None:
            self.running.kill()
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _let_one_die(self) -> None:
        """Have the members started again, and give back as soon as they are there."""
        pids = self._present()
        self._fall(pids[0])
        self.running.wait_for(lambda: members(self.world) not in ([], pids), "started again")

    def _present(self) -> list[int]:
        self.running.wait_for(lambda: members(self.world), "members")
        return members(self.world)

    def _again(self, pids: list[int], *, told: bool, launcher: bool) -> bool:
        """Let the launcher start members anew, or start a launcher; gives whether the old one ended badly."""
        if not launcher and not told:
            self.running.wait_for(lambda: members(self.world) != pids, "started again")
            return False
        code = self.running.process.wait(PATIENCE_S)
        wait_until_gone(pids)
        self.running = self._start()
        return code != 0


@pytest.mark.parametrize("number", [QUICK_KILLS[2], SOAK_KILLS])
def test_kills_of_members_and_of_their_launcher(world, lines, number):
    """D-ONCE-1, D-ONCE-2, D-STATE-1, D-PROC-1, D-PROC-2."""
    count, least = number
    kills = Kills()
    cluster = Cluster(world, kills)
    *parts, rest = portions(lines, count)
    sent = 0
    for place, part in enumerate(parts):
        sent += len(part)
        world.send(part)
        cluster.kill(AIMS[place % len(AIMS)], sent)
    world.send(rest)
    cluster.running.wait_for(lambda: inputs_in(world.state) >= len(lines), "all inputs")
    assert cluster.running.stop() == 0, cluster.running.said.read_text()
    world.check()
    kills.check(least)
