"""What holds of any history: a customer who is erased leaves no id behind, and nothing changes for others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events.decode import decode_one
from headrace.shard.commands import Erase

pytestmark = pytest.mark.property

START_MS = 1_700_000_000_000
GONE = "GONE"
SETTINGS = load(
    None,
    (
        "entities.session.key='session_id'",
        "entities.device.key='device_id'",
        "features.device_payments={kind='count',entity='device'}",
        "features.session_payments={kind='count',entity='session'}",
        "features.merchant_devices={kind='distinct',entity='merchant',value='device_id'}",
        "time.future_skew_hours_max=1",
        "outcomes.early_max=5",
        "outcomes.pending_days_max=0.05",
        "ids.memory_days_max=0.05",
    ),
)

CUSTOMER = st.sampled_from([GONE, "c1", "c2"])
STEP = st.tuples(
    st.sampled_from(["payment", "payment", "outcome", "click", "early", "ahead"]),
    CUSTOMER,
    st.integers(0, 30),
    st.booleans(),
)
STEPS = st.lists(STEP, max_size=60)


def events_of(steps: list[Any], first: int) -> list[tuple[str, dict[str, Any]]]:
    """Events with the customer each belongs to; every id of the one who is to be erased can be told."""
    events: list[tuple[str, dict[str, Any]]] = []
    for number, (kind, customer, back, shared) in enumerate(steps, start=first):
        time_ms = START_MS + number * 60_000 + (10 * 3_600_000 if kind == "ahead" else 0)
        head = {"event_id": f"{customer}-e{number}", "event_time": time_ms, "customer_id": customer}
        own = {"session_id": f"{customer}-s{number % 3}", "device_id": f"{customer}-d{number % 2}"}
        if kind in {"payment", "ahead"}:
            place = {"merchant_id": f"m{number % 2}", "amount": 5.0 + back * 9, "currency": "EUR"}
            events.append((customer, {"type": "payment", **head, **place, **({} if shared else own)}))
        elif kind == "click":
            events.append(
                (customer, {"type": "click", **head, "session_id": own["session_id"], "item_id": "i"})
            )
        else:
            number_of = number + back if kind == "early" else max(0, number - back)
            about = f"{customer}-e{number_of}"
            events.append((customer, {"type": "outcome", **head, "about": about, "label": int(shared)}))
    return events


def apply(shard: FraudShard, events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, bytes]]:
    out = []
    for place, (customer, event) in enumerate(events):
        line = json.dumps(event).encode()
        kind, decision, detail = shard.apply(decode_one(line), line, (0, place, place + 1))
        out.append((customer, bytes([kind]) + decision + detail))
    return out


def command_for(events: list[tuple[str, dict[str, Any]]]) -> Erase:
    theirs = [event for customer, event in events if customer == GONE]
    ids: dict[str, tuple[str, ...]] = {}
    for event in theirs:
        ids[event["type"]] = (*ids.get(event["type"], ()), event["event_id"])
    keys = {
        name: tuple(dict.fromkeys(event[name] for event in theirs if name in event))
        for name in ("customer_id", "session_id", "device_id")
    }
    return Erase(
        customer_id=GONE,
        events=ids,
        about=tuple(event["about"] for event in theirs if "about" in event),
        keys=keys | {"customer_id": (GONE,)},
    )


def saved(shard: FraudShard) -> dict[str, bytes]:
    return {name: bytes(memoryview(blob)) for name, blob in shard.save().items()}


def loaded(blobs: dict[str, bytes], config: FraudSettings = SETTINGS) -> FraudShard:
    shard = FraudShard(config)
    shard.load(blobs)
    return shard


def without_commands(blobs: dict[str, bytes]) -> dict[str, bytes]:
    head = msgspec.msgpack.decode(blobs["head"])
    head["counts"].pop("commands")
    return {**blobs, "head": msgspec.msgpack.encode(head)}


@settings(max_examples=150, deadline=None)
@given(STEPS, STEPS)
def test_no_id_is_left_and_nothing_changes_for_others(before, after):
    history, further = events_of(before, 0), events_of(after, len(before))
    others = [each for each in further if each[0] != GONE]
    shard, untouched = FraudShard(SETTINGS), FraudShard(SETTINGS)
    apply(shard, history)
    apply(untouched, history)
    # Where events of theirs are about to make the clock step, it steps later without them.
    assume(not untouched.clock.votes)
    shard.command(command_for(history), b"", (0, 0, 1))
    blobs, given_up = saved(shard), untouched.early.unmatched
    assert [name for name, blob in blobs.items() if GONE.encode() in blob] == []
    assert set(shard.pending.index) == {key for key in untouched.pending.index if GONE not in key}
    for name, table in untouched.features.tables.items():
        kept = [key for key in table.index if not key.startswith(GONE)]
        assert list(shard.features.tables[name].index) == kept
    for kind, memory in untouched.ids.items():
        assert list(shard.ids[kind].ids) == [key for key in memory.ids if GONE not in key]
    without, beside = apply(shard, others), apply(untouched, others)
    # At a limit, what is theirs took room from others.
    assume(untouched.early.unmatched == given_up)
    # What a device of theirs was counted as at a merchant is gone too; no decision here reads it.
    assert [line[: line.index(b"}") + 1] for _, line in without if b"}" in line] == [
        line[: line.index(b"}") + 1] for _, line in beside if b"}" in line
    ]
    assert [name for name, blob in saved(shard).items() if GONE.encode() in blob] == []


def test_at_the_limit_of_early_outcomes_others_get_the_room_that_was_theirs():
    """Another's outcome that would have been given up waits on, and teaches when its payment comes."""
    early, pays = ("early", "c1", 20, True), ("payment", "c1", 4, False)
    history = events_of([*[("payment", GONE, 5, False)] * 10, early, *[("early", GONE, 30, True)] * 3], 0)
    further = events_of([*[("early", "c2", 30, False)] * 2, *[pays] * 20], len(history))
    shard, untouched = FraudShard(SETTINGS), FraudShard(SETTINGS)
    apply(shard, history)
    apply(untouched, history)
    shard.command(command_for(history), b"", (0, 0, 1))
    apply(shard, further[:2])
    apply(untouched, further[:2])
    assert "c1-e30" in shard.early.waiting
    assert "c1-e30" not in untouched.early.waiting
    assert (shard.early.unmatched, untouched.early.unmatched) == (0, 1)
    assert apply(shard, further[2:]) != apply(untouched, further[2:])


