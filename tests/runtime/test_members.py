"""What several processes have done is told as if one had done it."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.config.recommend_flow import RecommendSettings
from headrace.kinds.fraud.evaluation import ScoredRun
from headrace.kinds.recommend.evaluation import SlatesRun
from headrace.operators.recommend.slates import Evaluated
from headrace.runtime import members
from headrace.runtime.child import Child
from headrace.runtime.members import Member, Reporter, Said, _told, await_listening, instructions, together
from headrace.runtime.runs import Latency, Progress, RunSummary
from headrace.shard.kinds import kind_named
from headrace.shard.positions import Plan

EVALUATED = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=60)
LISTS = st.lists(st.builds(Evaluated, st.integers(0, 20), st.just(20), st.booleans()), max_size=60)

EVALUATION = kind_named("fraud").evaluation


def told(progress: Progress) -> Progress:
    """What the launcher takes in of what a process tells it."""
    stream, said = io.BytesIO(), Said()
    reporter = Reporter(stream.write)
    reporter.progress(progress)
    assert stream.getvalue() == b""  # the flow's thread writes nothing
    reporter.beat()
    assert said.take(stream.getvalue()) is None
    return said.progress


@given(EVALUATED, EVALUATED)
def test_quality_is_that_of_all_scores(first, second):
    whole, parts = ScoredRun(FraudSettings()), [ScoredRun(FraudSettings()), ScoredRun(FraudSettings())]
    whole.extend(first + second)
    for part, evaluated in zip(parts, (first, second), strict=True):
        part.extend(evaluated)
    found = together(
        [told(Progress(quality=each.told(), counted=each.counted())) for each in parts],
        evaluation=kind_named("fraud").evaluation,
    )
    assert found.quality == whole.told()


@given(LISTS, LISTS)
def test_quality_of_lists_is_that_of_all_lists(first, second):
    settings = RecommendSettings()
    whole, parts = SlatesRun(settings), [SlatesRun(settings), SlatesRun(settings)]
    whole.extend(first + second)
    for part, evaluated in zip(parts, (first, second), strict=True):
        part.extend(evaluated)
    found = together(
        [told(Progress(counted=each.counted())) for each in parts],
        evaluation=kind_named("recommend").evaluation,
    ).quality
    expected = whole.told()
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected)


def test_counts_are_added_also_those_of_processes_that_have_ended():
    parts = [
        Progress(inputs=5, by_action={"block": 1}, pending=2),
        Progress(inputs=7, by_action={"block": 2}),
    ]
    found = together(
        parts, [Progress(inputs=100, by_action={"approve": 9}, pending=50)], evaluation=EVALUATION
    )
    assert (found.inputs, found.pending) == (112, 2)
    assert found.by_action == {"block": 3, "approve": 9}


def test_of_latencies_the_largest_is_told():
    parts = [Progress(latency=Latency(1.0, 9.0, 9.5)), Progress(), Progress(latency=Latency(2.0, 3.0, 4.0))]
    assert together(parts, evaluation=EVALUATION).latency == Latency(2.0, 9.0, 9.5)
    assert together([Progress()], evaluation=EVALUATION).latency is None


def test_a_process_that_drains_and_one_that_warns_are_heard():
    stream, said = io.BytesIO(), Said()
    reporter = Reporter(stream.write)
    reporter.draining()
    reporter.warning("a disk is full")
    reporter.serving("http://127.0.0.1:1/metrics")
    warnings = [said.take(line) for line in stream.getvalue().splitlines()]
    assert warnings == [None, "a disk is full", None]
    assert (said.draining, said.metrics) == (True, "http://127.0.0.1:1/metrics")
    assert all(json.loads(line) for line in stream.getvalue().splitlines())


class Taking:
    """A launcher that takes so many bytes, and then no more for now."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, told: bytes) -> int:
        some = told[: self.room]
        if not some:
            raise BlockingIOError
        self.taken += some
        self.room -= len(some)
        return len(some)


