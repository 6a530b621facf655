"""A shard of the fraud flow, fed by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events.decode import decode_one

START = 1_600_000_000_000
DAY = 86_400_000
HOUR = 3_600_000
MINUTE = 60_000


def settings(*overrides: str) -> FraudSettings:
    return load(None, overrides)


class Feeder:
    """Feeds a shard with events given as keywords."""

    def __init__(self, *overrides: str) -> None:
        self.shard = FraudShard(settings(*overrides))
        self.time = START
        for number in range(3):  # three events that agree start the clock
            self.pay(f"start-{number}", customer_id="starter", merchant_id="starter")

    def feed(self, **fields: Any) -> tuple[int, bytes, bytes]:
        payload = orjson.dumps(fields)
        return self.shard.apply(decode_one(payload), payload, (0, 0, 1))

    def pay(self, event_id: str, at: int | None = None, **fields: Any) -> tuple[int, bytes, bytes]:
        self.time = self.time + MINUTE if at is None else at
        event = {"customer_id": "c", "merchant_id": "m", "amount": 10.0, "currency": "EUR", **fields}
        return self.feed(type="payment", event_id=event_id, event_time=self.time, **event)

    def tell(
        self, about: str, label: int, at: int | None = None, event_id: str = ""
    ) -> tuple[int, bytes, bytes]:
        self.time = self.time + MINUTE if at is None else at
        return self.feed(
            type="outcome",
            event_id=event_id or f"o-{about}-{self.time}",
            event_time=self.time,
            about=about,
            label=label,
        )

    @property
    def counts(self) -> dict[str, int]:
        return Counter(self.shard.counts)

    def state(self) -> dict[str, bytes]:
        saved = {name: bytes(blob) for name, blob in self.shard.save().items()}
        saved.pop("head")
        return saved

    def values(self, **fields: Any) -> dict[str, float]:
        event = {"customer_id": "c", "merchant_id": "m", "amount": 10.0, "currency": "EUR", **fields}
        payload = orjson.dumps({"type": "payment", "event_id": "x", "event_time": self.time, **event})
        features = self.shard.features
        return dict(zip(features.names, features.read(decode_one(payload), self.time)[0], strict=True))  # type: ignore[arg-type]
