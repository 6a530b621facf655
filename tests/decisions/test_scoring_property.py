"""The compiled scorer against the plain one: the same outputs and the same state, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.journal.records import Kind
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.decisions.scoring import PlainScorer
from headrace.operators.decisions.scoring_compiled import CompiledScorer
from headrace.operators.events.contract import Click, Event, Outcome, Payment

pytestmark = pytest.mark.property

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_600_000_000_000
WINDOW = {"window": "1d", "panes": 4}
SEEN = {"entity": "customer", "value": "amount"}
SOLD = {"entity": "merchant", "value": "amount"}
TOLD = {"entity": "merchant", "when": ["amount <= 80"]}
FEATURES: dict[str, Any] = {
    "amount": {"kind": "field", "value": "amount"},
    "hour": {"kind": "field", "value": "hour_of_day"},
    "weekday": {"kind": "field", "value": "day_of_week"},
    "count": {"kind": "count", "entity": "customer"},
    "count_1d": {"kind": "count", "entity": "customer", **WINDOW},
    "high_1d": {"kind": "count", "entity": "customer", **WINDOW, "when": ["amount > 50", "hour < 20"]},
    "sum_1d": {"kind": "sum", **SEEN, **WINDOW},
    "sum": {"kind": "sum", **SEEN},
    "mean_1d": {"kind": "mean", **SOLD, **WINDOW},
    "mean": {"kind": "mean", **SOLD},
    "max_1d": {"kind": "max", **SEEN, **WINDOW},
    "max": {"kind": "max", **SOLD},
    "merchants": {"kind": "distinct", "entity": "customer", "value": "merchant_id", "window": "1d"},
    "far": {"kind": "distinct", "entity": "merchant", "value": "customer_id", "when": ["amount > 20"]},
    "last": {"kind": "time_since_last", "entity": "customer", "when": ["amount > 50"]},
    "first": {"kind": "time_since_first", "entity": "customer", "window": "2d"},
    "ew": {"kind": "ew_mean", **SEEN, "half_life": "1d"},
    "deviation": {"kind": "ew_deviation", **SEEN, "half_life": "1h"},
    "running": {"kind": "running_mean", **SEEN, "clip": 2.5, "weight_min": 0.2},
    "ratio": {"kind": "ratio", "value": "amount", "over": "running"},
    "ratio_max": {"kind": "max", "entity": "customer", "value": "ratio", **WINDOW},
    "share": {"kind": "fraud_share", **TOLD, **WINDOW},
    "streak": {"kind": "fraud_streak", **TOLD},
    "first_fraud": {"kind": "first_fraud_age", **TOLD},
    "legitimate": {"kind": "last_legitimate_age", "entity": "merchant"},
    "clicks": {"kind": "count", "entity": "session", "on": "click"},
    "clicks_1d": {"kind": "count", "entity": "session", "on": "click", **WINDOW},
    "items": {"kind": "distinct", "entity": "session", "on": "click", "value": "item_id"},
    "viewed": {"kind": "mean", "entity": "session", "on": "click", "value": "price"},
    "viewed_max": {"kind": "max", "entity": "session", "on": "click", "value": "price"},
}
EDGES = [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0]
PARSED = FraudSettings.model_validate(
    {
        "entities": {
            "customer": {"key": "customer_id", "entities_max": 24},
            "merchant": {"key": "merchant_id", "entities_max": 1000},
            "session": {"key": "session_id", "entities_max": 1000},
        },
        "features": FEATURES,
        "bins": {name: {"of": name, "edges": EDGES} for name in FEATURES}
        | {"coarse": {"of": "ratio", "edges": [0.5, 2.0]}},
        "crosses": {name: {"of": [name], "code": "x"} for name in FEATURES}
        | {"both": {"of": ["coarse", "share"], "code": "y"}},
        "outcomes": {"pending_max": 30, "legitimate_after_days": 1.0},
        "policy": {"review_at": 0.02, "block_at": 0.3},
        "reasons": {"texts": {"x": "X", "y": "Y"}},
    }
)


def outputs_of(events: list[Event], scorer: type[Any], parsed: FraudSettings) -> tuple[list[Any], Any]:
    """What a shard makes of events, half of them before it is saved and loaded; and its state at the end."""
    outputs, saved = [], None
    for part in (events[: len(events) // 2], events[len(events) // 2 :]):
        shard = FraudShard(parsed)
        assert isinstance(shard._scorer, CompiledScorer)
        if scorer is PlainScorer:
            shard._score_with(PlainScorer(shard.features, shard.model, shard.baseline, shard.pending))
        if saved is not None:
            shard.load(saved)
        outputs += [shard.apply(event, b"", (0, number, 0)) for number, event in enumerate(part)]
        saved = {name: bytes(blob) for name, blob in shard.save().items()}
    return outputs, saved


def events_of(taken: list[tuple[str, str, int, float, int]]) -> list[Event]:
    events: list[Event] = []
    now = START
    for number, (kind, who, where, amount, gap) in enumerate(taken):
        now += gap
        if kind in "pl":
            time = now - 3 * DAY if kind == "l" else now
            events.append(
                Payment(
                    event_id=f"p{number}",
                    event_time=time,
                    customer_id=f"c{who}",
                    merchant_id=f"m{where}",
                    amount=amount,
                    currency="EUR",
                    session_id=f"s{who}" if where % 2 else None,
                )
            )
        elif kind == "c":
            price = None if where % 3 == 0 else amount
            click = Click(
                event_id=f"k{number}", event_time=now, session_id=f"s{who}", item_id=f"i{where}", price=price
            )
            events.append(click)
        else:
            about = f"p{number - 1 - where}"
            events.append(
                Outcome(event_id=f"o{number}", event_time=now, about=about, label=1 if kind == "f" else 0)
            )
    return events


steps = st.lists(
    st.tuples(
        st.sampled_from("pppplcclfg"),
        st.sampled_from("abc"),
        st.integers(0, 5),
        st.one_of(st.integers(0, 100_00).map(lambda cents: cents / 100), st.sampled_from([0.0, 1e12, 1e-9])),
        st.integers(0, DAY // 2),
    ),
    min_size=2,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_both_scorers_give_the_same(taken: list[tuple[str, str, int, float, int]]) -> None:
    events = events_of(taken)
    assert outputs_of(events, CompiledScorer, PARSED) == outputs_of(events, PlainScorer, PARSED)


def test_memory_that_moves_is_followed() -> None:
    """More entities and decisions than one portion of rows and one block have, with evictions between."""
    taken = [("pppfc"[n % 5], str(n * 7 % 3001), n % 6, float(n % 97), HOUR // 50) for n in range(20_000)]
    events = events_of(taken)
    many = PARSED.model_copy(
        update={"outcomes": PARSED.outcomes.model_copy(update={"pending_max": 9000})}, deep=True
    )
    many.entities["customer"].__dict__["entities_max"] = 2500
    assert outputs_of(events, CompiledScorer, many) == outputs_of(events, PlainScorer, many)


FINE = [float(edge) for edge in range(255)]
SHAPES: dict[str, dict[str, Any]] = {
    "nobody": {
        "entities": {},
        "features": {"amount": FEATURES["amount"]},
        "bins": {"amount": {"of": "amount", "edges": EDGES}},
        "crosses": {"amount": {"of": ["amount"], "code": "x"}},
    },
    "many slots": {
        "entities": {"customer": {"key": "customer_id"}},
        "features": {name: FEATURES[name] for name in ("amount", "sum")},
        "bins": {name: {"of": name, "edges": FINE} for name in ("amount", "sum")},
        "crosses": {
            "both": {"of": ["amount", "sum"], "code": "x"},
            "turned": {"of": ["sum", "amount"], "code": "x"},
        },
        "model": {"slots_max": 200_000},
    },
    **{
        name: {
            "entities": {"merchant": {"key": "merchant_id", "entities_max": 4}},
            "features": {name: FEATURES[name] for name in ("amount", "share", "streak")},
            "bins": {name: {"of": name, "edges": EDGES} for name in ("amount", "share", "streak")},
            "crosses": {name: {"of": [name], "code": "x"} for name in ("amount", "share", "streak")},
            "model": {"name": name},
        }
        for name in ("logistic_sgd", "logistic_ftrl")
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_at_the_edges(shape: str) -> None:
    parsed = FraudSettings.model_validate({**SHAPES[shape], "reasons": {"texts": {"x": "X"}}})
    taken = [("ppfgl"[n % 5], "abc"[n % 3], n % 6, float(n % 97), HOUR) for n in range(600)]
    events = events_of(taken)
    plain = outputs_of(events, PlainScorer, parsed)
    assert outputs_of(events, CompiledScorer, parsed) == plain
    assert len({output[1] for output in plain[0] if output[0] == Kind.DECIDED}) > 300