class Late(Taking):
    """A launcher that takes nothing for some tries, and then all."""

    def __init__(self, tries: int) -> None:
        super().__init__(0)
        self.tries = tries

    def write(self, told: bytes) -> int:
        self.tries -= 1
        self.room = 0 if self.tries > 0 else len(told)
        return super().write(told)


def test_the_last_figures_wait_for_a_launcher_that_is_behind():
    launcher, said = Late(5), Said()
    reporter = Reporter(launcher.write)
    reporter.warning("a disk is full")
    reporter.finished(RunSummary(progress=Progress(inputs=7), seconds=1.0))
    assert [said.take(line) for line in launcher.taken.splitlines()] == ["a disk is full", None]
    assert (said.ended, said.progress) == (True, Progress(inputs=7))


def test_a_launcher_that_never_takes_them_holds_the_end_up_for_a_while_only(monkeypatch):
    monkeypatch.setattr(members, "_LAST_WORDS_SECONDS_MAX", 0.05)
    launcher, said = Taking(0), Said()
    Reporter(launcher.write).finished(RunSummary(progress=Progress(inputs=7), seconds=1.0))
    assert launcher.taken == b""
    assert not said.ended


def test_figures_from_before_the_end_are_not_those_of_the_end():
    stream, said = io.BytesIO(), Said()
    reporter = Reporter(stream.write)
    reporter.progress(Progress(inputs=7))
    reporter.beat()
    assert said.take(stream.getvalue()) is None
    assert (said.progress, said.ended) == (Progress(inputs=7), False)


@pytest.mark.parametrize(("code", "told", "well"), [(0, True, True), (0, False, False), (1, True, False)])
def test_a_process_has_ended_well_whose_last_figures_have_come(code, told, well):
    child = Child.__new__(Child)
    child.said, child.process = Said(progress=Progress(inputs=7)), Mock(returncode=code)
    if told:
        stream = io.BytesIO()
        Reporter(stream.write).finished(RunSummary(progress=Progress(inputs=9), seconds=1.0))
        child.said.take(stream.getvalue())
    assert child.ended_well is well


def test_a_launcher_that_takes_nothing_holds_nobody_up_and_hears_later_what_is_told_once():
    launcher = Taking(10)
    reporter = Reporter(launcher.write)
    reporter.warning("a disk is full")
    for _ in range(20_000):
        reporter.beat()
    launcher.room = 10_000_000
    reporter.pulse.running = True
    reporter.beat()
    said = Said()
    first, *lines = launcher.taken.splitlines()
    assert said.take(first) == "a disk is full"
    assert {said.take(line) for line in lines} == {None}
    assert said.beat is not None
    assert len(launcher.taken) < 300_000
    reporter.beat()
    said.take(launcher.taken.splitlines()[-1])
    assert said.beat.running


def test_instructions_say_what_a_process_is_to_do_and_how_often_all_were_started():
    plan = Plan((), 3, frozenset({"a"}), {"out": 100}, {"a": "x"})
    member, told, launched = _told(instructions(Member(1, 2, ("x:1", "y:2"), 7), plan, {"frozen": 2}))
    assert (member, told, launched.restarts) == (Member(1, 2, ("x:1", "y:2"), 7), plan, {"frozen": 2})
    launched.take(b'{"stalled":[0]}')
    assert launched.troubles() == ["process 0 is stalled"]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux slates who listens")
def test_others_are_waited_for_until_they_listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        asked = 0

        def told() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:
                server.listen()
            return False

        await_listening((address,), told)
        assert asked == 3
    await_listening((), lambda: pytest.fail("there is nobody to wait for"))
    await_listening((address,), lambda: True)


def test_a_process_whose_launcher_is_gone_before_it_begins_ends_before_it_loads_anything():
    reading, writing = os.pipe()
    os.close(writing)
    # Had it come to reading its options, it would complain of them.
    options = ("--from", "kafka:x", "--to", "kafka:y", "--set", "flow.shards=0", "--member")
    command = [sys.executable, "-P", "-m", "headrace", "run", "fraud", *options]
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, check=False, timeout=120)
    finally:
        os.close(reading)
    assert (done.returncode, done.stderr) == (0, b"")
