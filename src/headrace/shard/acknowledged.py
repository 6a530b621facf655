"""Acknowledged output offsets of topics: from where on a topic may lack what a journal says.

They are journalled by each shard for each of its outputs. Everything that the shard's inputs before its
`ordinal` led to is in the topic; whatever comes of later ones stands in no partition before its `ends`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Acknowledged", "OutputOffsets", "note_of", "output_offsets_of"]


class OutputOffsets(NamedTuple):
    """How far an output is complete.

    Attributes
    ----------
    output
        `decisions` or `dead_letters`.
    topic
        Where it goes.
    ends
        For each partition the offset before which nothing of later inputs stands.
    ordinal
        Of the first input that may lack its output.
    """

    output: str
    topic: str
    ends: Mapping[int, int]
    ordinal: int


def note_of(offsets: OutputOffsets) -> dict[str, Any]:
    """Return the note that a journal keeps of it."""
    ends = {str(partition): offsets.ends[partition] for partition in sorted(offsets.ends)}
    return {
        "control": "sink",
        "output": offsets.output,
        "topic": offsets.topic,
        "ends": ends,
        "ordinal": offsets.ordinal,
    }


def output_offsets_of(note: Mapping[str, Any]) -> OutputOffsets:
    """Return what a journal's note says."""
    ends = {int(partition): offset for partition, offset in note["ends"].items()}
    return OutputOffsets(note["output"], note["topic"], ends, note["ordinal"])


@dataclass
class _Asked:
    """Output offsets that wait for what was sent before it."""

    ordinals: dict[int, int]
    ends: dict[int, int]


class Acknowledged:
    """What one process has sent to one topic, and what the topic has acknowledged.

    Acknowledgements come in order within a partition only. So everything is counted in the section in which
    it was sent: `ask` ends a section, and the output offsets it asks for are good once that section and all
    before it are acknowledged.

    Parameters
    ----------
    ends
        Where each partition ended when nothing was sent yet.

    Attributes
    ----------
    held
        Ends that output offsets are to have in place of those that were acknowledged; None for no such.
    """

    def __init__(self, ends: Mapping[int, int]) -> None:
        self.ends = dict(ends)
        self.held: Mapping[int, int] | None = None
        self.section = 0
        self._open: Counter[int] = Counter()
        self._reached: dict[int, int] = {}
        self._asked: deque[tuple[int, _Asked]] = deque()

    def sent(self, count: int = 1) -> Callable[[int, int], None]:
        """Count messages; what it gives is to be told partition and offset of each that stands there."""
        section, open_, ends = self.section, self._open, self.ends
        open_[section] += count

        # Called for each message: what it needs is at hand.
        def acknowledged(partition: int, offset: int) -> None:
            open_[section] -= 1
            if offset >= ends.get(partition, 0):
                ends[partition] = offset + 1

        return acknowledged

    def reached(self, shard: int, ordinal_next: int) -> None:
        """Everything of a shard's inputs before an ordinal was sent."""
        self._reached[shard] = ordinal_next

    def ask(self) -> None:
        """Begin output offsets: they will be as things stand now."""
        ends = self.ends if self.held is None else self.held
        # Messages of several sections are under way at once. The copy is good only when its own section, and
        # all before it, are acknowledged; later ones don't hold it up.
        self._asked.append((self.section, _Asked(dict(self._reached), dict(ends))))
        self.section += 1

    @property
    def asking(self) -> bool:
        """Whether output offsets still wait."""
        return bool(self._asked)

    def answer(self) -> tuple[Mapping[int, int], Mapping[int, int]] | None:
        """Ordinals by shard, and ends by partition, of the newest output offsets that have become good."""
        good = None
        while self._asked and self._settled(self._asked[0][0]):
            good = self._asked.popleft()[1]
        return None if good is None else (good.ordinals, good.ends)

    def _settled(self, section: int) -> bool:
        while self._open and (first := min(self._open)) <= section:
            # Sections are settled in order only: a gap in an older one means that its messages may still be
            # written behind the ends.
            if self._open[first]:
                return False
            del self._open[first]
        return True
