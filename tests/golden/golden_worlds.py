"""Small worlds from seeds: simulated events, and among them what goes wrong on the way, each kind by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson

from headrace.operators import simulator
from headrace.operators.events.decode import Undecodable, decode_one
from headrace.operators.events.timestamps import time_ms

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OF_SESSION_MAX = 4
UNFIT = "-unfit"  # what the ids of payments end with that no score is found for
LINE_BYTES_MAX = 65_536

Event = dict[str, Any]


def payments(lines: int) -> list[bytes]:
    """Payments and outcomes of a shop, and what goes wrong with them."""
    return _with_mishaps(_simulated("tiny", 3, 40, 16), lines, seed=1)


def visits(lines: int) -> list[bytes]:
    """Visits that end in payments; the world itself brings late, duplicate and broken events."""
    return _with_mishaps(_simulated("storm", 5, 40, 21), lines, seed=2, kept=("payment", "outcome"))


def clicks(lines: int) -> list[bytes]:
    """Visits as they come, with the catalogue, carts and orders."""
    return _with_mishaps(_simulated("storm", 7, 16, 8), lines, seed=3)


def _simulated(preset: str, seed: int, customers: int, days: int) -> list[bytes]:
    world = simulator.simulate(preset, seed, customers=customers, days=days)
    return b"".join(simulator.event_blocks(world)).splitlines()


def _with_bad_merchants(world: list[bytes], draws: random.Random) -> Iterator[bytes]:
    """The world with early word that payments at some merchants are frauds: enough to learn to block."""
    for place, line in enumerate(world):
        yield line
        event = _read(line)
        if event.get("type") == "payment":
            bad = event["merchant_id"][-1] in "036"
            if draws.random() < (0.7 if bad else 0.2):
                fields = {"event_id": f"told{place}", "event_time": event["event_time"], "label": int(bad)}
                yield orjson.dumps({"type": "outcome", "about": event["event_id"], **fields})


def _with_mishaps(world: list[bytes], lines: int, *, seed: int, kept: tuple[str, ...] = ()) -> list[bytes]:
    """The first lines of a world with mishaps among them, as many lines as asked for.

    Of types that are not named as kept only a few stay, so that a short world has enough to decide on.
    """
    draws = random.Random(seed)
    if kept:
        world = _filtered(world, kept)
    world = list(islice(_with_bad_merchants(world, draws), lines))
    world, events = _after_silence(world, [_read(line) for line in world])
    made = _Mishaps(draws).in_turn
    return list(islice(_spread(world, events, made, draws), lines))


def _filtered(world: list[bytes], kept: tuple[str, ...]) -> list[bytes]:
    """Lines of the types that are kept, and the first few of the sessions that these have."""
    events = [_read(line) for line in world]
    sessions = {event.get("session_id") for event in events if event.get("type") in kept} - {None}
    told: Counter[str] = Counter()
    lines = []
    for line, event in zip(world, events, strict=True):
        session = event.get("session_id")
        if event and event["type"] not in kept:
            told[session] += 1
            if session not in sessions or told[session] > OF_SESSION_MAX:
                continue
        lines.append(line)
    return lines


def _read(line: bytes) -> Event:
    """What a line says, where it is an event."""
    return {} if isinstance(decode_one(line), Undecodable) else orjson.loads(line)


def _time(event: Event) -> int:
    time = event["event_time"]
    return time if isinstance(time, int) else time_ms(time)


def _after_silence(world: list[bytes], events: list[Event]) -> tuple[list[bytes], list[Event]]:
    """The same with a silence of three days, a step that the clock takes only of a quorum."""
    late = len(world) * 2 // 3
    told = [
        event | {"event_time": _time(event) + 3 * DAY_MS} if event and place >= late else event
        for place, event in enumerate(events)
    ]
    lines = [
        line if not event or _read(line) == event else orjson.dumps(event)
        for line, event in zip(world, told, strict=True)
    ]
    return lines, told


def _spread(
    world: list[bytes], events: list[Event], made: list[Mishap], draws: random.Random
) -> Iterator[bytes]:
    """The world's lines, with a mishap after one line in nine on average, each kind in turn."""
    turn = 0
    for line, event in zip(world, events, strict=True):
        yield line
        if not event or "event_id" not in event or draws.random() > 1 / 9:
            continue
        for _ in made:
            happened = list(made[turn % len(made)](event, line))
            turn += 1
            if happened:
                yield from happened
                break


Mishap = Callable[[Event, bytes], Iterator[bytes]]


