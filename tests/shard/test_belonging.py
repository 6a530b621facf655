"""A state and the topics of a run belong together, or the run is refused with the ways out."""

from __future__ import annotations

from pathlib import Path

from headrace.config.canonical import canonical
from headrace.config.loading import load
from headrace.journal.end import JournalEnd
from headrace.journal.frames import GENESIS
from headrace.journal.provenance import Provenance
from headrace.shard.belonging import Seen, decisions_elsewhere, newest_of_flow, other_flow, other_topics

OUTPUTS = {"decisions": "out", "dead_letters": "dead"}
NAMES = ("fraud", "recommend")
FRESH = JournalEnd(Path("shard-00"), 0, GENESIS, {}, {})


def end(*sources: str, to: str | None = None, flow: str = "fraud") -> JournalEnd:
    sinks = {} if to is None else {"decisions": {"topic": to}}
    provenance = Provenance(canonical(load(None, flow=flow)), True, "0", None)
    return JournalEnd(Path("shard-00"), 0, GENESIS, dict(enumerate(sources)), sinks, {}, provenance)


def told(
    ends: list[JournalEnd], ids: list[str | None], *, kind: str = "fraud", latest: bool = False
) -> list[str]:
    newest = newest_of_flow((Seen(0, offset, each) for offset, each in enumerate(ids)), NAMES)
    return list(decisions_elsewhere(ends, OUTPUTS, newest, (kind,), from_now_on=latest))


def test_the_newest_decision_of_each_flow():
    seen = [Seen(0, 3, "fraud:a"), Seen(1, 9, "fraud:b"), Seen(2, 1, "recommend:c"), Seen(0, 4, None)]
    others = [Seen(0, 10, "order:1"), Seen(0, 11, "fraud"), Seen(0, 12, "")]
    assert newest_of_flow([*seen, *others], NAMES) == {"fraud": seen[1], "recommend": seen[2]}


def test_a_new_state_on_decided_topics_is_refused_with_the_ways_out():
    (said,) = told([FRESH], ["fraud:p-1", "fraud:p-2"])
    assert "kafka:out has decisions of this flow (out[0] offset 1: fraud:p-2), and the state is new" in said
    assert all(way in said for way in ("--state", "headrace state restore", "--start latest", "--again"))


def test_a_new_state_may_begin_at_the_end_of_its_inputs_or_where_nobody_decided():
    assert told([FRESH], ["fraud:p-1"], latest=True) == []
    assert told([FRESH], []) == []
    assert told([FRESH], ["order:1", None, ""]) == []


def test_a_state_goes_on_with_its_own_decisions():
    assert told([end("kafka:in/0", to="out")], ["fraud:p-1"]) == []
    # Back to a topic that it wrote to before it wrote to another one.
    assert told([end("kafka:in/0", to="elsewhere")], ["fraud:p-1"]) == []


def test_decisions_of_another_flow_are_not_written_among():
    for ends in ([FRESH], [end("kafka:in/0", to="elsewhere")]):
        for latest in (False, True):
            (said,) = told(ends, ["recommend:c-1"], latest=latest)
            assert "has decisions of the flow recommend (out[0] offset 0: recommend:c-1)" in said
            assert "--to" in said


def test_a_state_of_another_flow():
    assert list(other_flow([FRESH, end(flow="recommend")], "recommend")) == []
    assert list(other_flow([end(flow="recommend")], "fraud")) == [
        'flow.kind: the state has "recommend", the configuration "fraud"'
    ]


def test_a_state_of_other_topics():
    ends = [FRESH, end("kafka:payments/0", "kafka:payments/1", "kafka:outcomes/0")]
    assert list(other_topics(ends, ["payments"])) == []
    assert list(other_topics(ends, ["payments", "clicks"])) == []
    assert list(other_topics([FRESH], ["orders"])) == []
    (said,) = other_topics(ends, ["orders"])
    assert "written for kafka:outcomes, kafka:payments, and kafka:orders would be read into it" in said
    assert "--again" in said
