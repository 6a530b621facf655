"""Batches of messages for shards on topics."""

from __future__ import annotations

import json

from headrace.config.loading import load
from headrace.journal.batches import Batch, Mark
from headrace.operators.events.decode import decode
from headrace.shard.topic_shard import TopicShard

SETTINGS = load(None, ())
START_MS = 1_700_000_000_000


def payment(number: int, **changes: object) -> bytes:
    fields = {"type": "payment", "event_id": f"p{number}", "event_time": START_MS + number * 1000}
    more = {"customer_id": f"c{number % 5}", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    return json.dumps(fields | more | changes).encode()


def batch(offsets: dict[int, range], **changes: object) -> Batch:
    """Messages of sources, each named by its source and offset."""
    places = [(source, offset) for source, some in offsets.items() for offset in some]
    return Batch(
        accepted_ms=0,
        accepted_ns=0,
        ordinal=0,
        payloads=[payment(1000 * source + offset, **changes) for source, offset in places],
        sources=[source for source, _ in places],
        offsets=[offset for _, offset in places],
        lines=[0] * len(places),
        marks=tuple(Mark(source, some.stop, 0, 0) for source, some in offsets.items()),
    )


def given(shard: TopicShard, part: Batch, places=None) -> list[str]:
    """Ids of the decisions on a batch."""
    return [each.id for each in shard.process(part, decode(part.payloads), places).decisions]
