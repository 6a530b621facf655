"""What several processes have done is told as if one had done it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.members import Reporter, Said, together
from headrace.operators.prequential import Prequential
from headrace.operators.recommend.lists import Graded, ListWindow
from headrace.runs import Latency, Progress

GRADED = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=60)
LISTS = st.lists(st.builds(Graded, st.integers(0, 20), st.just(20), st.booleans()), max_size=60)


def told(progress: Progress) -> Progress:
    """What the launcher takes in of what a process tells it."""
    stream, said = io.StringIO(), Said()
    Reporter(stream).progress(progress)
    assert said.take(stream.getvalue().encode()) is None
    return said.progress


@given(GRADED, GRADED)
def test_quality_is_that_of_all_scores(first, second):
    whole, parts = Prequential(), [Prequential(), Prequential()]
    whole.extend(first + second)
    for part, graded in zip(parts, (first, second), strict=True):
        part.extend(graded)
    found = together([told(Progress(quality=each.quality(), counted=each.counted())) for each in parts])
    assert found.quality == whole.quality()


@given(LISTS, LISTS)
def test_quality_of_lists_is_that_of_all_lists(first, second):
    whole, parts = ListWindow(1000), [ListWindow(1000), ListWindow(1000)]
    whole.extend(first + second)
    for part, graded in zip(parts, (first, second), strict=True):
        part.extend(graded)
    found = together([told(Progress(lists=each.quality())) for each in parts]).lists
    expected = whole.quality()
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected)


def test_counts_are_added_also_those_of_processes_that_have_ended():
    parts = [
        Progress(inputs=5, by_action={"block": 1}, pending=2),
        Progress(inputs=7, by_action={"block": 2}),
    ]
    found = together(parts, [Progress(inputs=100, by_action={"approve": 9}, pending=50)])
    assert (found.inputs, found.pending) == (112, 2)
    assert found.by_action == {"block": 3, "approve": 9}


def test_of_latencies_the_largest_is_told():
    parts = [Progress(latency=Latency(1.0, 9.0, 9.5)), Progress(), Progress(latency=Latency(2.0, 3.0, 4.0))]
    assert together(parts).latency == Latency(2.0, 9.0, 9.5)
    assert together([Progress()]).latency is None


def test_a_process_that_drains_and_one_that_warns_are_heard():
    stream, said = io.StringIO(), Said()
    reporter = Reporter(stream)
    reporter.draining()
    reporter.warning("a disk is full")
    reporter.serving("http://127.0.0.1:1/metrics")
    warnings = [said.take(line.encode()) for line in stream.getvalue().splitlines()]
    assert warnings == [None, "a disk is full", None]
    assert (said.draining, said.metrics) == (True, "http://127.0.0.1:1/metrics")
    assert all(json.loads(line) for line in stream.getvalue().splitlines())
