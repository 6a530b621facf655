"""A clock that an operator puts back: what lies ahead goes, what lies before stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from feeder import DAY, HOUR, MINUTE, START, Feeder
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.journal.records import Kind
from headrace.kinds.recommend.machine import RecommendShard
from headrace.operators.events.contract import Payment
from headrace.operators.events.decode import decode_one
from headrace.operators.features import FeatureSet
from headrace.shard.commands import SetClock, decode_command, encode_command

# Of every kind that keeps a window or a time.
TEN_DAYS = {"window": "10d", "panes": 10}
FEATURES = {
    "amount": {"kind": "field", "value": "amount"},
    "shops": {"kind": "distinct", "entity": "customer", "value": "merchant_id", "window": "10d"},
    "last": {"kind": "time_since_last", "entity": "merchant"},
    "first": {"kind": "time_since_first", "entity": "merchant", "window": "40d"},
    "frauds": {"kind": "fraud_share", "entity": "merchant", **TEN_DAYS},
    **{
        f"{entity}_{kind}": {
            "kind": kind,
            "entity": entity,
            **TEN_DAYS,
            **({} if kind == "count" else {"value": "amount"}),
        }
        for entity in ("customer", "merchant")
        for kind in ("count", "sum", "mean", "max")
    },
}


def feature_set() -> FeatureSet:
    parsed = FraudSettings.model_validate(
        {
            "entities": {name: {"key": f"{name}_id"} for name in ("customer", "merchant")},
            "features": FEATURES,
            "bins": {"amount": {"of": "amount", "edges": [10.0]}},
            "crosses": {"one": {"of": ["amount"], "code": "x"}},
            "reasons": {"texts": {"x": "X"}},
        }
    )
    return FeatureSet(parsed.entities, parsed.features, parsed.bins, parsed.crosses)


def paid(customer: int, merchant: int, amount: float, time_ms: int) -> Payment:
    return Payment(
        event_id="p",
        event_time=time_ms,
        customer_id=f"c{customer}",
        merchant_id=f"m{merchant}",
        amount=amount,
        currency="EUR",
    )


def take(features: FeatureSet, payment: Payment, number: int, label: int) -> None:
    time_ms = payment.event_time
    values, _, flags, rows = features.read(payment, time_ms)
    rows = features.update(payment, time_ms, values, number, rows)
    features.label(rows, number, flags, time_ms, label)


STARTED = 2  # payments ahead before a clock starts


def set_clock(feeder: Feeder, to_ms: int) -> tuple[int, bytes, bytes]:
    command = SetClock(to_ms=to_ms)
    return feeder.shard.command(command, encode_command(command), (1, 0, 1))


def astray(feeder: Feeder, days: float, customers: int) -> int:
    """Lead the clock away by so many customers in a row; give the time that it had."""
    now = feeder.shard.clock.now
    for number in range(customers):
        feeder.pay(f"astray-{number}", at=now + round(days * DAY) + number, customer_id=f"wrong-{number}")
    feeder.time = now
    return now


def test_sixty_customers_of_one_sender_do_not_move_the_clock_of_a_hundred() -> None:
    feeder = Feeder("time.quorum_share=0.75")
    for number in range(300):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 100}")
    now = astray(feeder, 3, 60)
    assert feeder.shard.clock.now == now
    for number in range(756):
        feeder.pay(f"after-{number}", customer_id=f"c{number % 100}")
    assert (feeder.counts["payments_late"], feeder.counts["payments_ahead"]) == (0, STARTED + 60)
    assert feeder.shard.clock.refused == 1


def test_a_quiet_time_of_many_customers_ends_and_loses_no_payment() -> None:
    feeder = Feeder("time.quorum_share=0.75")
    for number in range(300):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 100}")
    feeder.time += 4 * DAY
    for number in range(200):
        feeder.pay(f"after-{number}", customer_id=f"c{number % 100}")
    assert feeder.counts["payments_ahead"] == STARTED + 74  # the 75th is three quarters of the 100
    assert feeder.shard.clock.accepted == 1
    assert feeder.values(customer_id="c0")["customer_payments"] == 5


def test_put_back_and_everybody_is_on_time_again() -> None:
    feeder = Feeder("time.quorum_share=0.0")
    for number in range(100):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 10}")
    now = astray(feeder, 400, 3)
    feeder.pay("late", at=now + MINUTE)
    assert feeder.counts["payments_late"] == 1
    before = feeder.values(customer_id="c3")
    assert set_clock(feeder, now)[0] == Kind.APPLIED
    assert feeder.shard.clock.now == now
    assert feeder.counts["clock_set"] == feeder.counts["commands"] == 1
    assert feeder.counts["values_put_back"] > 0
    assert str(feeder.values(customer_id="c3")) == str(before)
    for number in range(100):
        feeder.pay(f"after-{number}", customer_id=f"c{number % 10}")
    assert feeder.counts["payments_late"] == 1
    assert feeder.values(customer_id="c3")["customer_payments"] == before["customer_payments"] + 10


def test_a_time_that_is_not_accepted_yet_can_be_set() -> None:
    feeder = Feeder("time.quorum_share=0.75")
    for number in range(50):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 50}")
    feeder.time += 4 * DAY
    for number in range(5):
        feeder.pay(f"after-{number}", customer_id="c1")
    assert feeder.counts["payments_ahead"] == STARTED + 5
    set_clock(feeder, feeder.time)
    assert feeder.shard.clock.now == feeder.time
    assert feeder.values(customer_id="c1")["customer_payments"] == 6  # those that waited count now
    assert feeder.counts["values_put_back"] == 0
    feeder.pay("next", customer_id="c1")
    assert feeder.counts["payments_ahead"] == STARTED + 5


def test_a_clock_that_was_never_started_is_not_set() -> None:
    shard = Feeder().shard.__class__(load(None))
    command = SetClock(to_ms=START)
    assert shard.command(command, encode_command(command), (1, 0, 1))[0] == Kind.APPLIED
    assert shard.clock.now == 0


PAID = st.tuples(st.integers(0, 5), st.integers(0, 3), st.floats(1.0, 900.0), st.integers(1, DAY - 1))


@settings(max_examples=60, deadline=None)
@given(before=st.lists(PAID, max_size=20), ahead=st.lists(PAID, min_size=1, max_size=12))
def test_what_lay_before_is_as_if_nothing_had_come(before: list[Any], ahead: list[Any]) -> None:
    one, other = feature_set(), feature_set()
    day = START // DAY * DAY
    to = day + DAY - 1  # the last moment of a pane: the next one makes every window lose one that was empty
    for number, (customer, merchant, amount, offset) in enumerate(sorted(before, key=lambda each: each[3])):
        for features in (one, other):
            take(features, paid(customer, merchant, amount, day + offset - 1), number, number % 2)
    for number, (customer, merchant, amount, offset) in enumerate(ahead):
        take(one, paid(customer, merchant, amount, to + offset), 100 + number, number % 2)
    assert one.put_back(to) > 0
    touched = {each[1] for each in ahead}
    for customer in range(6):
        for merchant in range(4):
            payment = paid(customer, merchant, 5.0, to)
            found, wanted = (
                dict(zip(each.names, each.read(payment, to)[0], strict=True)) for each in (one, other)
            )
            assert found.pop("shops") <= wanted.pop("shops")  # by those whose last time was overwritten too
            if merchant in touched:  # its last time was overwritten, and is not known any more
                assert str(found.pop("last")) == "nan"
                wanted.pop("last")
            assert {name: pytest.approx(value, nan_ok=True) for name, value in wanted.items()} == found
    assert one.put_back(to) == 0


def test_waiting_decisions_and_reviews_are_put_back() -> None:
    feeder = Feeder(
        "time.quorum_share=0.0",
        "policy.review_at=0.0",
        "policy.block_at=1.0",
        "policy.capacity={reviews_per_day_max = 5, otherwise = 'block'}",
        "outcomes.legitimate_after_days=1.0",
    )
    for number in range(30):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 10}")
    now = astray(feeder, 40, 20)
    set_clock(feeder, now)
    shard = feeder.shard
    assert max(row.time_ms for name in shard.pending.index if (row := shard.pending.row(name))) <= now
    assert max(shard.policy.decided_days()) <= now // DAY
    assumed = feeder.counts["outcomes_assumed"]
    for number in range(60):
        feeder.pay(f"after-{number}", at=feeder.time + HOUR, customer_id=f"c{number % 10}")
    assert feeder.counts["outcomes_assumed"] > assumed  # nothing ahead holds them back


def test_a_state_with_a_clock_put_back_is_saved_and_goes_on_equal() -> None:
    one, other = (Feeder("time.quorum_share=0.0") for _ in range(2))
    for feeder in (one, other):
        for number in range(60):
            feeder.pay(f"before-{number}", customer_id=f"c{number % 10}")
        set_clock(feeder, astray(feeder, 9, 3))
    blobs = {name: bytes(blob) for name, blob in one.shard.save().items()}
    loaded = Feeder("time.quorum_share=0.0")
    loaded.shard.load(blobs)
    loaded.time = other.time
    for number in range(60):
        assert loaded.pay(f"a{number}", customer_id=f"c{number}") == other.pay(
            f"a{number}", customer_id=f"c{number}"
        )


def test_lists_go_on_after_a_clock_was_put_back() -> None:
    shard = RecommendShard(load(None, ("time.quorum_share=0.0",), flow="recommend"))

    def click(number: int, at: int, session: str) -> Any:
        fields = {
            "type": "click",
            "event_id": f"k{number}",
            "event_time": at,
            "session_id": session,
            "item_id": f"i{number % 5}",
        }
        payload = orjson.dumps(fields)
        return shard.apply(decode_one(payload), payload, (0, 0, 1))

    for number in range(100):
        click(number, START + number * MINUTE, f"s{number % 20}")
    now = shard.clock.now
    for number in range(100, 110):
        click(number, now + 30 * DAY + number, f"wrong-{number}")
    assert shard.clock.now > now + 29 * DAY
    command = SetClock(to_ms=now)
    assert shard.command(command, encode_command(command), (1, 0, 1))[0] == Kind.APPLIED
    assert shard.clock.now == now
    assert shard.counts["values_put_back"] > 0
    late = shard.counts["clicks_late"]
    for number in range(110, 200):
        kind, line, _ = click(number, now + number * MINUTE, f"s{number % 20}")
        assert kind == Kind.DECIDED
        assert orjson.loads(line)["action"] == "recommend"
    assert shard.counts["clicks_late"] == late
    assert np.isfinite(shard.engine._arrays.of["heat"]).all()


@pytest.mark.parametrize("to", [b"0", b"-1", b"1e3", b'"x"', b"999999999999999999"])
def test_no_other_time_is_a_command(to: bytes) -> None:
    with pytest.raises(ValueError, match="no command"):
        decode_command(b'{"type":"control","command":"set_clock","to_ms":%b}' % to)
