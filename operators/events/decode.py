"""Bytes to events and decisions to bytes."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec.structs import force_setattr

from .contract import CURRENCY_PATTERN, EVENT_TIME_MS_MAX, EVENT_TIME_MS_MIN, Event, Item, Payment
from .nesting import NESTING_MAX, nested_too_deep, on_empty_stack
from .oversized import CutLine
from .timestamps import HOUR_CHARACTERS, REST_MS, hour_known, time_ms
from .unreadable import Tombstone, Unreadable

__all__ = [
    "INTERNAL_ERROR",
    "NO_VALUE",
    "LineDecoder",
    "NoValue",
    "Undecodable",
    "canonical_digest",
    "check_currency",
    "decode",
    "decode_one",
    "publish",
    "unexpected",
]

_FIELD: Final = re.compile(r"`\$\.?([^`]*)`$")
_MISSING: Final = re.compile(r"missing required field `([^`]+)`")

_encode: Final = msgspec.msgpack.Encoder().encode
_CURRENCY: Final = re.compile(CURRENCY_PATTERN)
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
_currencies: set[str] = set()  # those that have come; there are 17,576 at most


class Undecodable(NamedTuple):
    """Why a line is not an event.

    Attributes
    ----------
    reason
        A code: `line_too_long`, `nested_too_deep`, `invalid_utf8`, `invalid_json`, `unknown_type`,
        `missing_field`, `invalid_field` or `event_time_out_of_range`; of an input that raised what nobody
        expected, `internal_error`.
    message
        For a person.
    field
        Path of the field, when it is one.
    """

    reason: str
    message: str
    field: str | None


class NoValue(Undecodable):
    """A message without a value."""

    __slots__ = ()


INTERNAL_ERROR: Final = "internal_error"
_SAID_CHARACTERS_MAX: Final = 500
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")
_MAGIC: Final = b"\0"  # of a schema registry's framing; four bytes of the schema's id follow
_FRAMING_BYTES: Final = 5
NO_VALUE: Final = NoValue("no_value", "a message without a value", None)
"""In the place of a message without a value, which is no event and no error either."""
_TOO_DEEP: Final = Undecodable("nested_too_deep", f"nested more than {NESTING_MAX} deep", None)
_OUT_OF_RANGE: Final = Undecodable(
    "event_time_out_of_range", "event_time: must be in the years 2000 to 2099", "event_time"
)


def unexpected(error: Exception) -> Undecodable:
    """Why an input is a dead letter that raised what nobody expected, in our code or in a model.

    Addresses are left out of what the error says, as the same input must give the same letter.
    """
    said = _ADDRESS.sub("0x", str(error))
    said = said if said.isprintable() else said.encode("unicode_escape").decode("ascii")
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Undecodable(INTERNAL_ERROR, message[:_SAID_CHARACTERS_MAX], None)


class LineDecoder:
    """Decodes lines to events of a contract's types.

    Parameters
    ----------
    event
        The union of the structs that there are.
    payment
        The one of payments, where nothing but `check_currency` completes them; else None.
    finish
        By other classes: completes an event that was parsed, in place, or raises `msgspec.ValidationError`.
    refusal
        Gives the reason that is told, from what the parser said and the line.
    """

    def __init__(
        self,
        event: Any,
        payment: Any,
        finish: Mapping[type, Callable[[Any], None]],
        refusal: Callable[[Undecodable, bytes], Undecodable] | None = None,
    ) -> None:
        self._decoder, self._refusal = msgspec.json.Decoder(event), refusal
        self._payment, self._finish = payment, finish

    def decode(
        self, payloads: Sequence[bytes], line_bytes_max: int = 65_536, *, stack_is_empty: bool = False
    ) -> list[Event | Undecodable]:
        """Decode lines, each to an event or to the reason why it is none, in their order.

        Parameters
        ----------
        payloads
            The lines.
        line_bytes_max
            Longer lines are not looked into.
        stack_is_empty
            Whether a parser that runs out of stack here would do so anywhere.
        """
        watched = min(line_bytes_max, NESTING_MAX)
        decoder, hours, rests, hour_end = self._decoder.decode, hour_known, REST_MS.get, HOUR_CHARACTERS
        currencies, paid, finish = _currencies, self._payment, self._finish
        earliest, end = EVENT_TIME_MS_MIN, EVENT_TIME_MS_MAX
        found: list[Event | Undecodable] = []
        add = found.append
        for payload in payloads:
            try:
                if len(payload) > watched:
                    why = _not_to_parse(payload, line_bytes_max)
                    if why is not None:
                        add(why)
                        continue
                event: Any = decoder(payload)
                time: Any = event.event_time
                if time.__class__ is str:
                    # `time_ms`, for the usual form without a call: this loop meets every event.
                    hour, rest = hours(time[:hour_end]), rests(time[hour_end:])
                    time = time_ms(time) if hour is None or rest is None else hour + rest
                    force_setattr(event, "event_time", time)
                if not earliest <= time < end:
                    add(_OUT_OF_RANGE)
                    continue
                if event.__class__ is paid:
                    if event.currency not in currencies:
                        _take_currency(event.currency)
                elif event.__class__ in finish:
                    finish[event.__class__](event)
            except (ValueError, msgspec.MsgspecError) as error:
                add(_of_another_kind(payload) or self._reason(error, payload))
                continue
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, it is one input's
                add(self._raised(error, payload, line_bytes_max, stack_is_empty=stack_is_empty))
                continue
            add(event)
        return found

    def item_of_any_time(self, payload: bytes) -> Event:
        """Decode a catalogue event whose `published_at` may be in any year, as earlier versions took it."""
        item: Event = self._decoder.decode(payload)
        for field in ("event_time", "published_at"):
            time = getattr(item, field)
            if isinstance(time, str):
                force_setattr(item, field, time_ms(time))
        return item

    def _reason(self, error: Exception, payload: bytes) -> Undecodable:
        why = _reason(error)
        return why if self._refusal is None else self._refusal(why, payload)

    def _raised(
        self, error: Exception, payload: bytes, line_bytes_max: int, *, stack_is_empty: bool
    ) -> Event | Undecodable:
        """Return what becomes of a line with which something raised what it should not."""
        if not isinstance(error, RecursionError):
            return unexpected(error)
        if stack_is_empty:
            return _TOO_DEEP
        return on_empty_stack(partial(self.decode, stack_is_empty=True), (payload,), line_bytes_max)[0]


def _not_to_parse(payload: bytes, line_bytes_max: int) -> Undecodable | None:
    """Why a line is not given to the parser at all."""
    if len(payload) > line_bytes_max or isinstance(payload, CutLine):
        return Undecodable("line_too_long", f"longer than {line_bytes_max} bytes", None)
    return _TOO_DEEP if nested_too_deep(payload) else None


def _of_another_kind(payload: bytes) -> Undecodable | None:
    """Why a line isn't meant to be JSON; None if it may be."""
    if isinstance(payload, Tombstone):
        return NO_VALUE
    if isinstance(payload, Unreadable):
        return Undecodable("unreadable", payload.decode(), None)
    # A stray byte in front of an object is no framing: ids of schemas begin far below the code of a brace.
    if payload[:1] == _MAGIC and len(payload) >= _FRAMING_BYTES and payload[1:2] != b"{":
        schema = int.from_bytes(payload[1:_FRAMING_BYTES], "big")
        message = f"framed for a schema registry (Confluent wire format, schema id {schema}); not read yet"
        return Undecodable("registry_framing", message, None)
    return None


