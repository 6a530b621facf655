"""Compiled features against a plain computation over the whole past."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Payment
from headrace.operators.features import FeatureSet

pytestmark = pytest.mark.property

DAY = 86_400_000
START = 1_600_000_000_000
PANE = DAY // 4
FEATURES: dict[str, Any] = {
    "amount": {"kind": "field", "value": "amount"},
    "count": {"kind": "count", "entity": "customer"},
    "count_1d": {"kind": "count", "entity": "customer", "window": "1d", "panes": 4},
    "high_1d": {"kind": "count", "entity": "customer", "window": "1d", "panes": 4, "when": ["amount > 50"]},
    "sum_1d": {"kind": "sum", "entity": "customer", "value": "amount", "window": "1d", "panes": 4},
    "sum": {"kind": "sum", "entity": "customer", "value": "amount"},
    "mean_1d": {"kind": "mean", "entity": "merchant", "value": "amount", "window": "1d", "panes": 4},
    "max_1d": {"kind": "max", "entity": "customer", "value": "amount", "window": "1d", "panes": 4},
    "max": {"kind": "max", "entity": "merchant", "value": "amount"},
    "merchants": {"kind": "distinct", "entity": "customer", "value": "merchant_id", "window": "1d"},
    "last": {"kind": "time_since_last", "entity": "customer", "when": ["amount > 50"]},
    "first": {"kind": "time_since_first", "entity": "customer"},
    "ew": {"kind": "ew_mean", "entity": "customer", "value": "amount", "half_life": "1d"},
    "deviation": {"kind": "ew_deviation", "entity": "customer", "value": "amount", "half_life": "1d"},
    "running": {
        "kind": "running_mean",
        "entity": "customer",
        "value": "amount",
        "clip": 2.5,
        "weight_min": 0.2,
    },
    "ratio": {"kind": "ratio", "value": "amount", "over": "running"},
    "share": {
        "kind": "fraud_share",
        "entity": "merchant",
        "window": "1d",
        "panes": 4,
        "when": ["amount <= 80"],
    },
    "streak": {"kind": "fraud_streak", "entity": "merchant", "when": ["amount <= 80"]},
    "first_fraud": {"kind": "first_fraud_age", "entity": "merchant", "when": ["amount <= 80"]},
    "legitimate": {"kind": "last_legitimate_age", "entity": "merchant"},
}


def feature_set(entities_max: int = 1000) -> FeatureSet:
    parsed = FraudSettings.model_validate(
        {
            "entities": {
                "customer": {"key": "customer_id", "entities_max": entities_max},
                "merchant": {"key": "merchant_id", "entities_max": entities_max},
            },
            "features": FEATURES,
            "bins": {
                "amount": {"of": "amount", "edges": [10.0, 50.0]},
                "mean": {"of": "mean_1d", "edges": [30.0]},
            },
            "crosses": {
                "both": {"of": ["amount", "mean"], "code": "x"},
                "one": {"of": ["mean"], "code": "y"},
            },
            "reasons": {"texts": {"x": "X", "y": "Y"}},
        }
    )
    return FeatureSet(parsed.entities, parsed.features, parsed.bins, parsed.crosses)


def paid(number: int, customer: str, merchant: str, amount: float, time: int) -> Payment:
    return Payment(
        event_id=f"p{number}",
        event_time=time,
        customer_id=customer,
        merchant_id=merchant,
        amount=amount,
        currency="EUR",
    )


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)


class Reference:
    """The same features from lists of everything that happened."""

    def __init__(self) -> None:
        self.payments: list[Payment] = []
        self.labels: list[tuple[Payment, int]] = []
        self.total = 0.0

    def expected(self, payment: Payment) -> dict[str, float]:
        now = payment.event_time
        own = [p for p in self.payments if p.customer_id == payment.customer_id]
        at_merchant = [p for p in self.payments if p.merchant_id == payment.merchant_id]
        recent = [p for p in own if now // PANE - p.event_time // PANE < 4]
        recent_there = [p for p in at_merchant if now // PANE - p.event_time // PANE < 4]
        high = [p.event_time for p in own if p.amount > 50]
        running = self.running(payment.customer_id)
        labels = [
            (p, y)
            for p, y in self.labels
            if p.merchant_id == payment.merchant_id and (not y or p.amount <= 80)
        ]
        window = [y for p, y in labels if now // PANE - p.event_time // PANE < 4]
        legitimate = [number for number, (_, y) in enumerate(labels) if not y]
        run = labels[legitimate[-1] + 1 :] if legitimate else labels
        ew, deviation = self.weighted(own, now)
        return {
            "amount": payment.amount,
            "count": len(own),
            "count_1d": len(recent),
            "high_1d": sum(p.amount > 50 for p in recent),
            "sum_1d": sum(p.amount for p in recent),
            "sum": sum(p.amount for p in own),
            "mean_1d": sum(p.amount for p in recent_there) / len(recent_there) if recent_there else math.nan,
            "max_1d": max((p.amount for p in recent), default=math.nan),
            "max": max((p.amount for p in at_merchant), default=math.nan),
            "merchants": len({p.merchant_id for p in own if p.event_time > now - DAY}),
            "last": (now - high[-1]) / DAY if high else math.nan,
            "first": (now - own[0].event_time) / DAY if own else math.nan,
            "ew": ew,
            "deviation": deviation,
            "running": running,
            "ratio": payment.amount / running if running > 0 else math.nan,
            "share": sum(window) / len(window) if window else math.nan,
            "streak": len(run),
            "first_fraud": (now - run[0][0].event_time) / DAY if run else math.nan,
            "legitimate": max(
                (min((now - p.event_time) / DAY for p, y in labels if not y),), default=math.nan
            )
            if legitimate
            else math.nan,
        }

    def running(self, customer: str) -> float:
        """Replays every customer's mean, as each starts from the mean of all at its first payment."""
        means: dict[str, tuple[int, float]] = {}
        overall = math.nan
        for number, payment in enumerate(self.payments, start=1):
            seen, mean = means.get(payment.customer_id, (0, overall))
            amount = payment.amount
            if mean > 0:
                amount = min(amount, 2.5 * mean)
                mean += (amount - mean) * max(1 / (seen + 2), 0.2)
            else:
                mean = amount
            means[payment.customer_id] = (seen + 1, mean)
            overall = amount if number == 1 else overall + (amount - overall) / number
        return means.get(customer, (0, overall))[1]

    @staticmethod
    def weighted(own: list[Payment], now: int) -> tuple[float, float]:
        if not own:
            return math.nan, math.nan
        weights = [0.5 ** ((own[-1].event_time - p.event_time) / DAY) for p in own]
        mean = sum(w * p.amount for w, p in zip(weights, own, strict=True)) / sum(weights)
        square = sum(w * (p.amount - mean) ** 2 for w, p in zip(weights, own, strict=True)) / sum(weights)
        return mean, math.sqrt(square)


