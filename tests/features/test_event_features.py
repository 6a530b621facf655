"""Features over several event types: whose key names whom, what feeds what, and each kind by hand."""

from __future__ import annotations

import math
from typing import Any

import event_worlds as world
import pytest
from event_worlds import DAY, HOUR, START, event

from headrace.config.lists import list_content
from headrace.operators.features import EventFeatures
from headrace.operators.features.event_features import Asked


def take(features: EventFeatures, taken: Any, at_ms: int, number: int = 1) -> tuple[int, ...]:
    """Let an event move the features on, as a shard does."""
    of = type(taken).__struct_config__.tag
    values, _, _, rows = features.read[of](taken, at_ms)
    return features.update[of](taken, at_ms, values, number, rows) if of in features.update else rows


def value(features: EventFeatures, name: str, at_ms: int = START, of: str = "payment", **fields: Any) -> Any:
    """A feature's value of an event."""
    values = features.read[of](event(of, **fields), at_ms)[0]
    return values[features.names_of[of].index(name)]


def test_one_entity_is_named_by_another_field_in_each_type() -> None:
    features = world.features(only=["tickets"])
    take(features, event("ticket", client_id="c", urgency=3, vip=True), START)
    take(features, event("ticket", client_id="c", urgency=2, vip=True), START)  # not urgent
    take(features, event("ticket", client_id="c", urgency=3), START)  # of no known standing
    take(features, event("ticket", client_id="d", urgency=3, vip=True), START)
    assert value(features, "tickets") == 1
    assert value(features, "tickets", of="scan", customer_id="d") == 1
    assert value(features, "tickets", of="scan") == 0
    assert set(features.tables["customer"].index) == {"c", "d"}


def test_a_pair_is_an_entity_of_its_own() -> None:
    features = world.features(only=["sum"])
    for merchant, amount in (("m", 1.0), ("m", 2.0), ("n", 8.0)):
        take(features, event("payment", merchant_id=merchant, amount=amount), START)
    assert value(features, "sum") == 3.0
    assert value(features, "sum", merchant_id="n") == 8.0
    assert value(features, "sum", customer_id="d") == 0.0
    assert set(features.tables["pair"].index) == {("c", "m"), ("c", "n")}
    assert "sum" not in features.names_of["scan"], "a scan names no merchant"


def test_an_event_without_its_key_feeds_nobody() -> None:
    features = world.features(only=["scans"])
    assert take(features, event("scan"), START) == (0, 0, 0, 0)
    take(features, event("scan", courier=7), START)
    assert value(features, "scans", of="scan", courier=7) == 1
    assert value(features, "scans", of="scan") == 0
    assert set(features.tables["courier"].index) == {7}


def test_only_what_is_asked_is_read() -> None:
    asked = {"fraud": Asked("payment", features=("ratio",), crosses=("tickets",))}
    features = world.features(asked)
    fed = features.names_of["payment"]
    assert {"ratio", "usual", "tickets"} <= set(fed)  # usual, as ratio is computed from it
    assert "month" not in fed
    assert features.names_of["ticket"] == ("vip",)  # a condition of tickets is on it
    assert [group.name for group in features.groups_of["payment"]] == ["tickets"]
    assert features.groups_of["ticket"] == ()
    assert "cart" not in features.read


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("hour", "2026-03-29T00:59:59+00:00", 1),
        ("hour", "2026-03-29T01:00:00+00:00", 3),  # the hour that isn't there
        ("hour", "2026-10-25T00:59:59+00:00", 2),
        ("hour", "2026-10-25T01:00:00+00:00", 2),  # the hour that comes twice
        ("month", "2026-01-31T23:30:00+00:00", 2),
        ("day", "2024-03-01T03:00:00+00:00", 29),
        ("weekday", "2026-12-01T00:00:00+00:00", 1),
    ],
)
def test_the_calendar_is_that_of_the_zone(name: str, at: str, expected: int) -> None:
    from datetime import datetime

    at_ms = round(datetime.fromisoformat(at).timestamp() * 1000)
    assert value(world.features(only=[name]), name, at_ms) == expected


