"""What goes out to a topic for an input: a message's key, identity and value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from headrace.config.addresses import partition_of
from headrace.config.kafka import KafkaSettings
from headrace.config.tables import RunSettings
from headrace.journal.passed_headers import PassedHeaders
from headrace.journal.records import COMMAND, RETRIED, SKIPPED, Kind, Record
from headrace.operators.events.declared import BUILT_IN, Contract
from headrace.shard.decision_line import decision_id, lines_of
from headrace.shard.kinds import kind_of

__all__ = [
    "DEAD_LETTERS",
    "DECISIONS",
    "DECISION_BYTES_MAX",
    "MessageOf",
    "Outgoing",
    "dead_letter_id",
    "decided_on",
    "line_bytes_max",
    "message_bytes_needed",
    "outgoing_of",
]

DECISIONS: Final = "decisions"
DEAD_LETTERS: Final = "dead_letters"
DECISION_BYTES_MAX: Final = 16_384
"""What a decision may take without lists: ids of 128 characters, which as JSON may take six bytes each."""
_FRAME_BYTES: Final = 4096  # what protocol, key and headers of a message take
_OUTPUTS: Final = {int(Kind.DECIDED): DECISIONS, int(Kind.DEAD): DEAD_LETTERS}


def message_bytes_needed(settings: RunSettings) -> int:
    """How large the messages may be that a flow has to send, whatever comes in.

    A dead letter can be cut, a decision can't; its size has a bound, as whatever stands in it has one.
    """
    around = _FRAME_BYTES + settings.kafka.pass_headers_bytes_max
    return around + kind_of(settings).decision_bytes_max(settings)


def line_bytes_max(message_bytes_max: int, kafka: KafkaSettings) -> int:
    """How long a line may be, with its newline, so that it fits into a message together with its headers."""
    return message_bytes_max - _FRAME_BYTES - kafka.pass_headers_bytes_max


class Outgoing(Struct, frozen=True, gc=False):
    """A message.

    Attributes
    ----------
    key
        What its partition is chosen by; None for any.
    id
        What it is known by: it goes out once.
    line
        Its value, as the journal has it: with a newline.
    event_time
        Of a decision: the time of the event that was decided, milliseconds since the epoch.
    headers
        Those of the input's message that go on.
    """

    key: bytes | None
    id: str
    line: bytes
    event_time: int = 0
    headers: PassedHeaders = []


def dead_letter_id(name: str, offset: int, flags: int, place: tuple[int, int]) -> str:
    """Return what a dead letter is known by.

    Parameters
    ----------
    name, offset
        The source of its input, and where it stood there.
    flags
        Of its record. What isn't read from a partition may come from the same place more than once, and what
        every shard passes over has a letter from each; then its place in the state makes the difference.
    place
        Shard and ordinal.
    """
    stood = partition_of(name)
    known = f"{name}/{offset}" if stood is None else f"{stood[0]}/{stood[1]}/{offset}"
    # The same place may lead to several letters: the input's own, and one for each time it was tried again.
    if flags & (RETRIED | COMMAND | SKIPPED) or stood is None:
        return f"{known}#{place[0]}.{place[1]}"
    return known


MessageOf = Callable[[Any, bytes], Outgoing]
"""Makes the message of a decision from what was decided on, and its line."""


def decided_on(event: Any, line: bytes) -> Outgoing:
    """Return the message of a decision: its key is the event's customer."""
    customer = getattr(event, "customer_id", None)
    key = None if customer is None else str(customer).encode()
    return Outgoing(key, decision_id(line), line, event.event_time)


def outgoing_of(
    records: Sequence[Record],
    shard: int,
    names: Mapping[int, str],
    message_of: MessageOf,
    line_bytes_max: int,
    contract: Contract = BUILT_IN,
) -> Iterator[tuple[str, Record, Outgoing]]:
    """Messages of journalled records, each with which output it is for; none for what was erased.

    Inputs are decoded with a contract that was in force for all of them.
    """
    for record in records:
        output = _OUTPUTS.get(record.kind)
        if output is None or record.erased:
            continue
        if output is DECISIONS:
            event = contract.decode_one(record.input, line_bytes_max)
            for line in lines_of(record.output):
                message = message_of(event, line)
                yield output, record, replace(message, headers=record.headers) if record.headers else message
        else:
            place = shard, record.ordinal
            name = names.get(record.source, "")
            known = dead_letter_id(name, record.offset, record.flags, place)
            yield output, record, Outgoing(None, known, record.output, 0, record.headers)
