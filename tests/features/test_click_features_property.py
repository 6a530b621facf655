"""Features that clicks feed against a plain computation, and bins against plain comparisons."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Click, Payment
from headrace.operators.features import FeatureSet

pytestmark = pytest.mark.property

HOUR = 3_600_000
START = 1_600_000_000_000
PANE = HOUR // 4
FEATURES: dict[str, Any] = {
    "amount": {"kind": "field", "value": "amount"},
    "clicks": {"kind": "count", "entity": "session", "on": "click"},
    "clicks_1h": {"kind": "count", "entity": "session", "on": "click", "window": "1h", "panes": 4},
    "items": {"kind": "distinct", "entity": "session", "on": "click", "value": "item_id"},
    "viewed_mean": {"kind": "mean", "entity": "session", "on": "click", "value": "price"},
    "viewed_max": {"kind": "max", "entity": "session", "on": "click", "value": "price"},
    "first_s": {"kind": "time_since_first", "entity": "session", "on": "click", "unit": "seconds"},
    "last_s": {"kind": "time_since_last", "entity": "session", "on": "click", "unit": "seconds"},
    "ratio": {"kind": "ratio", "value": "amount", "over": "viewed_mean"},
    "payments": {"kind": "count", "entity": "customer"},
}
EDGES = {"fine": [0.25, 0.5, 1.0, 2.0, 4.0], "coarse": [0.5, 2.0], "other": [0.7, 2.0], "few": [1.0, 3.0]}


def feature_set() -> FeatureSet:
    parsed = FraudSettings.model_validate(
        {
            "entities": {"session": {"key": "session_id"}, "customer": {"key": "customer_id"}},
            "features": FEATURES,
            "bins": {
                "coarse": {"of": "ratio", "edges": EDGES["coarse"]},
                "fine": {"of": "ratio", "edges": EDGES["fine"]},
                "other": {"of": "ratio", "edges": EDGES["other"]},
                "few": {"of": "clicks", "edges": EDGES["few"]},
            },
            "crosses": {name: {"of": [name], "code": "x"} for name in ("fine", "coarse", "other", "few")},
            "reasons": {"texts": {"x": "X"}},
        }
    )
    return FeatureSet(parsed.entities, parsed.features, parsed.bins, parsed.crosses)


def expected(clicks: list[Click], payment: Payment) -> dict[str, float]:
    now = payment.event_time
    own = [click for click in clicks if click.session_id == payment.session_id]
    prices = [click.price for click in own if click.price is not None]
    mean = sum(prices) / len(prices) if prices else math.nan
    return {
        "amount": payment.amount,
        "clicks": len(own),
        "clicks_1h": sum(now // PANE - click.event_time // PANE < 4 for click in own),
        "items": len({click.item_id for click in own}),
        "viewed_mean": mean,
        "viewed_max": max(prices, default=math.nan),
        "first_s": (now - own[0].event_time) / 1000 if own else math.nan,
        "last_s": (now - own[-1].event_time) / 1000 if own else math.nan,
        "ratio": payment.amount / mean if mean > 0 else math.nan,
        "payments": 0,
    }


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)


steps = st.lists(
    st.tuples(
        st.sampled_from("st"),
        st.sampled_from("abc"),
        st.one_of(st.none(), st.integers(0, 1000).map(float)),
        st.integers(0, HOUR // 2),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from(["s", "t", "unseen", None]), st.integers(0, 3000).map(float))
def test_equal_to_a_plain_computation(
    taken: list[tuple[str, str, float | None, int]], session: str | None, amount: float
) -> None:
    compiled, now, clicks = feature_set(), START, []
    assert compiled.update_click is not None
    for number, (visited, item, price, gap) in enumerate(taken):
        now += gap
        click = Click(event_id=f"k{number}", event_time=now, session_id=visited, item_id=item, price=price)
        compiled.update_click(click, now, number)
        clicks.append(click)
    payment = Payment(
        event_id="p",
        event_time=now + 7000,
        customer_id="c",
        merchant_id="m",
        amount=amount,
        currency="EUR",
        session_id=session,
    )
    values, slots, flags, rows = compiled.read(payment, payment.event_time)
    wanted = expected(clicks, payment)
    for name, value in zip(compiled.names, values, strict=True):
        assert same(value, wanted[name]), (name, value, wanted[name])
    compiled.update(payment, payment.event_time, values, 99, rows)
    assert len(compiled.tables["session"]) == len({click.session_id for click in clicks})
    assert compiled.read(payment, payment.event_time)[0][-1] == 1
    found = dict(zip(compiled.names, values, strict=True))
    for group, slot in zip(compiled.groups, slots, strict=True):
        value, edges = found["clicks" if group.name == "few" else "ratio"], EDGES[group.name]
        missing = len(edges) + 1
        assert slot - group.offset == (missing if value != value else bisect_right(edges, value))
        assert group.size == len(edges) + (1 if group.name == "few" else 2)
    assert not flags
