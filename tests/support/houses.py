"""A shard of the recommend flow, fed by hand."""

from __future__ import annotations

import json

from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.records import Kind
from headrace.kinds.recommend.machine import RecommendShard
from headrace.operators.events.decode import decode_one

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


class House:
    """A shard, and how it is told of things, one a second."""

    def __init__(self, **tables: object) -> None:
        self.shard = RecommendShard(RecommendSettings.model_validate(tables))
        self.number = 0

    def tell(self, kind: str, after_ms: int = 0, overdue: bool = False, **fields: object):
        self.number += 1
        event = {"type": kind, "event_id": f"e{self.number}", "event_time": START_MS + self.number * 1000}
        event["event_time"] += after_ms
        line = json.dumps(event | fields).encode()
        return self.shard.apply(decode_one(line, 10_000), line, (0, 0, self.number), overdue=overdue)

    def click(self, session: str, item: str, **more: object) -> dict:
        kind, line, _ = self.tell("click", session_id=session, item_id=item, **more)
        assert kind == Kind.DECIDED
        return json.loads(line)

    def items(self, session: str, item: str, **more: object) -> list[str]:
        return [each["item_id"] for each in self.click(session, item, **more)["items"]]
