"""Where partitions are read from, as the journals of all shards say, or a run's first choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.errors import StateMismatch
from headrace.operators.addresses import partition_name, partition_of
from headrace.operators.batches import Mark
from headrace.operators.journal import CONTROL_SOURCE
from headrace.operators.journal_end import JournalEnd

__all__ = ["Gap", "Partition", "Plan", "as_json", "from_json", "plan_of"]

_EARLIEST: Final = "earliest"


@dataclass(frozen=True)
class Partition:
    """A partition of an input topic.

    Attributes
    ----------
    number
        Of the source in the state.
    topic, partition
        Which one.
    start
        Offset of the first message to read.
    """

    number: int
    topic: str
    partition: int
    start: int

    @property
    def name(self) -> str:
        """How the state calls it."""
        return partition_name(self.topic, self.partition)

    @property
    def mark(self) -> Mark:
        """The start as a mark."""
        return Mark(self.number, self.start, 0, 0)


@dataclass(frozen=True)
class Gap:
    """Messages that a state has not read and that a topic no longer has."""

    name: str
    wanted: int
    first: int
    end: int

    def __str__(self) -> str:
        if self.wanted > self.end:
            return (
                f"{self.name}: the state has read up to offset {self.wanted}, but the partition ends at"
                f" {self.end}: the topic was made anew or cut"
            )
        return (
            f"{self.name}: the state has read up to offset {self.wanted}, but the partition begins at"
            f" {self.first}: {self.first - self.wanted} messages were deleted unread"
        )


@dataclass(frozen=True)
class Plan:
    """What a run reads.

    Attributes
    ----------
    partitions
        In the order of the topics as given, then by partition.
    control
        Number of the last file of commands that every shard has.
    gaps
        Partitions that don't have what would come next.
    """

    partitions: tuple[Partition, ...]
    control: int
    gaps: tuple[Gap, ...] = field(default=())


def plan_of(
    ends: Sequence[JournalEnd],
    counts: Mapping[str, int],
    bounds: Callable[[str], Mapping[int, tuple[int, int]]],
    first: Callable[[str, Iterable[int]], Mapping[int, int]],
) -> Plan:
    """Find where each partition of the input topics is to be read from.

    A shard may have read further than another; the lowest of their marks is where a partition begins. A
    partition of which none has a mark begins where the run says, but one that was added to a topic which the
    state has read before begins at its beginning: nothing in it was read.

    Parameters
    ----------
    ends
        Of all shards' journals.
    counts
        How many partitions each input topic has.
    bounds
        The first offset that each partition of a topic still has, and its end.
    first
        Where to begin in partitions that the state doesn't know.

    Raises
    ------
    StateMismatch
        If the state has read files.
    """
    names: dict[int, str] = {}
    for end in ends:
        names |= end.names
    _on_topics_only(names)
    numbers = {name: number for number, name in names.items()}
    partitions: list[Partition] = []
    gaps: list[Gap] = []
    for topic, count in counts.items():
        known = any(partition_of(name) == (topic, 0) for name in numbers)
        starts = {each: _lowest(ends, numbers.get(partition_name(topic, each))) for each in range(count)}
        kept = bounds(topic)
        new = [each for each, start in starts.items() if start is None]
        chosen = {each: kept[each][0] for each in new} if known else first(topic, new)
        for each in range(count):
            name = partition_name(topic, each)
            number = numbers.setdefault(name, len(numbers))
            start = starts[each]
            if start is None:
                start = chosen[each]
            elif not kept[each][0] <= start <= kept[each][1]:
                gaps.append(Gap(name, start, *kept[each]))
                start = kept[each][0]
            partitions.append(Partition(number, topic, each, start))
    return Plan(tuple(partitions), _control(ends), tuple(gaps))


def _on_topics_only(names: Mapping[int, str]) -> None:
    files = [name for name in names.values() if partition_of(name) is None]
    if files:
        raise StateMismatch([f"the state has read {name}; it can't go on with topics" for name in files[:3]])


def _lowest(ends: Sequence[JournalEnd], number: int | None) -> int | None:
    """The lowest mark of a source; shards that have none were never begun."""
    if number is None:
        return None
    marks = [end.marks[number].offset for end in ends if number in end.marks]
    return min(marks, default=None)


def _control(ends: Sequence[JournalEnd]) -> int:
    return min((end.marks[CONTROL_SOURCE].offset if CONTROL_SOURCE in end.marks else 0 for end in ends), default=0)


def as_json(plan: Plan) -> dict[str, Any]:
    """A plan to be handed to another process."""
    return {
        "partitions": [[each.number, each.topic, each.partition, each.start] for each in plan.partitions],
        "control": plan.control,
        "gaps": [[each.name, each.wanted, each.first, each.end] for each in plan.gaps],
    }


def from_json(found: Mapping[str, Any]) -> Plan:
    """A plan that another process has made."""
    partitions = tuple(Partition(*each) for each in found["partitions"])
    return Plan(partitions, found["control"], tuple(Gap(*each) for each in found["gaps"]))
