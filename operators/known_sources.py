"""The sources that a state has read, as its notes and checkpoints tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["KnownSources", "source_note"]


class KnownSources:
    """Sources that a state has read, by number: names, and of partitions the ids of their topics."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.topic_ids: dict[int, str] = {}

    def take(self, note: Mapping[str, Any]) -> bool:
        """Take in what a note says; whether that was new."""
        number, topic_id = note["number"], note.get("topic_id")
        known = self.names.get(number), self.topic_ids.get(number)
        self.names[number] = note["name"]
        if topic_id is not None:  # earlier versions noted none
            self.topic_ids[number] = topic_id
        return known != (self.names[number], self.topic_ids.get(number))

    def notes(self) -> list[dict[str, Any]]:
        """A note of each."""
        return [source_note(number, name, self.topic_ids.get(number)) for number, name in self.names.items()]

    def header(self) -> dict[str, Any]:
        """As checkpoints have it."""
        ids = {str(number): topic_id for number, topic_id in self.topic_ids.items()}
        names = {str(number): name for number, name in self.names.items()}
        return {"sources": names, **({"topic_ids": ids} if ids else {})}

    def load(self, header: Mapping[str, Any]) -> None:
        """Take up what a checkpoint has."""
        self.names = {int(number): name for number, name in header["sources"].items()}
        self.topic_ids = {int(number): known for number, known in header.get("topic_ids", {}).items()}


def source_note(number: int, name: str, topic_id: str | None) -> dict[str, Any]:
    """The note that a journal keeps of a source; `topic_id` is what brokers call a partition's topic."""
    known = {} if topic_id is None else {"topic_id": topic_id}
    return {"control": "source", "number": number, "name": name, **known}
