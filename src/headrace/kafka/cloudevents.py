"""Headers of messages, as the CloudEvents binding to Kafka has them."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from headrace.operators.events.timestamps import time_text

__all__ = ["ID", "Headers", "Headings", "id_in"]

Header: TypeAlias = tuple[str, str | bytes | None]
Headers: TypeAlias = list[Header]

ID: Final = "ce_id"
"""The header with an event's id; a decision's is its `decision_id`."""

_SPECVERSION: Final = ("ce_specversion", b"1.0")
_JSON: Final = ("content-type", b"application/json")
_DEAD_LETTER: Final = ("ce_type", b"headrace.dead_letter")


class _Refused(msgspec.Struct, gc=False):
    reason: str


_refusal: Final = msgspec.json.Decoder(_Refused)


class Headings:
    """Headers of the messages of one source.

    Parameters
    ----------
    source
        The configuration's `ce_source`.

    References
    ----------
    CloudEvents 1.0.2, and its Kafka protocol binding, binary content mode.
    """

    def __init__(self, source: str) -> None:
        self._source: Header = ("ce_source", source.encode())
        self._types: dict[str, Header] = {}

    def of_decision(self, decision_id: str, event_time: int) -> Headers:
        """Headers of a decision.

        The time is that of the event that was decided: a decision that is sent again has the same headers.

        Parameters
        ----------
        decision_id
            The decision's id: its kind and the event's id, joined by a colon.
        event_time
            The event's time, milliseconds since the epoch.

        Examples
        --------
        >>> for name, value in Headings("/headrace/fraud").of_decision("fraud:p-1", 1_772_357_400_000):
        ...     print(f"{name}: {value.decode()}")
        ce_specversion: 1.0
        ce_id: fraud:p-1
        ce_source: /headrace/fraud
        ce_type: headrace.decision.fraud
        ce_time: 2026-03-01T09:30:00.000Z
        content-type: application/json
        """
        kind = decision_id.partition(":")[0]
        return [
            _SPECVERSION,
            (ID, decision_id.encode()),
            self._source,
            self._types.get(kind) or self._type(kind),
            ("ce_time", time_text(event_time)),
            _JSON,
        ]

    def _type(self, kind: str) -> Header:
        # Flows decide on a few kinds of event, so each header is made once and not for each message.
        self._types[kind] = found = ("ce_type", f"headrace.decision.{kind}".encode())
        return found

    def of_dead_letter(self, line: bytes, topic: str, partition: int, offset: int) -> Headers:
        """Headers of a dead letter.

        Parameters
        ----------
        line
            The dead letter as JSON.
        topic, partition, offset
            Where its input stands.

        Examples
        --------
        >>> headings = Headings("/headrace/fraud")
        >>> for name, value in headings.of_dead_letter(b'{"reason":"not_json"}', "payments", 3, 17):
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
        return [
            _SPECVERSION,
            (ID, "/".join(place.values()).encode()),
            self._source,
            _DEAD_LETTER,
            *((f"headrace_{name}", value.encode()) for name, value in about.items()),
            _JSON,
        ]


def id_in(headers: object) -> str | None:
    """Return the event's id among the headers of a message that was read; None if it has none."""
    for name, value in headers if isinstance(headers, list) else ():
        if name == ID and isinstance(value, bytes):
            return value.decode(errors="replace")
    return None
