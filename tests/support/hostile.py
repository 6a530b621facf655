"""Inputs as broken and hostile senders give them: a fixed corpus, and any number of mutations of good ones.

`python tests/hostile.py` writes the corpus anew into tests/corpus/: the inputs of each kind, and beside them
what becomes of each when it is decoded.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

CORPUS: Final = Path(__file__).parents[1] / "corpus"
START_MS: Final = 1_772_357_400_000
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "payment": {
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": 12.5,
        "currency": "EUR",
        "session_id": "s1",
        "order_id": "o1",
        "device_id": "d1",
        "ip": "10.0.0.1",
    },
    "outcome": {"about": "p1", "label": 1, "customer_id": "c1", "merchant_id": "m1"},
    "click": {"session_id": "s1", "item_id": "i1", "customer_id": "c1", "price": 9.5},
    "cart": {"session_id": "s1", "item_id": "i1", "quantity": 2, "customer_id": "c1"},
    "order": {
        "order_id": "o1",
        "customer_id": "c1",
        "session_id": "s1",
        "items": [{"item_id": "i1", "quantity": 1, "price": 2.0}],
    },
    "item": {
        "item_id": "i1",
        "available": True,
        "hidden": False,
        "price": 3.0,
        "category": "k",
        "seller_id": "v",
        "published_at": START_MS,
    },
}
_WRONG: Final = (
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e308",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999",
    "-99999999999999999999",
    "9" * 400,
    "1" + "0" * 5000,
    "0." + "0" * 5000 + "1",
    '""',
    '"x"',
    '"' + "x" * 129 + '"',
    '"' + "x" * 5000 + '"',
    r'"\u0000"',
    r'"\ud800"',
    r'"\udfff\ud800"',
    r'"\uFEFF"',
    r'"\u202e\u001b[2J"',
    '"2026-02-30T00:00:00Z"',
    '"0000-00-00T00:00:00Z"',
    '"9999-12-31T23:59:59.999999999+23:59"',
    '"2026-03-01T09:30:60Z"',
    "[]",
    "{}",
    "[[]]",
    '{"type":"payment"}',
    "[" * 300 + "]" * 300,
    "[" * 1500 + "]" * 1500,
    '{"a":' * 1500 + "1" + "}" * 1500,
)
_BYTES: Final = (
    b"\xff",
    b"\xc0\x80",  # overlong NUL
    b"\xe0\x80\xaf",  # overlong slash
    b"\xf0\x82\x82\xac",  # overlong euro
    b"\xed\xa0\x80",  # surrogate
    b"\xf4\x90\x80\x80",  # beyond the last code point
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"\x1b[2J",
    b"\x7f",
    b"\x0b\x0c",
    b"\xe2\x80\xa8",
    b"\r",
)


def good(kind: str, number: int, time_ms: int | None = None) -> dict[str, Any]:
    """A good event; those of one number and kind have one id."""
    event_id = f"{kind[0]}{number}"
    return {"type": kind, "event_id": event_id, "event_time": time_ms or START_MS + number} | FIELDS[kind]


def line_of(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def with_raw(event: dict[str, Any], field: str, raw: str) -> bytes:
    """The event's line with a value that need not be JSON."""
    return line_of(event | {field: "\x01here"}).replace(
        rb'"\u0001here"', raw.encode("utf-8", "surrogatepass")
    )