@settings(max_examples=100, deadline=None)
@given(STEPS, STEPS)
def test_a_state_loaded_after_it_goes_on_to_the_same_bytes(before, after):
    history, further = events_of(before, 0), events_of(after, len(before))
    shard = FraudShard(SETTINGS)
    apply(shard, history)
    shard.command(command_for(history), b"", (0, 0, 1))
    other = loaded(saved(shard))
    assert saved(other) == saved(shard)
    # Theirs come again, too: they are a new customer then.
    assert apply(other, further) == apply(shard, further)
    assert saved(other) == saved(shard)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_applied_twice_it_is_as_applied_once(before):
    history = events_of(before, 0)
    shard = FraudShard(SETTINGS)
    apply(shard, history)
    shard.command(command_for(history), b"", (0, 0, 1))
    once = saved(shard)
    shard.command(command_for(history), b"", (0, 0, 1))
    assert without_commands(saved(shard)) == without_commands(once)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_payments_that_only_memory_knows_are_found_by_the_customers_row(before):
    """As when the journal's beginning is no longer kept, so that the command can't name them."""
    history = [each for each in events_of(before, 0) if each[1]["type"] == "payment"]
    shard = FraudShard(SETTINGS)
    apply(shard, history)
    # Of payments whose time was not accepted no row tells whose they are.
    rows = {key: shard.pending.row(key) for key in shard.pending.index}
    at = shard.features.tables["customer"].index.get(GONE, -1)
    theirs = [key for key, row in rows.items() if row is not None and row.rows[0] == at]
    shard.command(Erase(customer_id=GONE, keys={"customer_id": (GONE,)}, by_row=True), b"", (0, 0, 1))
    assert list(shard.pending.index) == [key for key in rows if key not in theirs]
    assert not [key for key in theirs if key in shard.ids["payment"].ids]
