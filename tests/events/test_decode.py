"""Decoding: good lines to events, bad ones to a reason that names the field."""

import pytest

from headrace.operators.events.contract import Item, Outcome, Payment
from headrace.operators.events.decode import Undecodable, canonical_digest, decode, decode_one

GOOD = (
    '{"type":"payment","event_id":"p-1","event_time":"2018-06-18T00:00:15Z","customer_id":"c-1",'
    '"merchant_id":"m-1","amount":32.27,"currency":"EUR"}'
)


def payment(old: str = "", new: str = "") -> Payment | Undecodable:
    event = decode_one(GOOD.replace(old, new).encode())
    assert isinstance(event, Payment | Undecodable)
    return event


def test_times_become_milliseconds() -> None:
    for text in ("2018-06-18T00:00:15Z", "2018-06-18t02:00:15.000+02:00", "2018-06-17T23:00:15-01:00"):
        event = payment("2018-06-18T00:00:15Z", text)
        assert isinstance(event, Payment)
        assert event.event_time == 1_529_280_015_000
    number = payment('"2018-06-18T00:00:15Z"', "1529280015000")
    assert isinstance(number, Payment)
    assert number.event_time == 1_529_280_015_000


@pytest.mark.parametrize(
    ("old", "new", "reason", "field"),
    [
        ("32.27", "NaN", "invalid_json", None),
        ("32.27", "1e400", "invalid_field", "amount"),
        ("32.27", "-1", "invalid_field", "amount"),
        ("32.27", '"32"', "invalid_field", "amount"),
        ("32.27", "true", "invalid_field", "amount"),
        ('"amount":32.27,', "", "missing_field", "amount"),
        ('"type":"payment",', "", "unknown_type", "type"),
        ('"payment"', '"refund"', "unknown_type", "type"),
        ('"c-1"', '"' + "c" * 1_000_000 + '"', "line_too_long", None),
        ('"c-1"', '""', "invalid_field", "customer_id"),
        ('"c-1"', "7", "invalid_field", "customer_id"),
        ("2018-06-18", "1900-06-18", "event_time_out_of_range", "event_time"),
        ("2018-06-18", "2100-06-18", "event_time_out_of_range", "event_time"),
        ("00:00:15Z", "00:00:75Z", "invalid_field", "event_time"),
        ("00:00:15Z", "00:00:15", "invalid_field", "event_time"),
        ("2018-06-18T", "20180618T", "invalid_field", "event_time"),
        ('"currency":"EUR"', '"currency":"EUR","version":2', "invalid_field", "version"),
        ('"EUR"', '"eur"', "invalid_field", "currency"),
        ('"EUR"', '"EURO"', "invalid_field", "currency"),
        ('"EUR"', '"EUR\\n"', "invalid_field", "currency"),
        ('"EUR"', '"ÉUR"', "invalid_field", "currency"),
        ("}", "", "invalid_json", None),
    ],
)
def test_bad_lines_name_reason_and_field(old: str, new: str, reason: str, field: str | None) -> None:
    found = payment(old, new)
    assert isinstance(found, Undecodable)
    assert (found.reason, found.field) == (reason, field)


def test_bytes_that_are_not_utf8() -> None:
    found = decode_one(GOOD.encode().replace(b"c-1", b"c-\xff"))
    assert isinstance(found, Undecodable)
    assert found.reason == "invalid_utf8"


def test_zero_amounts_and_unknown_fields_are_fine() -> None:
    event = payment("32.27", '0.00,"note":{"a":[1]}')
    assert isinstance(event, Payment)
    assert event.amount == 0.0


def test_order_of_lines_is_kept_around_bad_ones() -> None:
    outcome = b'{"type":"outcome","event_id":"o","event_time":1529280015000,"about":"p-1","label":1}'
    found = decode([b"", GOOD.encode(), b"[]", outcome])
    assert [type(event) for event in found] == [Undecodable, Payment, Undecodable, Outcome]


def test_the_digest_sees_content_and_nothing_else() -> None:
    event, spaced = payment(), payment(",", " ,\t")
    other, unknown = payment("32.27", "32.28"), payment("32.27", '32.27,"x":1')
    assert not isinstance(event, Undecodable)
    digest = canonical_digest(event)
    for same in (spaced, unknown):
        assert not isinstance(same, Undecodable)
        assert canonical_digest(same) == digest
    assert not isinstance(other, Undecodable)
    assert canonical_digest(other) != digest


@pytest.mark.parametrize(
    ("published", "taken"),
    [
        *((b"946684800000", True), (b"946684799999", False)),
        *((b"4102444799999", True), (b"4102444800000", False)),
        *((b"0", False), (b"-1", False), (b"9223372036854775807", False), (b"18446744073709551615", False)),
        *((b'"2099-12-31T23:59:59.999Z"', True), (b'"1999-12-31T23:59:59.999Z"', False)),
        *((b'"2100-01-01T00:00:00+00:00"', False), (b'"2100-01-01T00:00:00+00:01"', True), (b"null", True)),
    ],
)
def test_an_item_was_published_in_the_years_that_events_are_of(published: bytes, taken: bool) -> None:
    found = decode_one(
        b'{"type":"item","event_id":"i","event_time":1529280015000,"item_id":"i","published_at":%b}'
        % published
    )
    if taken:
        assert isinstance(found, Item)
        return
    message = "Expected a time in the years 2000 to 2099 - at `$.published_at`"
    assert found == Undecodable("invalid_field", message, "published_at")


def test_both_times_of_a_catalogue_event_become_milliseconds() -> None:
    line = (
        b'{"type":"item","event_id":"i-1","event_time":1529280015000,"item_id":"i","price":9.5,'
        b'"published_at":"2018-06-18T00:00:15Z"}'
    )
    event = decode_one(line)
    assert isinstance(event, Item)
    assert event.published_at == 1_529_280_015_000
    found = decode_one(line.replace(b"00:00:15Z", b"soon, or a little later"))
    assert isinstance(found, Undecodable)
    assert (found.reason, found.field) == ("invalid_field", "published_at")