def corpus() -> dict[str, list[bytes]]:
    """Inputs by kind."""
    kinds: dict[str, list[bytes]] = {
        "values": [
            with_raw(good(kind, 1), field, raw)
            for kind, fields in FIELDS.items()
            for field in ("event_id", "event_time", "version", *fields)
            for raw in _WRONG
            if len(raw) < 1000
        ],
        "huge-values": [
            with_raw(good(kind, 1), field, raw)
            for kind, field in (
                ("payment", "amount"),
                ("payment", "event_time"),
                ("item", "published_at"),
                ("cart", "quantity"),
                ("click", "extra"),
            )
            for raw in _WRONG
            if len(raw) >= 1000
        ],
        "nesting": [
            with_raw(good(kind, 1), "extra", opening * depth + closing * depth)
            for kind in FIELDS
            for opening, closing in (("[", "]"), ('{"a":', "1}"), ("[", ""))
            for depth in (499, 500, 1100)
        ],
        "missing": [
            line_of({name: value for name, value in good(kind, 1).items() if name != field})
            for kind in FIELDS
            for field in good(kind, 1)
        ],
        "duplicate-keys": [
            line_of(good(kind, 1))[:-1] + f',"{field}":{raw}}}'.encode()
            for kind, fields in FIELDS.items()
            for field in ("type", "event_id", "event_time", *fields)
            for raw in ('"other"', "1", "null")
        ],
        "encodings": [
            line[:at] + some + line[at:]
            for line in (line_of(good("payment", 1)), line_of(good("click", 1)))
            for some in _BYTES
            for at in (0, 1, 24, len(line) // 2, len(line))
        ],
        "cut": [line_of(good(kind, 1))[:at] for kind in FIELDS for at in range(1, 60, 7)],
        "other": [
            *(b"null", b"true", b"0", b'""', b"[]", b"{}", b"[{}]", b"{", b"}", b",", b'"', b"\\", b"nul"),
            *(b"-", b"1e", b"0x10", b"'a'", b"{a:1}", b'{"type":null}', b'{"type":"nobody"}', b'{"type":[]}'),
            *(b'{"type":"control","command":"kill_switch","on":true}', b'{"type":"payment"}', b" " * 300),
            line_of(good("payment", 1)) * 2,
            b"[" + line_of(good("payment", 1)) + b"]",
            line_of(good("payment", 1)).decode().encode("utf-16"),
            line_of(good("payment", 1)) + b" " * 70_000,
        ],
    }
    return {kind: [line.replace(b"\n", b" ") for line in lines] for kind, lines in kinds.items()}


def kept() -> Iterator[tuple[str, bytes]]:
    """The corpus as it is kept: each input with what it decodes to, an event's type or a reason."""
    for path in sorted(CORPUS.glob("*.lines")):
        lines = path.read_bytes().split(b"\n")[:-1]
        told = path.with_suffix(".decoded").read_text().splitlines()
        yield from zip(told, lines, strict=True)


# -- mutations


class Mutator:
    """Spoils lines, the same ones for the same seed.

    Parameters
    ----------
    seed
        Of what is chosen.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._cut,
            self._insert,
            self._value,
            self._value,
            self._duplicate_key,
            self._drop_key,
            self._duplicate,
            self._nest,
            self._long,
        )

    def mutated(self, line: bytes) -> bytes:
        """The line, spoiled in one or two ways; it has no newline."""
        for _ in range(self.rng.choice((1, 1, 1, 2))):
            line = self.rng.choice(self._ways)(line)
        return line.replace(b"\n", b" ")

    def _flip(self, line: bytes) -> bytes:
        spoiled = bytearray(line)
        for _ in range(self.rng.randint(1, 4)):
            if spoiled:
                spoiled[self.rng.randrange(len(spoiled))] = self.rng.randrange(256)
        return bytes(spoiled)

    def _cut(self, line: bytes) -> bytes:
        first, last = sorted((self.rng.randint(0, len(line)), self.rng.randint(0, len(line))))
        return self.rng.choice((line[:first], line[last:], line[:first] + line[last:]))

    def _insert(self, line: bytes) -> bytes:
        at = self.rng.randint(0, len(line))
        return line[:at] + self.rng.choice(_BYTES) * self.rng.choice((1, 1, 3)) + line[at:]

    def _fields(self, line: bytes) -> dict[str, Any] | None:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and found else None

    def _value(self, line: bytes) -> bytes:
        fields = self._fields(line)
        if fields is None:
            return self._flip(line)
        return with_raw(fields, self.rng.choice([*fields, "extra"]), self.rng.choice(_WRONG))

    def _duplicate_key(self, line: bytes) -> bytes:
        fields = self._fields(line)
        if fields is None:
            return self._cut(line)
        raw = self.rng.choice(_WRONG).encode()
        return (
            line[:-1]
            + b',"'
            + self.rng.choice(list(fields)).encode("utf-8", "surrogatepass")
            + b'":'
            + raw
            + b"}"
        )

    def _drop_key(self, line: bytes) -> bytes:
        fields = self._fields(line)
        if fields is None:
            return self._insert(line)
        fields.pop(self.rng.choice(list(fields)))
        return line_of(fields)

    def _duplicate(self, line: bytes) -> bytes:
        return line * self.rng.randint(2, 4)

    def _nest(self, line: bytes) -> bytes:
        depth = self.rng.choice((2, 5, 5, 5, 5, 400, 499, 501, 1000, 1500))
        opening, closing = self.rng.choice((("[", "]"), ('{"a":', "}"), ('[{"":', "}]")))
        nested = opening * depth + "1" + closing * self.rng.choice((depth, depth, 0, depth - 1))
        return line[:-1] + b',"n":' + nested.encode() + b"}"

    def _long(self, line: bytes) -> bytes:
        if self.rng.random() < 0.99:  # as long ones would be most of all bytes
            return self._flip(line)
        return line[:-1] + b',"l":"' + b"x" * self.rng.choice((65_000, 66_000, 200_000)) + b'"}'


def main() -> None:
    from headrace.operators.events.decode import Undecodable, decode_one

    CORPUS.mkdir(exist_ok=True)
    for kind, lines in corpus().items():
        (CORPUS / f"{kind}.lines").write_bytes(b"".join(line + b"\n" for line in lines))
        decoded = [decode_one(line) for line in lines]
        told = [
            each.reason if isinstance(each, Undecodable) else str(each.__struct_config__.tag)
            for each in decoded
        ]
        (CORPUS / f"{kind}.decoded").write_text("".join(f"{each}\n" for each in told))


if __name__ == "__main__":
    main()
