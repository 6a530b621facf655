"""Headers of messages: for decisions as the engine writes them, for dead letters, and read again."""

from __future__ import annotations

import msgspec
import pytest

from headrace.kafka.cloudevents import Headings, id_in
from headrace.operators.events.contract import DeadLetter


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, b"1970-01-01T00:00:00.000Z"),
        (1_772_357_400_123, b"2026-03-01T09:30:00.123Z"),
        (1_772_357_400_999, b"2026-03-01T09:30:00.999Z"),
        (-1, b"1969-12-31T23:59:59.999Z"),
        (-60_000_000_000_000, b"0068-09-03T13:20:00.000Z"),
    ],
)
def test_the_time_is_the_events(time_ms, text):
    assert dict(Headings("/here").of_decision("fraud:p-1", time_ms))["ce_time"] == text


def test_the_same_decision_has_the_same_headers():
    headings = Headings("/here")
    headers = headings.of_decision("fraud:p-ü", 5)
    headings.of_decision("recommend:c-1", 5)
    assert headers == headings.of_decision("fraud:p-ü", 5) == Headings("/here").of_decision("fraud:p-ü", 5)
    assert id_in(headers) == "fraud:p-ü"


def test_a_dead_letter_says_where_its_input_stands():
    letter = DeadLetter(
        reason="not_json", message="", field=None, source="payments", offset=17, line=1, payload_base64=""
    )
    headers = dict(Headings("/here").of_dead_letter(msgspec.json.encode(letter), "payments", 3, 17))
    assert headers["headrace_reason"] == b"not_json"
    assert [headers[f"headrace_{name}"] for name in ("topic", "partition", "offset")] == [
        b"payments",
        b"3",
        b"17",
    ]
    assert headers["ce_id"] == b"payments/3/17"


@pytest.mark.parametrize("headers", [None, [], [("ce_id", None)], [("id", b"1")], {}])
def test_headers_without_an_id(headers):
    assert id_in(headers) is None
