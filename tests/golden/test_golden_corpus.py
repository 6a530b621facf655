"""The golden corpus notices what it is there for, and lets pass what another numeric kernel may give."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from golden_corpus import differences, read_expected
from golden_flows import FLOWS, layout_of

from headrace.journal.records import OVERDUE, Kind


@pytest.fixture(scope="module", params=["policy", "sessions", "recommend"])
def flow(request):
    return request.param


@pytest.fixture(scope="module")
def case(flow):
    return read_expected(flow)[f"{flow}-1"]


@pytest.fixture(scope="module")
def layout(flow):
    return layout_of(flow)


def with_row(case, part, at, **fields):
    """The case with one row changed."""
    rows = list(case[part])
    rows[at] = rows[at]._replace(**fields)
    return {**case, part: rows}


def last_decided(case, part="shard-00", *, having=b'"score":'):
    """Place of the last decision that has a score of its own."""
    return max(
        place
        for place, row in enumerate(case[part])
        if row.kind in (0, Kind.DECIDED) and having in row.output and b"kill_switch" not in row.output
    )


def scaled(output, by):
    """A decision with its scores, or the first of a list's, multiplied."""
    said = orjson.loads(output)
    holder = said if "score" in said else said["items"][0]
    holder["score"] *= by
    return orjson.dumps(said) + b"\n"


def test_what_is_the_same_passes(case, layout):
    for exact in (True, False):
        assert differences(case, case, layout, exact=exact) == []


@pytest.mark.parametrize("exact", [True, False])
def test_every_field_of_a_row_counts(case, layout, exact):
    at = last_decided(case)
    row = case["shard-00"][at]
    for fields in (
        {"kind": Kind.APPLIED},
        {"flags": row.flags | OVERDUE},
        {"output": row.output.replace(b'"kind"', b'"kinds"')},
        {"output": row.output.replace(b'"version":1', b'"version":2')},
        {"detail": row.detail[:1] + bytes([row.detail[1] ^ 1]) + row.detail[2:]},
        {"place": row.place + 1},
        # Elsewhere it is the last digit of a number.
        *([{"detail": row.detail[:-1] + bytes([row.detail[-1] ^ 1])}] if exact else []),
    ):
        told = differences(case, with_row(case, "shard-00", at, **fields), layout, exact=exact)
        assert told[0] == f"shard-00: 1 of {len(case['shard-00'])} rows differ", fields
        (name,) = fields
        assert told[1].startswith(f"  at {row.place}, {name}: was ")


@pytest.mark.parametrize("exact", [True, False])
def test_a_dead_letters_message_counts(case, layout, exact):
    output = case["dead_letters"][3].output.replace(b'"message":"', b'"message":"!')
    told = differences(case, with_row(case, "dead_letters", 3, output=output), layout, exact=exact)
    assert len(told) == 3
    assert '"message":"!' in told[2]


@pytest.mark.parametrize("exact", [True, False])
def test_a_missing_row_counts(case, layout, exact):
    fewer = {**case, "decisions": case["decisions"][:-1]}
    assert differences(case, fewer, layout, exact=exact)
    assert differences(fewer, case, layout, exact=exact)
    assert differences(case, {}, layout, exact=exact)


@pytest.mark.parametrize("flow", ["policy", "sessions"], indirect=True)
def test_scores_may_differ_on_another_kernel_by_the_tolerance_and_no_more(case, layout):
    at = last_decided(case, "decisions")
    output = case["decisions"][at].output
    for by, passes in ((1 + 9e-10, True), (1 - 9e-10, True), (1 + 1.2e-9, False), (1 - 1.2e-9, False)):
        other = with_row(case, "decisions", at, output=scaled(output, by))
        assert bool(differences(case, other, layout, exact=True))
        assert (not differences(case, other, layout, exact=False)) is passes


@pytest.mark.parametrize("flow", ["recommend"], indirect=True)
def test_rounded_scores_may_differ_by_their_last_place(case, layout):
    at = last_decided(case, "decisions")
    said = orjson.loads(case["decisions"][at].output)
    for by, passes in ((1e-6, True), (-1e-6, True), (2e-6, False)):
        items = [{**said["items"][0], "score": said["items"][0]["score"] + by}, *said["items"][1:]]
        output = orjson.dumps({**said, "items": items}) + b"\n"
        other = with_row(case, "decisions", at, output=output)
        assert bool(differences(case, other, layout, exact=True))
        assert (not differences(case, other, layout, exact=False)) is passes


@pytest.mark.parametrize("flow", ["policy", "sessions"], indirect=True)
def test_numbers_of_a_detail_may_differ_by_the_tolerance_and_no_more(case, layout):
    at = last_decided(case)
    detail = case["shard-00"][at].detail
    slots, contributions, values, trace = layout.read(detail)
    number = max(range(len(values)), key=lambda place: (values[place] == values[place], abs(values[place])))
    largest = max(range(len(contributions)), key=lambda place: abs(contributions[place]))

    def packed(*, value=1.0, contribution=1.0):
        told = [
            each * (contribution if place == largest else 1.0) for place, each in enumerate(contributions)
        ]
        read = [each * (value if place == number else 1.0) for place, each in enumerate(values)]
        return layout.packed.pack(*slots, *told, *read) + trace

    assert packed() == detail
    for changed, passes in (
        (packed(value=1 + 9e-10), True),
        (packed(value=1 + 1.2e-9), False),
        (packed(contribution=1 + 2.0**-24 * 1.1), True),
        (packed(contribution=1 + 1e-6), False),
    ):
        other = with_row(case, "shard-00", at, detail=changed)
        assert (not differences(case, other, layout, exact=False)) is passes


def test_the_corpus_is_of_use():
    """Every reason, kind and action is met, so that a change in one of them can't go unseen."""
    reasons, kinds, flags, actions = set(), set(), 0, set()
    for flow in FLOWS:
        for parts in read_expected(flow).values():
            reasons |= {orjson.loads(row.output)["reason"] for row in parts["dead_letters"]}
            actions |= {orjson.loads(row.output)["action"] for row in parts["decisions"]}
            for part in parts.keys() - {"decisions", "dead_letters"}:
                kinds |= {row.kind for row in parts[part]}
                for row in parts[part]:
                    flags |= row.flags
    assert kinds == {Kind.DECIDED, Kind.APPLIED, Kind.DEAD, Kind.DUPLICATE}
    assert flags == 0x0D
    assert actions == {"approve", "review", "block", "recommend", "none"}
    assert reasons == {
        *("line_too_long", "invalid_utf8", "invalid_json", "unknown_type", "missing_field", "invalid_field"),
        *("event_time_out_of_range", "id_conflict", "other_currency", "unfit", "refused_command"),
    }