def test_categories_have_numbers() -> None:
    features = world.features(only=["country", "vip", "card_bin"])
    assert [value(features, "country", country=each) for each in ("DE", "US", "XX")] == [0, 2, 3]
    assert math.isnan(value(features, "country"))
    assert [value(features, "vip", vip=each) for each in (False, True)] == [0, 1]
    buckets = {value(features, "card_bin", card_bin=str(each)) for each in range(100)}
    assert buckets == set(range(7))


def test_each_value_has_a_slot_and_so_has_what_is_missing() -> None:
    features = world.features()
    place = [group.name for group in features.groups_of["payment"]].index("amount_by_country")
    group = features.groups_of["payment"][place]
    assert group.size == 3 * 5
    slots = {
        features.read["payment"](event("payment", amount=amount, country=country), START)[1][place]
        for amount in (1.0, 20.0, 70.0)
        for country in ("DE", "FR", "US", "XX", None)
    }
    assert slots == set(range(group.offset, group.offset + 15))


def test_a_text_has_several_slots_which_share_their_weights() -> None:
    features = world.features()
    places = [at for at, group in enumerate(features.groups_of["payment"]) if group.name == "words"]
    offset, size = {
        (each.offset, each.size) for each in features.groups_of["payment"] if each.name == "words"
    }.pop()
    assert len(places) == 3
    assert size == 51

    def slots(note: str | None) -> list[int]:
        found = features.read["payment"](event("payment", note=note), START)[1]
        return [found[at] - offset for at in places]

    assert slots(None) == [50, 50, 50]
    assert slots("Late!  late LATE") == [*slots("late")[:1], 50, 50]
    assert set(slots("late parcel")) == {slots("late")[0], slots("parcel")[0], 50}
    assert value(features, "note", note="late parcel, late") == 2.0
    assert value(features, "note", note="!") == 0.0


def test_a_table_is_looked_up() -> None:
    features = world.features(only=["bank", "risk"])
    assert math.isnan(value(features, "bank", card_bin="123456"))
    features.lookup_tables["banks"].replace(*list_content(["123456\tB", "1\tother"]))
    features.lookup_tables["risks"].replace(*list_content(["123456\t0.25"]))
    assert [value(features, "bank", card_bin=each) for each in ("123456", "1")] == [1, 2]
    assert value(features, "risk", card_bin="123456") == 0.25
    assert math.isnan(value(features, "risk"))
    features.lookup_tables["risks"].replace(*list_content([]))
    assert math.isnan(value(features, "risk", card_bin="123456"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["a"], r"must be a key, a tab and a value \(is 'a'\)"),
        (["a\t1", "b\t"], "must be a key"),
        (["a\tx"], r"a must have a number of at most 1e\+15 \(has 'x'\)"),
        (["a\tinf"], "must have a number"),
        (["a\t1", "a\t2"], "a has two values, 1 and 2"),
    ],
)
def test_a_wrong_table_is_refused_whole(entries: list[str], message: str) -> None:
    table = world.features(only=["risk"]).lookup_tables["risks"]
    table.replace(*list_content(["k\t1"]))
    with pytest.raises(ValueError, match=message):
        table.replace(*list_content(entries))
    with pytest.raises(ValueError, match="digest"):
        table.replace(["z\t1"], table.digest)
    assert table.found == {"k": 1.0}


def test_a_rate_starts_from_its_prior() -> None:
    features = world.features(only=["rate", "vip"])
    assert value(features, "rate") == pytest.approx(0.1)
    for vip in (True, None, True, False):
        take(features, event("payment", vip=vip), START)
    assert value(features, "rate") == pytest.approx((2 + 0.2) / (3 + 2.0))


def test_a_quantile_of_few_values_is_exact_and_of_many_close() -> None:
    features = world.features(only=["median"])
    for amount in (4.0, 1.0, 3.0):
        take(features, event("payment", amount=amount), START)
    assert value(features, "median") == 3.0
    for number in range(2000):
        take(features, event("payment", amount=float(number * 7919 % 1000)), START)
    assert value(features, "median") == pytest.approx(500, abs=15)