steps = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
        st.integers(0, 10_000).map(lambda cents: cents / 100),
        st.integers(0, DAY // 2),
        st.sampled_from([None, None, 0, 1]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_equal_to_a_plain_computation(taken: list[tuple[str, str, float, int, int | None]]) -> None:
    compiled, reference, now = feature_set(), Reference(), START
    for number, (customer, merchant, amount, gap, label) in enumerate(taken):
        now += gap
        payment = paid(number, customer, merchant, amount, now)
        expected = reference.expected(payment)
        values, slots, flags, found = compiled.read(payment, now)
        for name, value in zip(compiled.names, values, strict=True):
            assert same(value, expected[name]), (name, value, expected[name])
        assert compiled.read(payment, now)[1:] == (slots, flags, found)
        rows = compiled.update(payment, now, values, number, found)
        reference.payments.append(payment)
        if label is not None:
            compiled.label(rows, number, flags, now, label)
            reference.labels.append((payment, label))


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 39))
@example([("a", "z", 0.0, 0, 0), ("a", "z", 0.0, 0, 1)], 1)
def test_a_corrected_label_is_as_if_it_had_been_right(
    taken: list[tuple[str, str, float, int, int | None]], which: int
) -> None:
    labelled = [number for number, step in enumerate(taken) if step[4] is not None]
    if not labelled or len(taken) > 15:
        return
    corrected = labelled[which % len(labelled)]
    wrong, right, now = feature_set(), feature_set(), START
    kept: list[tuple[tuple[int, ...], int, int, int, int]] = []
    for number, (customer, merchant, amount, gap, label) in enumerate(taken):
        now += gap
        payment = paid(number, customer, merchant, amount, now)
        for each in (wrong, right):
            values, _, flags, found = each.read(payment, now)
            rows = each.update(payment, now, values, number, found)
        if label is not None:
            kept.append((rows, number, flags, now, label))
            wrong.label(rows, number, flags, now, 1 - label if number == corrected else label)
            right.label(rows, number, flags, now, label)
    rows, number, flags, time, label = kept[labelled.index(corrected)]
    if not flags & 1 and not label:
        return  # a fraud that didn't count left no place in the order of confirmation to put the label at
    wrong.relabel(rows, number, flags, time, 1 - label, label)
    for merchant in "xyz":
        asked = paid(99, "a", merchant, 1.0, now)
        for name, left, right_value in zip(
            wrong.names, wrong.read(asked, now)[0], right.read(asked, now)[0], strict=True
        ):
            assert same(left, right_value), (name, left, right_value)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_reading_leaves_no_trace_and_a_saved_state_goes_on(
    taken: list[tuple[str, str, float, int, int | None]],
) -> None:
    compiled, now = feature_set(), START
    for number, (customer, merchant, amount, gap, label) in enumerate(taken):
        now += gap
        payment = paid(number, customer, merchant, amount, now)
        before = {name: bytes(blob) for name, blob in compiled.save().items()}
        compiled.read(payment, now + 3 * DAY)
        assert {name: bytes(blob) for name, blob in compiled.save().items()} == before
        values, slots, flags, found = compiled.read(payment, now)
        loaded = feature_set()
        loaded.load(before)
        again = loaded.read(payment, now)
        assert (str(again[0]), again[1:]) == (str(values), (slots, flags, found))
        rows = compiled.update(payment, now, values, number, found)
        if label is not None:
            compiled.label(rows, number, flags, now, label)
