"""Bytes to events and decisions to bytes."""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec.structs import force_setattr

from headrace.operators.events import EVENT_TIME_MS_MAX, EVENT_TIME_MS_MIN, DeadLetter, Event, Item

__all__ = ["Undecodable", "canonical_digest", "decode", "decode_one", "encode_dead_letter", "parse_time"]

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS: Final = {f":{second:02}Z": second * 1000 for second in range(60)}
_MINUTES_REMEMBERED_MAX: Final = 4096
_FIELD: Final = re.compile(r"`\$\.?([^`]*)`")
_MISSING: Final = re.compile(r"missing required field `([^`]+)`")

_decoder: Final = msgspec.json.Decoder(Event)
_canonical: Final = msgspec.msgpack.Encoder()
_minutes: dict[str, int] = {}


class Undecodable(NamedTuple):
    """Why a line is not an event.

    Attributes
    ----------
    reason
        A code: `line_too_long`, `invalid_utf8`, `invalid_json`, `unknown_type`, `missing_field`,
        `invalid_field` or `event_time_out_of_range`.
    message
        For a person.
    field
        Path of the field, when it is one.
    """

    reason: str
    message: str
    field: str | None


_OUT_OF_RANGE: Final = Undecodable(
    "event_time_out_of_range", "event_time: must be in the years 2000 to 2099", "event_time"
)


def parse_time(text: str) -> int:
    """Turn an RFC 3339 time into milliseconds since the epoch; smaller parts are cut off.

    Raises
    ------
    ValueError
        If it isn't one; a leap second (`:60`) is not.

    References
    ----------
    RFC 3339, section 5.6.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with an offset")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND


def _minute_ms(minute: str) -> int:
    """Milliseconds of a minute in UTC, `2026-03-01T09:30`, the last ones remembered."""
    known = parse_time(minute + ":00Z")
    if len(_minutes) >= _MINUTES_REMEMBERED_MAX:
        _minutes.clear()
    _minutes[minute] = known
    return known


def _time_ms(text: str) -> int:
    """`parse_time`, quicker for the usual form, a whole second in UTC."""
    second = _SECONDS.get(text[16:])
    if second is None:
        return parse_time(text)
    known = _minutes.get(text[:16])
    return (_minute_ms(text[:16]) if known is None else known) + second


def decode(payloads: Sequence[bytes], line_bytes_max: int = 65_536) -> list[Event | Undecodable]:
    """Decode lines, each to an event or to the reason why it is none, in their order.

    Parameters
    ----------
    payloads
        The lines.
    line_bytes_max
        Longer lines are not looked into.
    """
    decoder, seconds, minutes = _decoder.decode, _SECONDS.get, _minutes.get
    found: list[Event | Undecodable] = []
    add = found.append
    for payload in payloads:
        try:
            if len(payload) > line_bytes_max:
                add(Undecodable("line_too_long", f"longer than {line_bytes_max} bytes", None))
                continue
            event = decoder(payload)
            time: Any = event.event_time
            if time.__class__ is str:
                # `_time_ms`, for the usual form without a call: this loop meets every event.
                second, minute = seconds(time[16:]), minutes(time[:16])
                time = _time_ms(time) if second is None or minute is None else minute + second
                force_setattr(event, "event_time", time)
            if not EVENT_TIME_MS_MIN <= time < EVENT_TIME_MS_MAX:
                add(_OUT_OF_RANGE)
                continue
            if event.__class__ is Item:
                _publish(event)
        except (ValueError, msgspec.MsgspecError) as error:
            add(_reason(error))
            continue
        add(event)
    return found


def _publish(item: Event) -> None:
    """Turn the second time of a catalogue event into a number too."""
    published: Any = getattr(item, "published_at", None)
    if published.__class__ is str:
        try:
            force_setattr(item, "published_at", _time_ms(published))
        except ValueError as error:
            raise msgspec.ValidationError(f"{error} - at `$.published_at`") from error


def decode_one(payload: bytes, line_bytes_max: int = 65_536) -> Event | Undecodable:
    """Decode one line."""
    return decode((payload,), line_bytes_max)[0]


def _reason(error: Exception) -> Undecodable:
    message = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Undecodable("invalid_utf8", f"not UTF-8 at byte {error.start}", None)
    if isinstance(error, msgspec.ValidationError):
        return _invalid(message)
    if isinstance(error, msgspec.DecodeError):
        return Undecodable("invalid_json", message, None)
    return Undecodable("invalid_field", f"event_time: {message}", "event_time")


def _invalid(message: str) -> Undecodable:
    place = _FIELD.search(message)
    path = place.group(1) if place else ""
    missing = _MISSING.search(message)
    if missing:
        field = f"{path}.{missing.group(1)}" if path else missing.group(1)
        return Undecodable("unknown_type" if field == "type" else "missing_field", message, field)
    if path == "type":
        return Undecodable("unknown_type", message, path)
    return Undecodable("invalid_field", message, path or None)


def canonical_digest(event: Event) -> int:
    """CRC-32 of the event's known fields in a fixed order: spacing and unknown fields don't count.

    It tells a repeat from a conflict between two events with one id. Different contents are taken for
    the same once in about 4 billion conflicts.
    """
    return zlib.crc32(_canonical.encode(event))


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """One line of JSON with its newline."""
    return orjson.dumps(msgspec.to_builtins(letter)) + b"\n"


def base64_text(payload: bytes) -> str:
    """The bytes as base64 text."""
    return b64encode(payload).decode("ascii")
