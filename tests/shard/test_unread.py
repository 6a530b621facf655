"""Messages that are none: what they decode to, what is journalled of them, and that it is so again."""

from __future__ import annotations

import json
import time
from contextlib import closing

from headrace.config.loading import load
from headrace.journal.batches import Batch, Mark
from headrace.journal.records import UNREADABLE, Kind
from headrace.journal.scan import records_from
from headrace.operators.events.decode import NO_VALUE, decode, decode_one
from headrace.operators.events.unreadable import TOMBSTONE, Unreadable
from headrace.shard.durable import DurableShard

WHY = Unreadable(b"offset 1 can't be read: no")


def given(shard: DurableShard, payloads: list[bytes]):
    count = len(payloads)
    batch = Batch(
        accepted_ms=0,
        accepted_ns=time.perf_counter_ns(),
        ordinal=shard.position,
        payloads=payloads,
        sources=[0] * count,
        offsets=list(range(count)),
        lines=[0] * count,
        marks=(Mark(0, count, 0, 0),),
    )
    return shard.process(batch, decode(payloads), None)


def test_an_empty_value_is_no_tombstone():
    """D-FORM-1."""
    assert decode_one(TOMBSTONE) is NO_VALUE
    assert decode_one(b"").reason == "invalid_json"


def test_framing_is_named_with_its_schema():
    """D-FORM-1."""
    found = decode_one(b"\0\0\1\0\0\x02{}")
    assert (found.reason, "schema id 65536" in found.message) == ("registry_framing", True)
    assert decode_one(b"\0\0\0\0").reason == "invalid_json"


def test_a_tombstone_and_what_cant_be_read_are_journalled_and_are_so_again(tmp_path):
    """D-FORM-1, D-SIZE-3."""
    settings = load(None, ())
    shard = DurableShard(tmp_path, settings)
    try:
        applied = given(shard, [TOMBSTONE, WHY, b"", TOMBSTONE])
        assert [json.loads(line)["reason"] for _, line in applied.dead_letters] == [
            "unreadable",
            "invalid_json",
        ]
        assert shard.state.counts["tombstones"] == 2
        assert shard.state.number == 0
    finally:
        shard.close(with_checkpoint=False)
    kept = list(records_from(tmp_path, 0))
    assert [record.kind for record in kept] == [Kind.ABSENT, Kind.DEAD, Kind.DEAD, Kind.ABSENT]
    assert [record.flags for record in kept] == [0, UNREADABLE, 0, 0]
    with closing(DurableShard(tmp_path, settings)) as again:
        assert (again.replayed, again.state.counts["tombstones"]) == (4, 2)
