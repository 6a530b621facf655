"""Times as text and as milliseconds since the epoch.

Every event brings a time and every message takes one along, so both ways are looked up: the hour among the
last ones seen, the rest in a table.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

__all__ = ["HOUR_CHARACTERS", "REST_MS", "hour_known", "parse_time", "time_ms", "time_text"]

_Hour = TypeVar("_Hour", str, int)
_Known = TypeVar("_Known", int, bytes)

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_HOUR_MS: Final = 3_600_000
_HOURS_REMEMBERED_MAX: Final = 4096
_REST: Final = [f":{minute:02}:{second:02}" for minute in range(60) for second in range(60)]
_REST_BYTES: Final = [rest.encode() for rest in _REST]
_MS: Final = {f".{ms:03}": ms for ms in range(1000)}
_MS_BYTES: Final = [f"{part}Z".encode() for part in _MS]
_MS_CHARACTERS: Final = len("2026-03-01T09:30:00.123Z")
_SECOND_CHARACTERS: Final = len("2026-03-01T09:30:00")

HOUR_CHARACTERS: Final = len("2026-03-01T09")
"""Where the hour ends in a time's text, and the rest begins."""

REST_MS: Final = {f"{rest}Z": 1000 * second for second, rest in enumerate(_REST)}
"""Milliseconds of minute and second, as in `:30:00Z`."""

_hours: Final[dict[str, int]] = {}
_hour_texts: Final[dict[int, bytes]] = {}
hour_known: Final = _hours.get
"""Milliseconds of an hour in UTC, `2026-03-01T09`; None if it isn't among the last ones seen."""


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


def time_ms(text: str) -> int:
    """`parse_time`, quicker for the usual forms: seconds, or milliseconds, in UTC."""
    if len(text) == _MS_CHARACTERS:
        rest = REST_MS.get(text[HOUR_CHARACTERS:_SECOND_CHARACTERS] + text[-1])
        ms = _MS.get(text[_SECOND_CHARACTERS:-1])
    else:
        rest, ms = REST_MS.get(text[HOUR_CHARACTERS:]), 0
    if rest is None or ms is None:
        return parse_time(text)
    hour = text[:HOUR_CHARACTERS]
    known = hour_known(hour)
    return (_remember(_hours, hour, parse_time(hour + ":00:00Z")) if known is None else known) + rest + ms


def _remember(known: dict[_Hour, _Known], hour: _Hour, value: _Known) -> _Known:
    """Keep what is known of an hour, among the last ones."""
    if len(known) >= _HOURS_REMEMBERED_MAX:
        known.clear()
    known[hour] = value
    return value


def time_text(time_ms: int) -> bytes:
    """Return a time with milliseconds in UTC, as ASCII; of the years 1 to 9999.

    Examples
    --------
    >>> time_text(1_772_357_400_123)
    b'2026-03-01T09:30:00.123Z'
    """
    hours, rest_ms = divmod(time_ms, _HOUR_MS)
    second, ms = divmod(rest_ms, 1000)
    hour = _hour_texts.get(hours) or _remember(_hour_texts, hours, _hour_text(hours))
    return hour + _REST_BYTES[second] + _MS_BYTES[ms]


def _hour_text(hours: int) -> bytes:
    return datetime.fromtimestamp(hours * 3600, UTC).isoformat()[:HOUR_CHARACTERS].encode()
