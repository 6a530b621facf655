"""What an address of a source or a sink names: a file, a standard stream, or a Kafka topic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from headrace.errors import ConfigError, Invalid

__all__ = ["on_topics", "partition_name", "partition_of", "topic_of"]

_SCHEME: Final = "kafka:"
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PARTITION: Final = re.compile(r"kafka:([A-Za-z0-9._-]{1,249})/([0-9]{1,6})")


def topic_of(address: str) -> str | None:
    """Return the topic that an address names; None for a path."""
    return address.removeprefix(_SCHEME) if address.startswith(_SCHEME) else None


def partition_name(topic: str, partition: int) -> str:
    """How a state calls a partition among its sources."""
    return f"{_SCHEME}{topic}/{partition}"


def partition_of(name: str) -> tuple[str, int] | None:
    """Topic and partition of a source's name; None for a file."""
    found = _PARTITION.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def on_topics(sources: Sequence[str], to: str, dead_letters: str | None) -> bool:
    """Whether a run is on topics; else it is on files.

    Raises
    ------
    ConfigError
        If it is on both, or a topic can't be called so.
    """
    given = [*(("--from", each) for each in sources), ("--to", to)]
    if dead_letters is not None:
        given.append(("--dead-letters", dead_letters))
    topics = [(option, topic) for option, each in given if (topic := topic_of(each)) is not None]
    if not topics:
        return False
    wrong = [
        Invalid(
            option, "", f"{address}: a path; {topics[0][0]} names a topic, and a run has one or the other"
        )
        for option, address in given
        if topic_of(address) is None
    ]
    if dead_letters is None:
        wrong.append(Invalid("--dead-letters", "", "is required on topics, as kafka:TOPIC"))
    wrong += [
        Invalid(option, "", f"kafka:{topic}: a topic's name is letters, digits, dots, lines; 249 at most")
        for option, topic in topics
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}
    ]
    # A topic that is read twice would give each event twice, and a flow that reads what it writes never ends.
    names = [topic for _, topic in topics]
    wrong += [
        Invalid(option, "", f"kafka:{topic}: is named twice")
        for place, (option, topic) in enumerate(topics)
        if topic in names[:place]
    ]
    if wrong:
        raise ConfigError(wrong)
    return True
