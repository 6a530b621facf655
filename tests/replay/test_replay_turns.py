"""Inputs of several shards that count their own come once each, in each shard's order."""

from __future__ import annotations

import json
import zlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headrace.config.loading import load
from headrace.journal.frames import Frame, FrameHead
from headrace.journal.records import COMMAND, CONTROL_SOURCE, ERASED, Kind, Record
from headrace.replay.turns import in_turns
from headrace.shard.routing import shard_of

SHARDS = 3
SETTINGS = load(None, ["input.line_bytes_max=4096"])
START_MS = 1_700_000_000_000


def event(number: int, time_ms: int, customer: int | None) -> bytes:
    fields = {
        "type": "outcome",
        "event_id": f"o{number}",
        "event_time": START_MS + time_ms,
        "about": "p",
        "label": 0,
    }
    return json.dumps(fields | ({} if customer is None else {"customer_id": f"c{customer}"})).encode()


def record(ordinal: int, offset: int, payload: bytes, kind: Kind = Kind.APPLIED, **more: int) -> Record:
    fields = {"flags": 0, "source": 1, "line": offset + 1} | more
    return Record(int(kind), ordinal=ordinal, offset=offset, input=payload, output=b"", detail=b"", **fields)


def frame(accepted_ms: int, records: list[Record]) -> Frame:
    head = FrameHead(*[0] * len(FrameHead._fields))._replace(accepted_ms=accepted_ms)
    return Frame(head, records)


def told(shards: list[list[Frame]]) -> list[tuple[int, Record]]:
    frames = [iter(each) for each in shards]
    return list(in_turns(frames, [True] * SHARDS, lambda each: shard_of(each, SHARDS), SETTINGS))


# Of each batch, which shards a kill let take their part only in a further turn.
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 6))), max_size=8), max_size=6
)


@given(BATCHES, st.lists(st.sets(st.integers(0, SHARDS - 1)), min_size=6, max_size=6))
def test_each_comes_once_and_those_of_a_shard_in_its_order(batches, later):
    shards: list[list[Frame]] = [[] for _ in range(SHARDS)]
    ordinals, offset, knowing = [0] * SHARDS, 0, {}
    for accepted_ms, batch in enumerate(batches):
        parts: list[list[Record]] = [[] for _ in range(SHARDS)]
        for time_ms, customer in batch:
            payload = event(offset, time_ms, customer)
            own = None if customer is None else zlib.crc32(f"c{customer}".encode()) % SHARDS
            knowing[offset] = offset % SHARDS if own is None else own
            for number in range(SHARDS) if own is None else (own,):
                kind = Kind.DECIDED if number == knowing[offset] else Kind.DUPLICATE
                parts[number].append(record(ordinals[number], offset, payload, kind))
                ordinals[number] += 1
            offset += 1
        for number, part in enumerate(parts):
            if part:
                shards[number].append(frame(2 * accepted_ms + (number in later[accepted_ms]), part))
    found = told(shards)
    assert Counter(each.offset for _, each in found) == dict.fromkeys(range(offset), 1)
    assert {each.offset: number for number, each in found} == knowing
    for number in range(SHARDS):
        own = [each.ordinal for teller, each in found if teller == number]
        assert own == sorted(own)


def test_within_a_batch_event_time_comes_first():
    # c1 and c2 belong to different shards.
    first, second = (zlib.crc32(each) % SHARDS for each in (b"c1", b"c2"))
    assert first != second
    shards: list[list[Frame]] = [[] for _ in range(SHARDS)]
    shards[first] = [frame(7, [record(0, 0, event(0, 10, 1)), record(1, 2, event(2, 30, 1))])]
    shards[second] = [frame(7, [record(0, 1, event(1, 20, 2))]), frame(9, [record(1, 3, event(3, 5, 2))])]
    assert [each.offset for _, each in told(shards)] == [0, 1, 2, 3]


def test_what_a_kill_let_the_shards_take_at_different_times_comes_once():
    """When the last one has it, as none has decided."""
    spread = event(0, 10, None)
    command = {"source": CONTROL_SOURCE, "flags": COMMAND}
    shards = [
        [frame(accepted_ms, [record(0, 0, spread), record(1, 1, b"{}", **command)])]
        for accepted_ms in (1, 1, 8)
    ]
    shards[0].append(frame(9, [record(2, 5, event(5, 11, None))]))
    shards[1].append(frame(9, [record(2, 5, event(5, 11, None))]))
    shards[2].append(frame(9, [record(2, 5, event(5, 11, None))]))
    found = told(shards)
    assert [(each.source, each.offset) for _, each in found] == [(1, 0), (CONTROL_SOURCE, 1), (1, 5)]


def test_what_a_shard_no_longer_has_is_not_waited_for():
    shards = [
        [frame(1, [record(0, 0, event(0, 10, None))]), frame(5, [record(1, 1, event(1, 20, None))])]
    ] * 2
    shards.append([frame(5, [record(7, 1, event(1, 20, None))])])
    route = lambda each: shard_of(each, SHARDS)  # noqa: E731
    found = list(in_turns([iter(each) for each in shards], [True, True, False], route, SETTINGS))
    assert [(number, each.offset) for number, each in found] == [(0, 0), (0, 1)]


def test_what_a_kill_left_without_its_other_copies_comes_in_the_end():
    found = told([[frame(1, [record(0, 0, event(0, 10, None))])], [], []])
    assert [each.offset for _, each in found] == [0]


def test_erased_records_and_notes_of_the_journal():
    erased = [record(0, 0, bytes(30), flags=ERASED)]
    note = record(1, 0, b'{"control":"config"}', Kind.CONTROL, source=CONTROL_SOURCE)
    shards = [[frame(1, erased), frame(2, [note])], [frame(1, erased)], [frame(1, erased)]]
    assert [each.erased for _, each in told(shards)] == [True]