def test_the_last_values() -> None:
    features = world.features(only=["before", "before_1d", "trend", "last_country", "country"])
    assert math.isnan(value(features, "before_1d"))
    for number, amount in enumerate((5.0, 7.0, 9.0)):
        country = ("DE", "FR", None)[number]
        take(features, event("payment", amount=amount, country=country), START + number * HOUR)
    now = START + 3 * HOUR
    assert value(features, "before", now) == 7.0
    assert value(features, "before_1d", now) == 9.0
    assert value(features, "trend", now) == pytest.approx(2.0)
    assert value(features, "last_country", now) == 1
    assert math.isnan(value(features, "before_1d", now + 2 * DAY))
    assert math.isnan(value(features, "last_country", now + 31 * DAY))
    assert value(features, "trend", now + 100 * DAY) == pytest.approx(2.0)


def test_a_distance_is_to_the_last_place() -> None:
    features = world.features(only=["moved_km"])
    assert math.isnan(value(features, "moved_km", lat=0.0, lon=0.0))
    take(features, event("scan", customer_id="c", lat=52.52, lon=13.405), START)
    assert value(features, "moved_km", lat=48.137, lon=11.575) == pytest.approx(504.4, abs=1)
    assert math.isnan(value(features, "moved_km", lat=48.0))
    take(features, event("scan", customer_id="c", lat=0.0, lon=0.0), START - 1)  # an older place
    assert value(features, "moved_km", lat=52.52, lon=13.405) == 0.0


def test_each_decision_feeds_its_own_features() -> None:
    features = world.features(only=["share", "share_of_low", "streak", "ratio", "usual", "angry"])
    assert set(features.label_of) == {"fraud", "anger"}
    for number, (amount, label) in enumerate(((40.0, 1), (90.0, 1), (90.0, 0)), start=1):
        paid = event("payment", amount=amount)
        values, _, flags, rows = features.read["payment"](paid, START)
        rows = features.update["payment"](paid, START, values, number, rows)
        features.label_of["fraud"](rows, number, flags, START, label)
    assert value(features, "share") == pytest.approx(2 / 3)
    assert value(features, "share_of_low") == pytest.approx((1 + 0.02) / (2 + 1))
    assert math.isnan(value(features, "angry"))
    told = event("ticket")
    values, _, flags, rows = features.read["ticket"](told, START)
    rows = features.update["ticket"](told, START, values, 9, rows)
    features.label_of["anger"](rows, 9, flags, START, 1)
    features.relabel_of["anger"](rows, 9, flags, START, 1, 0)
    assert value(features, "angry") == 0.0
    features.label_of["anger"](rows, 0, flags, START, 1)  # before the row was the customer's
    assert value(features, "angry") == 0.0


def test_a_clock_that_is_put_back_takes_later_values_along() -> None:
    features = world.features(only=["before", "trend", "last_country", "country", "moved_km", "count_200d"])
    for number, amount in enumerate((30.0, 40.0, 50.0)):
        at_ms = START + number * 20 * DAY
        take(features, event("payment", amount=amount, country="FR"), at_ms)
        take(features, event("scan", customer_id="c"), at_ms)
    assert features.put_back(START + 25 * DAY) == 2 + 2 + 1 + 1 - 1
    now = START + 26 * DAY
    assert math.isnan(value(features, "before", now))  # of two values, the one before went for a later one
    assert value(features, "trend", now) == pytest.approx(10.0 / 20 / 24)
    assert value(features, "count_200d", now) == 2
    assert math.isnan(value(features, "last_country", now))
    assert math.isnan(value(features, "moved_km", now, lat=1.0, lon=1.0))


def test_conditions_are_told_as_they_were_declared() -> None:
    features = world.features(only=["amount", "usual", "ratio", "share_of_low", "streak"])
    assert features.conditions_of == {
        "payment": ("amount <= 80.0", "ratio <= 2.0"),
        "scan": (),
        "ticket": (),
    }
