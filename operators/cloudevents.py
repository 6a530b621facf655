"""Headers of messages, as the CloudEvents binding to Kafka has them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from headrace.operators.rfc3339 import time_text

__all__ = ["ID", "Headers", "dead_letter_headers", "decision_headers", "id_in"]

Header: TypeAlias = tuple[str, str | bytes | None]
Headers: TypeAlias = list[Header]

ID: Final = "ce_id"
"""The header with an event's id; a decision's is its `decision_id`."""

_SPECVERSION: Final = ("ce_specversion", b"1.0")
_JSON: Final = ("content-type", b"application/json")


class _Refused(msgspec.Struct, gc=False):
    reason: str


_refusal: Final = msgspec.json.Decoder(_Refused)


def decision_headers(decision_id: str, event_time: int, source: str) -> Headers:
    """Headers of a decision.

    The time is that of the event that was decided: a decision that is sent again has the same headers.

    Parameters
    ----------
    decision_id
        The decision's id: its kind and the event's id, joined by a colon.
    event_time
        The event's time, milliseconds since the epoch.
    source
        The configuration's `ce_source`.

    References
    ----------
    CloudEvents 1.0.2, and its Kafka protocol binding, binary content mode.

    Examples
    --------
    >>> for name, value in decision_headers("fraud:p-1", 1_772_357_400_000, "/headrace/fraud"):
    ...     print(f"{name}: {value.decode()}")
    ce_specversion: 1.0
    ce_id: fraud:p-1
    ce_source: /headrace/fraud
    ce_type: headrace.decision.fraud
    ce_time: 2026-03-01T09:30:00.000Z
    content-type: application/json
    """
    where, what = _decisions(source, decision_id[: decision_id.index(":")])
    return [
        _SPECVERSION,
        (ID, decision_id.encode()),
        where,
        what,
        ("ce_time", time_text(event_time)),
        _JSON,
    ]


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
    return [_SPECVERSION, (ID, event_id.encode()), *_origin(source, kind)]


def _origin(source: str, kind: str) -> tuple[Header, Header]:
    return ("ce_source", source.encode()), ("ce_type", kind.encode())


@lru_cache(64)
def _decisions(source: str, kind: str) -> tuple[Header, Header]:
    """What the decisions of one flow have in common."""
    return _origin(source, f"headrace.decision.{kind}")


def id_in(headers: object) -> str | None:
    """The event's id among the headers of a message that was read; None if it has none."""
    for name, value in headers if isinstance(headers, list) else ():
        if name == ID and isinstance(value, bytes):
            return value.decode(errors="replace")
    return None
