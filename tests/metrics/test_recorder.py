"""What a run tells is counted, and comes out as it went in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.journal.checkpoint import Finished
from headrace.metrics.recorder import EVENT_TYPES, SCORE_EDGES, Histogram, Recorder
from headrace.operators.decisions.prequential import OutcomeWindow
from headrace.operators.events.decode import decode

PAYMENT = (
    b'{"type":"payment","event_id":"p","event_time":1700000000000,"customer_id":"c","merchant_id":"m",'
    b'"amount":1.0,"currency":"EUR"}'
)
OUTCOME = b'{"type":"outcome","event_id":"o","event_time":1700000000000,"about":"p","label":1}'


def decision(event_id: str, score: float) -> bytes:
    fields = {"decision_id": f"fraud:{event_id}", "action": "approve", "score": score, "reasons": []}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


@given(
    values=st.lists(st.one_of(st.floats(0, 1), st.sampled_from(SCORE_EDGES)), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_each_value_is_in_the_first_bucket_that_ends_at_it_or_above(values, cuts):
    histogram = Histogram(SCORE_EDGES)
    places = [0, *sorted(cuts), len(values)]
    for begin, end in pairwise(places):
        histogram.add_all(values[begin:end])
    expected = [0] * (len(SCORE_EDGES) + 1)
    for value in values:
        expected[next((at for at, edge in enumerate(SCORE_EDGES) if value <= edge), -1)] += 1
    assert histogram.counts == expected
    assert histogram.total == pytest.approx(sum(values))


def test_a_value_beyond_the_last_edge_is_in_the_open_bucket():
    for times in (1, 30):
        histogram = Histogram((1.0, 2.0))
        histogram.add_all([3.0] * times)
        histogram.add(2.5, 4)
        assert histogram.counts == [0, 0, times + 4]


def test_a_copy_of_a_histogram_stays_as_it_was():
    histogram = Histogram((1.0,))
    copy = histogram.copy()
    histogram.add(0.5)
    assert (copy.counts, copy.total) == ([0, 0], 0.0)


def test_scores_are_read_from_the_lines_that_go_out():
    recorder, scores = Recorder(OutcomeWindow(10)), [0.0, 1e-9, 0.015, 0.30000000000000004, 1.0]
    tricky = ['a","score":0.5,', '"score":0.5', "\\", '{"score":0.7}']
    lines = [decision(f"{tricky[at % 4]}{at}", score) for at, score in enumerate(scores * 8)]
    recorder.decided(list(enumerate([*lines, b'{"decision_id":"recommend:p","items":[]}\n'])))
    seen = recorder.scores()
    assert sum(seen.counts) == len(lines)
    assert seen.total == pytest.approx(sum(scores) * 8)
    assert seen.counts[:2] == [16, 0]


def test_lines_are_counted_by_type_and_every_type_is_there():
    recorder = Recorder(OutcomeWindow(10))
    recorder.decoded(decode([PAYMENT, OUTCOME, b"{", PAYMENT, b'{"type":"nonsense"}']))
    counts = recorder.events()
    assert tuple(counts) == EVENT_TYPES
    assert {kind: count for kind, count in counts.items() if count} == {
        "payment": 2,
        "outcome": 1,
        "undecodable": 2,
    }


def test_a_stage_is_weighted_by_its_events_and_its_work_is_not():
    recorder = Recorder(OutcomeWindow(10))
    recorder.batch("apply", 2_000_000, 300)
    recorder.batch("apply", 40_000_000, 1)
    pace = recorder.stages()["apply"]
    assert sum(pace.latency.counts) == 301
    assert pace.latency.total == pytest.approx(0.640)
    assert pace.busy_ns == 42_000_000
    assert sum(recorder.stages()["journal"].latency.counts) == 0


def test_latency_is_that_of_each_decision():
    recorder = Recorder(OutcomeWindow(10))
    recorder.latency(1_000_000, 5, 4_000_000)
    seen = recorder.latencies()
    assert seen.counts[seen.edges.index(0.005)] == 5
    assert seen.total == pytest.approx(0.015)


def test_outcomes_that_only_judge_are_no_updates():
    recorder = Recorder(OutcomeWindow(10))
    recorder.evaluated([(0.1, 0), (0.9, 1)], learned=True)
    recorder.evaluated([(0.2, 0)], learned=False)
    assert recorder.updates == 2
    assert recorder.window().quality().payments == 3


def test_checkpoints_are_told_apart_by_shard_and_by_end():
    recorder = Recorder(OutcomeWindow(10))
    path = Path("state/shard-01/checkpoint-00000002.ckpt")
    recorder.checkpointed(Finished(path, ok=True, seconds=2.0, stall_seconds=0.25, why=""))
    recorder.checkpointed(Finished(path, ok=False, seconds=1.0, stall_seconds=0.5, why="killed"))
    assert recorder.checkpoints("shard-01") == (1, 1, 3.0, 0.75)
    assert recorder.checkpoints("shard-00") == (0, 0, 0.0, 0.0)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("headrace.metrics.recorder.time.monotonic", lambda: self.now)


def test_only_a_running_flow_can_stand_still(monkeypatch):
    clock = Clock(monkeypatch)
    recorder = Recorder(OutcomeWindow(10))
    clock.now += 50
    assert (recorder.current, recorder.stalled_s, recorder.recovery_s) == ("recovering", 0.0, 0.0)
    recorder.phase("running")
    assert (recorder.stalled_s, recorder.recovery_s) == (0.0, 50.0)
    clock.now += 7
    assert recorder.stalled_s == 7.0
    recorder.turned()
    clock.now += 1
    assert recorder.stalled_s == 1.0
    recorder.phase("draining")
    clock.now += 9
    assert (recorder.stalled_s, recorder.recovery_s, recorder.up_s) == (0.0, 50.0, 67.0)
