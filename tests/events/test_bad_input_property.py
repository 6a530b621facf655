"""Lines that are no use go aside with their reason, wherever they stand, and change nothing else."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.journal.batches import Batch
from headrace.operators.events.decode import decode
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.property

SETTINGS = load(None, ["ids.memory_days_max=30"])
START_MS, MINUTE_MS, DAY_MS = 1_700_000_000_000, 60_000, 86_400_000
DUPLICATE = "duplicate"


def payment(number: int, minute: int, **changes: object) -> bytes:
    fields = {
        "type": "payment",
        "event_id": f"p{number}",
        "event_time": START_MS + minute * MINUTE_MS,
        "customer_id": f"c{number % 4}",
        "merchant_id": f"m{number % 3}",
        "amount": 5.0 + number * 37 % 400,
        "currency": "EUR",
    }
    return json.dumps(fields | changes).encode()


def outcome(number: int, minute: int) -> bytes:
    fields = {
        "type": "outcome",
        "event_id": f"o{number}",
        "event_time": START_MS + minute * MINUTE_MS,
        "about": f"p{number}",
        "label": int(number % 3 == 0),
    }
    return json.dumps(fields).encode()


def good_stream() -> list[bytes]:
    """Payments and outcomes; among them early, late and far-ahead ones, and a step by ten days."""
    lines = [outcome(5, 1)]
    for number in range(24):
        lines.append(payment(number, number))
        if number >= 4 and number != 9:
            lines.append(outcome(number - 4, number))
    lines += [payment(100, -5 * 24 * 60), payment(101, 30 * 24 * 60), payment(24, 24)]
    # Outcomes of ten days later are held, one alone between others, until the clock gets there.
    for number, held in enumerate((20, 21, 22), start=25):
        lines += [outcome(held, 10 * 24 * 60), payment(number, number)]
    lines += [payment(number, 10 * 24 * 60 + number) for number in range(30, 42)]
    return lines


GOOD = good_stream()
SOUND = json.loads(payment(900, 3))


def _changed(**changes: object) -> bytes:
    return json.dumps(SOUND | changes).encode()


def _raw(field: str, text: str) -> bytes:
    """A payment with a value that Python would not write."""
    return _changed(**{field: "@"}).replace(b'"@"', text.encode())


def _without(field: str) -> bytes:
    return json.dumps({key: value for key, value in SOUND.items() if key != field}).encode()


BAD: list[tuple[bytes, tuple[str, ...]]] = [
    (b"nonsense", ("invalid_json",)),
    (b"[]", ("invalid_field",)),
    (b'"text"', ("invalid_field",)),
    (b"null", ("invalid_field",)),
    (b"\x00\x01\x02", ("invalid_json",)),
    (b"[" * 5000, ("nested_too_deep",)),
    (b'{"type": "payment", "event_id": "\xff\xfe"}', ("invalid_utf8",)),
    (_changed(event_id="x").replace(b'"x"', b'"\xc3\x28"'), ("invalid_utf8",)),
    (_changed(type="refund"), ("unknown_type",)),
    (_changed(type=7), ("unknown_type",)),
    (_without("type"), ("unknown_type",)),
    *[(_without(field), ("missing_field",)) for field in SOUND if field != "type"],
    *[(_changed(**{field: ["list"]}), ("invalid_field",)) for field in SOUND if field != "type"],
    *[(_changed(**{field: None}), ("invalid_field",)) for field in SOUND if field != "type"],
    (_changed(event_id=""), ("invalid_field",)),
    (_changed(event_id="i" * 1000), ("invalid_field",)),
    (_changed(event_id="i" * 1_000_000), ("line_too_long",)),
    (_changed(customer_id="c" * 1_000_000), ("line_too_long",)),
    (_changed(amount="12.50"), ("invalid_field",)),
    (_changed(amount=-0.01), ("invalid_field",)),
    (_changed(amount=-1e300), ("invalid_field",)),
    (_changed(amount=1e300), ("invalid_field",)),
    (_raw("amount", "NaN"), ("invalid_json",)),
    (_raw("amount", "Infinity"), ("invalid_json",)),
    (_raw("amount", "1e400"), ("invalid_json", "invalid_field")),
    (_raw("event_time", "1e400"), ("invalid_json", "invalid_field")),
    (_raw("event_time", "9" * 400), ("event_time_out_of_range",)),
    (_changed(event_time="1900-01-01T00:00:00Z"), ("event_time_out_of_range",)),
    (_changed(event_time="2100-01-01T00:00:00Z"), ("event_time_out_of_range",)),
    (_changed(event_time=-2_208_988_800_000), ("event_time_out_of_range",)),
    (_changed(event_time=4_102_444_800_000), ("event_time_out_of_range",)),
    (_changed(event_time=10**18), ("event_time_out_of_range",)),
    (_changed(event_time="yesterday"), ("invalid_field",)),
    (_changed(event_time="2024-02-30T00:00:00Z"), ("invalid_field",)),
    (_changed(event_time="2024-02-01T00:00:00"), ("invalid_field",)),
    (_changed(currency="USD"), ("other_currency",)),
    (_changed(currency="EURO"), ("invalid_field",)),
    (_changed(version=2), ("invalid_field",)),
    (
        b'{"type": "outcome", "event_id": "ox", "event_time": 1, "about": "p1"}',
        ("missing_field",),
    ),
    (outcome(1, 3).replace(b'"label": 0', b'"label": 2').replace(b"o1", b"ox"), ("invalid_field",)),
    (outcome(1, 3).replace(b'"label": 0', b'"label": true').replace(b"o1", b"ox"), ("invalid_field",)),
]
Insertion = tuple[int, bytes, tuple[str, ...]]


def _cut(draw_at: int, share: float) -> Insertion:
    line = GOOD[draw_at % len(GOOD)]
    return draw_at, line[: max(1, int(share * (len(line) - 1)))], ("invalid_json",)


def _again(place: int, back: int) -> Insertion:
    """A line once more, after it came; with its fields in another order it is the same event."""
    line = json.loads(GOOD[max(0, place - 1 - back)])
    turned = dict(reversed(line.items())) if back % 2 else line
    return max(1, place), json.dumps(turned | {"unknown": back}).encode(), (DUPLICATE,)


def _conflict(place: int, back: int) -> Insertion:
    line = json.loads(GOOD[max(0, place - 1 - back)])
    other = {"event_time": line["event_time"] + 1} if back % 2 else {"customer_id": "other"}
    return max(1, place), json.dumps(line | other).encode(), ("id_conflict",)


PLACE, BACK = st.integers(0, len(GOOD)), st.integers(0, 30)
INSERTION = st.one_of(
    st.tuples(PLACE, st.sampled_from(BAD)).map(lambda drawn: (drawn[0], *drawn[1])),
    st.builds(_cut, PLACE, st.floats(0, 1)),
    st.builds(_again, PLACE, BACK),
    st.builds(_conflict, PLACE, BACK),
)


def mixed(insertions: Sequence[Insertion]) -> tuple[list[bytes], list[tuple[bytes, tuple[str, ...]]]]:
    """The good stream with the insertions before the places they name; and these in their order."""
    ordered = sorted(insertions, key=lambda insertion: insertion[0])
    lines: list[bytes] = []
    for place in range(len(GOOD) + 1):
        lines += [line for at, line, _ in ordered if at == place]
        lines += GOOD[place : place + 1]
    return lines, [(line, reasons) for _, line, reasons in ordered]


def run(
    lines: Sequence[bytes], batch_lines: int, configured: FraudSettings = SETTINGS
) -> tuple[list[bytes], list[bytes], DurableShard]:
    """Decisions and dead letters of a stream, and the shard behind it."""
    shard = DurableShard(None, configured)
    shard.register(0, "stream.jsonl")
    decisions, dead_letters = [], []
    for at in range(0, len(lines), batch_lines):
        payloads = list(lines[at : at + batch_lines])
        numbers = list(range(at + 1, at + 1 + len(payloads)))
        batch = Batch(0, 0, at, payloads, [0] * len(payloads), [0] * len(payloads), numbers, ())
        applied = shard.process(batch, decode(payloads, SETTINGS.input.line_bytes_max), None)
        decisions += [line for _, line in applied.decisions]
        dead_letters += [line for _, line in applied.dead_letters]
    return decisions, dead_letters, shard


DECISIONS, NO_DEAD_LETTERS, UNTOUCHED = run(GOOD, 16)


def test_the_good_stream_is_worth_disturbing():
    counts = UNTOUCHED.state.counts
    assert len(DECISIONS) == 24 + 2 + 1 + 3 + 12
    assert not NO_DEAD_LETTERS
    assert counts["outcomes_matched"] >= 20
    assert counts["outcomes_ahead"] == 4
    assert counts["payments_ahead"] >= 3
    assert len({orjson.loads(line)["score"] for line in DECISIONS}) > 20


def check(insertions: Sequence[Insertion], batch_lines: int) -> None:
    lines, inserted = mixed(insertions)
    decisions, dead_letters, shard = run(lines, batch_lines)
    assert decisions == DECISIONS
    assert shard.state.model.save() == UNTOUCHED.state.model.save()
    letters = [orjson.loads(line) for line in dead_letters]
    expected = [(line, reasons) for line, reasons in inserted if reasons != (DUPLICATE,)]
    assert len(letters) == len(expected)
    for letter, (line, reasons) in zip(letters, expected, strict=True):
        assert letter["reason"] in reasons, letter
        assert letter["message"]
        assert b64decode(letter["payload_base64"]) == line
        assert lines[letter["line"] - 1] == line
        assert letter["source"] == "stream.jsonl"
    assert shard.state.counts["repeats"] == len(inserted) - len(expected)


@given(st.lists(INSERTION, min_size=1, max_size=12), st.sampled_from([1, 7, 16, 1000]))
@example([(place, line, reasons) for place, (line, reasons) in enumerate(BAD)], 16)
# The clock has just stepped past outcomes that were held: what comes again must not release them sooner.
@example([_again(len(GOOD) - 9, 3), _again(len(GOOD) - 9, 5)], 16)
@example([(len(GOOD) - 9, _changed(currency="USD"), ("other_currency",))], 16)
@settings(max_examples=150, deadline=None)
def test_bad_lines_go_aside_and_change_nothing_else(insertions, batch_lines):
    check(insertions, batch_lines)


DAILY = [payment(50 + day, (1 + day) * 1440) for day in range(6)]
LAST = [payment(70 + number, 6 * 1440 + number) for number in range(50)]
FIRST = [payment(number, number) for number in range(40)]


@pytest.mark.parametrize(
    ("setting", "before", "after"),
    [
        ("outcomes.pending_days_max=2", FIRST + DAILY, [outcome(3, 8640), outcome(4, 8640), *LAST]),
        ("outcomes.legitimate_after_days=2", FIRST + DAILY, LAST),
        ("outcomes.early_days_max=1", [*FIRST, outcome(70, 60), *DAILY], LAST),
        ("ids.memory_days_max=1", FIRST + DAILY, [payment(3, 3), *LAST]),
        ("entities.customer.idle_days_max=1", FIRST + DAILY, LAST),
    ],
)
@pytest.mark.parametrize("line", [b"nonsense", _changed(currency="USD"), DAILY[2]])
def test_how_many_lines_are_no_use_does_not_say_when_something_expires(setting, before, after, line):
    configured = load(None, [setting])
    decisions, _, _ = run(before + after, 16, configured)
    for lines in (1, 3, 100, 300):
        assert run([*before, *[line] * lines, *after], 16, configured)[0] == decisions
