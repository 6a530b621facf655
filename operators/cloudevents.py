"""Headers of messages, as the CloudEvents binding to Kafka has them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

__all__ = ["ID", "Headers", "dead_letter_headers", "decision_headers", "id_in"]

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

ID: Final = "ce_id"
"""The header with an event's id; a decision's is its `decision_id`."""

_SPECVERSION: Final = ("ce_specversion", b"1.0")
_JSON: Final = ("content-type", b"application/json")


class _Decided(msgspec.Struct, gc=False):
    decision_id: str
    event_time: int
    kind: str


class _Refused(msgspec.Struct, gc=False):
    reason: str


_decision: Final = msgspec.json.Decoder(_Decided)
_refusal: Final = msgspec.json.Decoder(_Refused)


def decision_headers(line: bytes, source: str) -> Headers:
    """Headers of a decision.

    The time is that of the event that was decided: a decision that is sent again has the same headers.

    Parameters
    ----------
    line
        The decision as JSON.
    source
        The configuration's `ce_source`.

    References
    ----------
    CloudEvents 1.0.2, and its Kafka protocol binding, binary content mode.

    Examples
    --------
    >>> line = b'{"decision_id":"fraud:p-1","event_time":1772357400000,"kind":"fraud"}'
    >>> for name, value in decision_headers(line, "/headrace/fraud"):
    ...     print(f"{name}: {value.decode()}")
    ce_specversion: 1.0
    ce_id: fraud:p-1
    ce_source: /headrace/fraud
    ce_type: headrace.decision.fraud
    ce_time: 2026-03-01T09:30:00.000Z
    content-type: application/json
    """
    decided = _decision.decode(line)
    time = ("ce_time", _rfc3339(decided.event_time))
    return [*_attributes(decided.decision_id, source, f"headrace.decision.{decided.kind}"), time, _JSON]


def dead_letter_headers(line: bytes, source: str, topic: str, partition: int, offset: int) -> Headers:
    """Headers of a dead letter.

    Parameters
    ----------
    line
        The dead letter as JSON.
    source
        The configuration's `ce_source`.
    topic, partition, offset
        Where its input stands.

    Examples
    --------
    >>> line = b'{"reason":"not_json"}'
    >>> for name, value in dead_letter_headers(line, "/headrace/fraud", "payments", 3, 17):
    ...     print(f"{name}: {value.decode()}")
    ce_specversion: 1.0
    ce_id: payments/3/17
    ce_source: /headrace/fraud
    ce_type: headrace.dead_letter
    headrace_reason: not_json
    headrace_topic: payments
    headrace_partition: 3
    headrace_offset: 17
    content-type: application/json
    """
    place = {"topic": topic, "partition": str(partition), "offset": str(offset)}
    about = {"reason": _refusal.decode(line).reason, **place}
    own: Headers = [(f"headrace_{name}", value.encode()) for name, value in about.items()]
    return [*_attributes("/".join(place.values()), source, "headrace.dead_letter"), *own, _JSON]


def _attributes(event_id: str, source: str, kind: str) -> Headers:
    return [
        _SPECVERSION,
        (ID, event_id.encode()),
        *_origin(source, kind),
    ]


@lru_cache(64)
def _origin(source: str, kind: str) -> Headers:
    """What the messages of one flow have in common."""
    return [("ce_source", source.encode()), ("ce_type", kind.encode())]


def _rfc3339(time_ms: int) -> bytes:
    seconds, ms = divmod(time_ms, 1000)
    return b"%b.%03dZ" % (_second(seconds), ms)


@lru_cache(1024)
def _second(seconds: int) -> bytes:
    """Many events fall into one second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19].encode()


def id_in(headers: object) -> str | None:
    """The event's id among the headers of a message that was read; None if it has none."""
    for name, value in headers if isinstance(headers, list) else ():
        if name == ID and isinstance(value, bytes):
            return value.decode(errors="replace")
    return None
