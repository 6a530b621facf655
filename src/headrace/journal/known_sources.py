"""The sources that a state has read, as its notes and checkpoints tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["KnownSources", "source_note"]


class KnownSources:
    """Sources that a state has read, by number.

    Attributes
    ----------
    names
        Their names.
    topic_ids
        Of partitions what the brokers call their topics.
    since_ms
        Of partitions when the state came to know them, milliseconds since the epoch; earlier versions noted
        neither of the two.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.topic_ids: dict[int, str] = {}
        self.since_ms: dict[int, int] = {}

    def take(self, note: Mapping[str, Any]) -> bool:
        """Take in what a note says; whether that was new."""
        number, topic_id = note["number"], note.get("topic_id")
        known = self.names.get(number), self.topic_ids.get(number)
        self.names[number] = note["name"]
        if topic_id is not None:
            self.topic_ids[number] = topic_id
        if "since_ms" in note:
            # The first time holds; noted anew after a restart, a topic doesn't become younger.
            self.since_ms.setdefault(number, note["since_ms"])
        return known != (self.names[number], self.topic_ids.get(number))

    def notes(self) -> list[dict[str, Any]]:
        """Return a note of each."""
        return [
            source_note(number, name, self.topic_ids.get(number), self.since_ms.get(number))
            for number, name in self.names.items()
        ]

    def known_since_ms(self) -> dict[int, int]:
        """For each partition since when the state knows its topic, 0 if that was not noted."""
        topics: dict[str, int] = {}
        for number, name in self.names.items():
            topic, since_ms = _topic(name), self.since_ms.get(number, 0)
            topics[topic] = min(topics.get(topic, since_ms), since_ms)
        return {number: topics[_topic(name)] for number, name in self.names.items()}

    def header(self) -> dict[str, Any]:
        """As checkpoints have it."""
        ids = {str(number): topic_id for number, topic_id in self.topic_ids.items()}
        names = {str(number): name for number, name in self.names.items()}
        since_ms = {str(number): since for number, since in self.since_ms.items()}
        more = {"topic_ids": ids, "sources_since_ms": since_ms}
        return {"sources": names, **{key: value for key, value in more.items() if value}}

    def load(self, header: Mapping[str, Any]) -> None:
        """Take up what a checkpoint has."""
        self.names = {int(number): name for number, name in header["sources"].items()}
        self.topic_ids = {int(number): known for number, known in header.get("topic_ids", {}).items()}
        self.since_ms = {int(number): since for number, since in header.get("sources_since_ms", {}).items()}


def source_note(number: int, name: str, topic_id: str | None, since_ms: int | None = None) -> dict[str, Any]:
    """Return the note that a journal keeps of a source.

    Of a partition `topic_id` is what brokers call its topic, and `since_ms` when the state came to know it.
    """
    known = {"topic_id": topic_id, "since_ms": since_ms}
    given = {key: value for key, value in known.items() if value is not None}
    return {"control": "source", "number": number, "name": name, **given}


def _topic(name: str) -> str:
    return name.rpartition("/")[0]