class _Mishaps:
    """What can go wrong behind an event; each gives no line where it has no meaning."""

    def __init__(self, draws: random.Random) -> None:
        self.draws, self.count = draws, iter(range(1_000_000))
        self.broken = _broken(self.told)

    @property
    def in_turn(self) -> list[Mishap]:
        """All of them."""
        return [
            self.again,
            self.useless,
            self.told_at_once,
            self.late,
            self.useless,
            self.conflict,
            self.corrected,
            self.useless,
            self.spelled_otherwise,
            self.told_before_it_was_paid,
            self.useless,
            self.ahead,
            self.corrected_late,
            self.useless,
            self.not_much_ahead,
            self.never_paid,
        ]

    def told(self, event: Event, **changes: Any) -> bytes:
        """The event with other fields, under an id of its own unless one is given."""
        changes.setdefault("event_id", f"x{next(self.count)}")
        return orjson.dumps({name: value for name, value in (event | changes).items() if value is not None})

    def outcome(self, event: Event, about: str, **changes: Any) -> bytes:
        fields = {"type": "outcome", "event_time": event["event_time"], "about": about}
        return self.told(fields | {"label": self.draws.randrange(2)}, **changes)

    def again(self, _event: Event, line: bytes) -> Iterator[bytes]:
        yield line

    def spelled_otherwise(self, event: Event, _line: bytes) -> Iterator[bytes]:
        turned = dict(reversed(event.items())) | {"note": "of no meaning"}
        yield orjson.dumps(turned, option=orjson.OPT_INDENT_2).replace(b"\n", b" ")

    def conflict(self, event: Event, _line: bytes) -> Iterator[bytes]:
        if event["type"] in {"payment", "click", "order"}:
            yield self.told(event, event_id=event["event_id"], customer_id="somebody-else")

    def late(self, event: Event, _line: bytes) -> Iterator[bytes]:
        yield self.told(_moved(event, -self.draws.randrange(3, 9) * DAY_MS))

    def ahead(self, event: Event, _line: bytes) -> Iterator[bytes]:
        yield self.told(_moved(event, self.draws.randrange(2, 5) * DAY_MS))

    def not_much_ahead(self, event: Event, _line: bytes) -> Iterator[bytes]:
        yield self.told(_moved(event, self.draws.randrange(2 * HOUR_MS)))

    def told_before_it_was_paid(self, event: Event, _line: bytes) -> Iterator[bytes]:
        """An outcome before its payment, and another that is ahead of the clock."""
        if event["type"] == "payment":
            name = f"early{next(self.count)}"
            yield self.outcome(event, name, customer_id=event["customer_id"])
            yield self.outcome(_moved(event, 12 * HOUR_MS), event["event_id"])
            yield self.told(event, event_id=name)

    def never_paid(self, event: Event, _line: bytes) -> Iterator[bytes]:
        if event["type"] == "payment":
            yield self.outcome(event, f"none{next(self.count)}")

    def told_at_once(self, event: Event, _line: bytes) -> Iterator[bytes]:
        if event["type"] == "payment":
            yield self.outcome(event, event["event_id"], customer_id=event["customer_id"])

    def corrected(self, event: Event, _line: bytes) -> Iterator[bytes]:
        if event["type"] == "outcome":
            yield self.told(event, label=1 - event["label"])
            yield self.told(event)
            yield self.told(event, label=1 - event["label"])

    def corrected_late(self, event: Event, _line: bytes) -> Iterator[bytes]:
        if event["type"] == "outcome":
            yield self.told(_moved(event, -4 * DAY_MS), label=1 - event["label"])

    def useless(self, event: Event, line: bytes) -> Iterator[bytes]:
        if event["type"] in {"payment", "click"}:
            yield next(self.broken)(event, line)


def _moved(event: Event, by_ms: int) -> Event:
    return event | {"event_time": _time(event) + by_ms}


def _broken(told: Callable[..., bytes]) -> Iterator[Callable[[Event, bytes], bytes]]:
    """Each way of being no use, one after the other, for ever."""
    ways: list[Callable[[Event, bytes], bytes]] = [
        lambda _event, line: line[: len(line) // 2],
        lambda event, _line: told(event, event_id="not?utf-8").replace(b"?", b"\xff"),
        lambda event, _line: told(event, type="refund"),
        lambda event, _line: told(event, type=None),
        lambda event, _line: told(event, event_time=None),
        lambda event, _line: told(event, event_time=-1),
        lambda event, _line: told(event, event_time="2101-01-01T00:00:00Z"),
        lambda event, _line: told(event, event_time="yesterday, about ten"),
        lambda event, _line: told(event, event_id=17),
        lambda event, _line: told(event, event_id=""),
        lambda event, _line: told(event, amount=-1.0, price=-1.0, label=7),
        lambda event, _line: told(event, amount="12", price="12", label="1"),
        lambda event, _line: told(event, currency="eur"),
        lambda event, _line: told(event, currency="USD"),
        lambda event, _line: told(event, event_id=event["event_id"] + UNFIT),
        lambda event, _line: told(event, note="n" * LINE_BYTES_MAX),
        lambda event, _line: told(event, version=2),
        lambda event, _line: told(event, items=[{"item_id": "i", "quantity": 0, "price": 1.0}]),
        lambda _event, _line: b"[]",
        lambda _event, _line: b"null",
        lambda _event, _line: b"\x00\x01\x02",
        lambda _event, _line: b'{"a":1}{"b":2}',
        lambda _event, _line: b'{"type":"payment","event_id":"a\\ud800"}',
    ]
    while True:
        yield from ways
