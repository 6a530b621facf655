"""Reasons: reported against the attribution baseline, and only where their texts are true."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.errors import ConfigError
from headrace.kinds.fraud.machine import FraudShard, shape_of
from headrace.operators.decisions.attribution_baseline import LOOK_EVERY, AttributionBaseline
from headrace.operators.events.decode import decode_one

START = 1_600_000_000_000
MINUTE = 60_000
CONFIG = """
[entities.customer]
key = "customer_id"
[features]
amount = { kind = "field", value = "amount" }
payments = { kind = "count", entity = "customer" }
[bins]
amount = { of = "amount", edges = [100] }
payments = { of = "payments", edges = [3] }
[crosses]
amount = { of = ["amount"], code = "high_amount", report_if = ["amount >= 100"] }
payments = { of = ["payments"], code = "new_customer", report_if = ["payments < 3"] }
[policy]
review_at = 0.0
block_at = 1.0
[reasons]
count_max = 3
contribution_min = 0.1
[reasons.texts]
high_amount = "High."
new_customer = "New."
"""


@pytest.fixture
def settings(tmp_path: Path) -> FraudSettings:
    path = tmp_path / "flow.toml"
    path.write_text(CONFIG)
    return load(path)


class Paying:
    def __init__(self, settings: FraudSettings) -> None:
        self.shard, self.number = FraudShard(settings), 0

    def pay(self, amount: float, customer: str = "c") -> dict[str, Any]:
        self.number += 1
        event = {
            "type": "payment",
            "event_id": f"p{self.number}",
            "event_time": START + self.number * MINUTE,
            "customer_id": customer,
            "merchant_id": "m",
            "amount": amount,
            "currency": "EUR",
        }
        payload = orjson.dumps(event)
        _, line, _ = self.shard.apply(decode_one(payload), payload, (0, 0, 1))
        decision: dict[str, Any] = orjson.loads(line)
        return decision


def weigh(shard: FraudShard, low: float, high: float, new: float, old: float) -> None:
    """Give the slots their weights: amount below, and from 100 on; customer with few payments, and more."""
    shard.model.weights[:] = array("d", [low, high, new, old])  # type: ignore[attr-defined]


def codes(decision: dict[str, Any]) -> dict[str, float]:
    return {reason["code"]: reason["contribution"] for reason in decision["reasons"]}


def test_what_all_payments_have_in_common_is_no_reason(settings: FraudSettings) -> None:
    paying = Paying(settings)
    weigh(paying.shard, 2.0, 2.0, 1.5, 1.5)
    for _ in range(40):
        paying.pay(500.0)
    assert codes(paying.pay(500.0)) == {"combination": 0.0}
    weigh(paying.shard, 2.0, 5.0, 1.5, 1.5)
    assert codes(paying.pay(500.0)) == {"high_amount": 3.0}


def test_a_code_is_told_only_where_its_text_is_true(settings: FraudSettings) -> None:
    paying = Paying(settings)
    for _ in range(10):
        paying.pay(500.0)
    weigh(paying.shard, 3.0, 0.0, 0.0, 2.0)
    found = paying.pay(10.0)
    assert found["score"] > 0.3
    assert codes(found) == {"combination": 5.0}  # neither is the amount high nor the customer new
    weigh(paying.shard, 0.0, 3.0, 2.0, 0.0)
    assert codes(paying.pay(500.0, "new")) == {"high_amount": 3.0, "new_customer": 2.0}


def test_the_baseline_is_the_mean_of_those_looked_at() -> None:
    baseline = AttributionBaseline(2)
    taken = [(float(number), -float(number)) for number in range(160)]
    for number, contributions in enumerate(taken):
        if not number % LOOK_EVERY:
            baseline.take(baseline.against(contributions))
    looked_at = taken[::LOOK_EVERY]
    assert baseline.means == pytest.approx(
        [sum(each[part] for each in looked_at) / len(looked_at) for part in (0, 1)]
    )
    for _ in range(1000):
        baseline.take(baseline.against((7.0, 9.0)))
    assert baseline.means == pytest.approx([7.0, 9.0], abs=0.2)
    other = AttributionBaseline(2)
    other.load(msgspec.msgpack.decode(msgspec.msgpack.encode(baseline.save())))
    for each in (baseline, other):
        each.take(each.against((1.0, 2.0)))
    assert other.means == baseline.means


def test_a_saved_state_goes_on_with_the_same_reasons(settings: FraudSettings) -> None:
    one, other = Paying(settings), Paying(settings)
    weigh(one.shard, 1.0, 2.0, 3.0, 4.0)
    for amount in range(0, 400, 10):
        one.pay(float(amount))
    other.shard.load({name: bytes(blob) for name, blob in one.shard.save().items()})
    other.number = one.number
    assert [one.pay(300.0) for _ in range(40)] == [other.pay(300.0) for _ in range(40)]


def test_reasons_are_no_part_of_a_states_shape(settings: FraudSettings, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(CONFIG.replace(', report_if = ["payments < 3"]', "").replace("new_customer", "known"))
    assert shape_of(load(path)) == shape_of(settings)


def test_a_condition_on_no_feature_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(CONFIG.replace("payments < 3", "paymens < 3"))
    with pytest.raises(ConfigError) as raised:
        load(path)
    (invalid,) = raised.value.errors
    assert invalid.key == "crosses.payments.report_if"
    assert "did you mean payments?" in invalid.message