def check_currency(payment: Any) -> None:
    """See that a payment's currency is one."""
    if payment.currency not in _currencies:
        _take_currency(payment.currency)


def _take_currency(currency: str) -> None:
    """Remember a currency that is one."""
    if not _CURRENCY.fullmatch(currency):
        raise msgspec.ValidationError(f"Expected `str` matching regex {CURRENCY_PATTERN!r} - at `$.currency`")
    _currencies.add(currency)


def publish(item: Any) -> None:
    """Turn the second time of a catalogue event into a number too, in the same years."""
    published: Any = getattr(item, "published_at", None)
    if published.__class__ is str:
        try:
            force_setattr(item, "published_at", time_ms(published))
        except ValueError as error:
            raise msgspec.ValidationError(f"{error} - at `$.published_at`") from error
    elif published is not None and not _INTEGER_MIN <= published <= _INTEGER_MAX:
        raise msgspec.ValidationError("Expected an `int` of at most 64 bits - at `$.published_at`")
    published = getattr(item, "published_at", None)
    if published is not None and not EVENT_TIME_MS_MIN <= published < EVENT_TIME_MS_MAX:
        raise msgspec.ValidationError("Expected a time in the years 2000 to 2099 - at `$.published_at`")


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


_built_in: Final = LineDecoder(Event, Payment, {Item: publish})
decode: Final = _built_in.decode
"""Decode lines of the built-in types, as `LineDecoder.decode` does."""


def decode_one(payload: bytes, line_bytes_max: int = 65_536) -> Event | Undecodable:
    """Decode one line of a built-in type."""
    return decode((payload,), line_bytes_max)[0]


def canonical_digest(event: Event) -> int:
    """CRC-32 of the event's known fields in a fixed order: spacing and unknown fields don't count.

    It tells a duplicate from a conflict between two events with one id. Different contents are taken for
    the same once in about 4 billion conflicts.
    """
    return crc32(_encode(event))


def base64_text(payload: bytes) -> str:
    """Return the bytes as base64 text."""
    return b64encode(payload).decode("ascii")
