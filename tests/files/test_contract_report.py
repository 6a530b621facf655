"""`check --against` says what a file has that the contract doesn't, what is missing, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import headrace

from headrace.config.loading import lay_over, load
from headrace.files.contract_report import FIELDS_COUNTED_MAX, FIELDS_TOLD_MAX
from headrace.files.input_report import Report, examine
from headrace.files.line_reader import LineReader

PARTLY = "bin in 1 of 7; country in 6 of 7; device.os in 6 of 7"
OWN = [
    'events.payment.fields.bin={type="text", pattern="[0-9]{6}"}',
    'events.payment.fields.country={type="text", values=["DE", "FR"]}',
    'events.payment.fields.os={type="text", path="device.os"}',
    'events.scan.fields.order_id={type="id", required=true}',
]
PAYMENT = {
    "type": "payment",
    "event_id": "p1",
    "event_time": "2018-06-18T00:00:15Z",
    "customer_id": "c1",
    "merchant_id": "m1",
    "amount": 5.0,
    "currency": "EUR",
}


def report(tmp_path: Path, *events: dict[str, object], overrides: list[str] = OWN) -> Report:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(json.dumps(PAYMENT | each).encode() + b"\n" for each in events))
    return examine(LineReader(str(path)), lay_over(load(None), overrides, "test"))


def told(found: Report, about: str) -> list[str]:
    return [words for word, words in found.said if word == about]


def test_unknown_fields_are_counted_by_name_and_type(tmp_path):
    found = report(
        tmp_path,
        {"note": "x", "device": {"os": "ios", "Ver-Sion": 3}, "tags": ["a"]},
        {"note": "2018-06-18T00:00:15Z", "n": 1, "none": None},
        {"n": 1.5, "a.b": 1, "deep": {"a": {"b": {"c": {"d": 1}}}}},
    )
    assert found.usable == 3
    assert set(told(found, "unknown")) == {
        'payment.note: 2 of 3, text, time, such as "x"',
        "payment.device.Ver-Sion: 1 of 3, integer, such as 3",
        'payment.tags: 1 of 3, ids, such as ["a"]',
        "payment.n: 2 of 3, integer, number, such as 1",
        'payment."a.b": 1 of 3, integer, such as 1',
        'payment.deep.a.b.c: 1 of 3, object, such as {"d":1}',
    }


def test_what_is_said_of_unknown_fields_can_be_declared(tmp_path):
    found = report(tmp_path, {"note": "x", "n": 1.5, "At": {"Lat-1": 1}, "when": "2018-06-18T00:00:15Z"})
    said = dict(found.said)
    at = [about for about, _ in found.said].index("to declare")
    lines = [words for _, words in found.said[at : at + 5]]
    assert lines[0] == said["to declare"] == "[events.payment.fields]"
    path = tmp_path / "flow.toml"
    path.write_text("\n".join(lines))
    fields = load(path).events["payment"].fields
    assert {name: (each.type, each.path) for name, each in fields.items()} == {
        "note": ("text", None),
        "n": ("number", None),
        "at_lat_1": ("integer", "At.Lat-1"),
        "when": ("time", None),
    }


def test_missing_and_wrong_fields(tmp_path):
    wrong = [{"bin": each, "event_id": each} for each in ("1", "2", "1", "3", "4")]
    found = report(
        tmp_path,
        *wrong,
        {"bin": "123456", "device": {"os": 1}},
        {"country": "FRR", "amount": -1},
        {"type": "scan"},
        {"type": "scan", "order_id": "o1"},
        {"type": "scna"},
    )
    assert told(found, "wrong") == [
        'payment.bin: 5, such as "1", "2", "3"',
        "payment.device.os: 1, such as 1",
        "payment.amount: 1, such as -1",
    ]
    assert told(found, "missing") == [
        "payment: session_id, order_id, device_id, ip in all 7; " + PARTLY,
        "scan: order_id in 1 of 2",
    ]
    assert "type scna: 1" in told(found, "unknown")


def test_three_decoded_events_of_different_types_are_shown(tmp_path):
    events = [{"event_id": f"p{number}"} for number in range(4)]
    found = report(tmp_path, *events, {"type": "scan", "order_id": "o1"}, {"device": {"os": "i\u001b[31m"}})
    shown = told(found, "decoded")
    assert [each.partition(":")[0] for each in shown] == ["payment", "scan", "payment"]
    assert 'amount 5.0, currency "EUR"' in shown[0]
    assert 'order_id "o1"' in shown[1]


def test_names_are_escaped_and_bounded(tmp_path):
    fields = {f"f{number}": number for number in range(300)}
    found = report(
        tmp_path, {"\x1b[31m\u202ex": 1}, *({f"{turn}{name}": 1 for name in fields} for turn in range(3))
    )
    said = told(found, "unknown")
    assert len(said) == FIELDS_TOLD_MAX
    assert r"payment.\x1b[31m\u202ex: 1 of 4, integer, such as 1" in said
    beyond = 3 * 300 + 1 - FIELDS_COUNTED_MAX
    assert told(found, "")[-1] == f"and {beyond} times a field beyond the first {FIELDS_COUNTED_MAX}"


@pytest.mark.integration
def test_the_command_shows_it(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(PAYMENT | {"card_bin": "123456"}) + "\n")
    ran = headrace("check", "fraud", "--against", path)
    assert ran.code == 0, ran.said
    said = ran.out.decode()
    assert 'unknown      payment.card_bin: 1 of 1, text, such as "123456"' in said
    assert 'card_bin = { type = "text" }' in said
    assert 'decoded      payment: event_id "p1"' in said
