"""What golden cases left, as it is committed, and how what they leave now is held against it."""

from __future__ import annotations

import hashlib
import json
import lzma
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from headrace.journal.records import Kind
from headrace.operators.decisions.detail import DetailLayout

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
RELATIVE = 1e-9
# What a difference within the tolerance may do to numbers that are kept rounded: a unit of the last place.
ROUNDED_4, ROUNDED_6, SINGLE = 1.01e-4, 1.01e-6, 2.0**-23
SHOWN_MAX = 3


class Row(NamedTuple):
    """A record of a shard's journal without its input, or a line that went out.

    Attributes
    ----------
    place
        The input's ordinal over the life of the state, or the line's number.
    kind, flags, output, detail
        As the journal has them; of a line the output alone.
    """

    place: int
    kind: int
    flags: int
    output: bytes
    detail: bytes


Case = Mapping[str, Sequence[Row]]
"""Rows by the part they stand in: `decisions`, `dead_letters`, and each shard."""

_decoder = msgspec.msgpack.Decoder(dict[str, dict[str, list[Row]]])


# ---------------------------------------------------------------- as committed


def encoded(cases: Mapping[str, Case]) -> bytes:
    """Cases by their names, in bytes."""
    return msgspec.msgpack.encode(cases)


def decoded(content: bytes) -> dict[str, dict[str, list[Row]]]:
    """What `encoded` gave bytes for."""
    return _decoder.decode(content)


def digests(cases: Mapping[str, Case]) -> dict[str, dict[str, dict[str, Any]]]:
    """How many rows each part of each case has, and their SHA-256."""
    return {
        name: {
            part: {"rows": len(rows), "sha256": hashlib.sha256(msgspec.msgpack.encode(rows)).hexdigest()}
            for part, rows in case.items()
        }
        for name, case in cases.items()
    }


def read_digests() -> dict[str, Any]:
    """The committed digests, with the numeric kernel that they were made with."""
    return json.loads(DIGESTS.read_text())


def read_expected(flow: str) -> dict[str, dict[str, list[Row]]]:
    """The committed rows of a flow's cases."""
    return decoded(lzma.decompress(_file(flow).read_bytes()))


def write(flow: str, cases: Mapping[str, Case]) -> None:
    """Write the rows of a flow's cases."""
    _file(flow).write_bytes(lzma.compress(encoded(cases), preset=9 | lzma.PRESET_EXTREME))


def _file(flow: str) -> Path:
    return HERE / f"{flow}.msgpack.xz"


# ---------------------------------------------------------------- held against each other


def differences(expected: Case, found: Case, layout: DetailLayout | None, *, exact: bool) -> list[str]:
    """Where a case differs: of each part how often, and its first rows before and now.

    Parameters
    ----------
    expected, found
        The committed rows, and those of now.
    layout
        Of the details of fraud decisions; None for lists.
    exact
        Whether every byte counts, or numbers may differ by the tolerance.
    """
    told: list[str] = []
    for part in dict.fromkeys((*expected, *found)):
        before, now = expected.get(part, ()), found.get(part, ())
        pairs = [(place, *pair) for place, pair in enumerate(zip(before, now, strict=False))]
        other = [
            (place, old, new)
            for place, old, new in pairs
            if old != new and (exact or not alike(old, new, layout))
        ]
        if len(before) != len(now):
            told.append(f"{part}: {len(before)} rows before, {len(now)} now")
        if other:
            told.append(f"{part}: {len(other)} of {len(before)} rows differ")
            for _, old, new in other[:SHOWN_MAX]:
                told += _told(old, new)
    return told


def _told(old: Row, new: Row) -> Iterator[str]:
    for name, was, becomes in zip(Row._fields, old, new, strict=True):
        if was != becomes:
            yield f"  at {old.place}, {name}: was {_shown(was)}"
            yield f"  at {old.place}, {name}: now {_shown(becomes)}"


def _shown(value: int | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    return value.decode().rstrip("\n") if value.isascii() and value.endswith(b"\n") else value.hex()


# ---------------------------------------------------------------- numbers of another kernel


class Number(NamedTuple):
    """A number that another numeric kernel may give with other last digits.

    Attributes
    ----------
    value
        The number.
    relative, absolute
        By how much it may differ: the greater of the two.
    """

    value: float
    relative: float = RELATIVE
    absolute: float = 0.0

    def near(self, other: Number) -> bool:
        """Whether another one is within the tolerance."""
        if math.isnan(self.value) or math.isnan(other.value):
            return math.isnan(self.value) and math.isnan(other.value)
        apart = abs(self.value - other.value)
        return apart <= max(self.relative * max(abs(self.value), abs(other.value)), self.absolute)


def alike(old: Row, new: Row, layout: DetailLayout | None) -> bool:
    """Whether two rows differ in numbers only, and these by no more than the tolerance."""
    try:
        before, after = _apart(old, layout), _apart(new, layout)
    except (ValueError, TypeError):
        return False
    same = before[0] == after[0] and len(before[1]) == len(after[1])
    return same and all(one.near(other) for one, other in zip(before[1], after[1], strict=True))


def _apart(row: Row, layout: DetailLayout | None) -> tuple[Any, list[Number]]:
    """What must be the same of a row, and its numbers."""
    numbers: list[Number] = []
    said: Any = row.output
    if row.output.startswith(b'{"decision_id"'):
        said = _without(orjson.loads(row.output), "", numbers)
    detail: Any = row.detail
    if layout is not None and row.detail and row.kind == Kind.DECIDED:
        slots, contributions, values, trace = layout.read(row.detail)
        numbers += [Number(value, SINGLE, RELATIVE) for value in contributions]
        numbers += map(Number, values)
        detail = slots, _without(msgspec.msgpack.decode(trace), "", numbers) if trace else None
    return (row.place, row.kind, row.flags, said, detail), numbers


def _without(value: Any, key: str, numbers: list[Number]) -> Any:
    """A value without its fractions, which are put behind the numbers."""
    if isinstance(value, float):
        numbers.append(Number(value, RELATIVE, _ROUNDED.get(key, 0.0)))
        return None
    if isinstance(value, dict):
        return [
            (name, _without(each, f"{key}.{name}" if key else name, numbers)) for name, each in value.items()
        ]
    if isinstance(value, list):
        return [_without(each, key, numbers) for each in value]
    return value


_ROUNDED = {"reasons.contribution": ROUNDED_4, "items.score": ROUNDED_6, "items.propensity": ROUNDED_6}
