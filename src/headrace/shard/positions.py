"""Where partitions are read from, as the journals of all shards say, or a run's first choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from headrace.config.addresses import partition_name, partition_of
from headrace.errors import OffsetLost, StateMismatch
from headrace.journal.batches import Mark
from headrace.journal.end import JournalEnd
from headrace.journal.records import CONTROL_SOURCE

__all__ = [
    "Held",
    "Plan",
    "PlannedPartition",
    "as_json",
    "from_json",
    "partitions_known",
    "plan_of",
    "topic_id_known",
]

Held: TypeAlias = tuple[int, int]
"""The first offset that a partition holds, and the one after its last."""


@dataclass(frozen=True)
class PlannedPartition:
    """A partition of an input topic.

    Attributes
    ----------
    number
        Of the source in the state.
    topic, partition
        Which one.
    start
        Offset of the first message to read.
    lost
        So many messages before it were deleted unread, and are passed over.
    end
        Where the partition ended when the run began.
    topic_id
        What the brokers call the topic; None if that isn't known.
    """

    number: int
    topic: str
    partition: int
    start: int
    lost: int = 0
    end: int = 0
    topic_id: str | None = None

    @property
    def name(self) -> str:
        """How the state calls it."""
        return partition_name(self.topic, self.partition)

    @property
    def mark(self) -> Mark:
        """The start as a mark."""
        return Mark(self.number, self.start, 0, 0)


@dataclass(frozen=True)
class Plan:
    """What a run reads.

    Attributes
    ----------
    partitions
        In the order of the topics as given, then by partition.
    control
        Number of the last file of commands that every shard has.
    ahead
        Ids that the outputs have, though no journal has: they are not sent a second time.
    delivered
        Of decisions among them what was delivered, as far as it is known.
    bytes_max
        How large a batch of messages each output's topic takes, where that is known.
    """

    partitions: tuple[PlannedPartition, ...]
    control: int
    ahead: frozenset[str] = frozenset()
    bytes_max: Mapping[str, int] = field(default_factory=dict)
    delivered: Mapping[str, str] = field(default_factory=dict)


def partitions_known(ends: Sequence[JournalEnd], topic: str) -> int:
    """How many partitions of a topic the state has read.

    Raises
    ------
    StateMismatch
        If the state has read files.
    """
    return sum(1 for name in _numbers(ends) if (found := partition_of(name)) and found[0] == topic)


def topic_id_known(ends: Sequence[JournalEnd], topic: str) -> str | None:
    """Return what the brokers called a topic when the state read it; None if that isn't known."""
    for end in ends:
        for number, topic_id in end.topic_ids.items():
            found = partition_of(end.names.get(number, ""))
            if found and found[0] == topic:
                return topic_id
    return None


def plan_of(
    ends: Sequence[JournalEnd],
    held: Mapping[str, Mapping[int, Held]],
    first: Callable[[str, Iterable[int]], Mapping[int, int]],
    loss: Callable[[str, int, int, Held], str | None],
    *,
    accept_lost: bool,
    topic_ids: Mapping[str, str] | None = None,
) -> Plan:
    """Find where each partition of the input topics is to be read from.

    A shard may have read further than another; the lowest of their marks is where a partition begins. A
    partition of which none has a mark begins where the run says, but one that was added to a topic which the
    state has read before begins at its beginning: nothing in it was read.

    Parameters
    ----------
    ends
        Of all shards' journals.
    held
        For each input topic, what its partitions hold.
    first
        Where to begin in partitions of a topic that the state doesn't know.
    loss
        What to say of a topic, partition and offset that isn't held; None if it is.
    accept_lost
        Go on where messages were deleted before they were read.
    topic_ids
        What the brokers call the topics.

    Raises
    ------
    StateMismatch
        If the state has read files.
    OffsetLost
        With all offsets that can't be read from.
    """
    numbers = _numbers(ends)
    partitions: list[PlannedPartition] = []
    losses: list[str] = []
    for topic, kept in held.items():
        known = partitions_known(ends, topic) > 0
        marks = {each: _lowest(ends, numbers.get(partition_name(topic, each))) for each in kept}
        new = [each for each, mark in marks.items() if mark is None]
        # A partition that was added to a topic we know holds only what came since; `--start` is for topics we
        # don't.
        chosen = {each: kept[each][0] for each in new} if known else first(topic, new)
        for each, mark in marks.items():
            # Numbers stand in journals, so a known partition keeps its own and new ones follow behind all
            # others.
            number = numbers.setdefault(partition_name(topic, each), len(numbers))
            wanted = chosen[each] if mark is None else mark
            start = max(wanted, kept[each][0]) if accept_lost else wanted
            if said := loss(topic, each, start, kept[each]):
                losses.append(said)
            topic_id = (topic_ids or {}).get(topic)
            lost, end = start - wanted, kept[each][1]
            partitions.append(PlannedPartition(number, topic, each, start, lost, end, topic_id))
    if losses:
        raise OffsetLost(losses)
    return Plan(tuple(partitions), _control(ends))


def _numbers(ends: Sequence[JournalEnd]) -> dict[str, int]:
    """Numbers of the sources that the state knows, by name."""
    names: dict[int, str] = {}
    for end in ends:
        names |= end.names
    files = [name for name in names.values() if partition_of(name) is None]
    if files:
        raise StateMismatch([f"the state has read {name}; it can't go on with topics" for name in files[:3]])
    return {name: number for number, name in names.items()}


def _lowest(ends: Sequence[JournalEnd], number: int | None) -> int | None:
    """Return the lowest mark of a source; shards that have none were never begun."""
    if number is None:
        return None
    return min((end.marks[number].offset for end in ends if number in end.marks), default=None)


def _control(ends: Sequence[JournalEnd]) -> int:
    """Return the last file of commands that every shard has."""
    marks = [end.marks.get(CONTROL_SOURCE) for end in ends]
    return min((mark.offset if mark else 0 for mark in marks), default=0)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan to be handed to another process."""
    partitions = [
        [each.number, each.topic, each.partition, each.start, each.lost, each.end, each.topic_id]
        for each in plan.partitions
    ]
    more = {"ahead": sorted(plan.ahead), "bytes_max": dict(plan.bytes_max), "delivered": dict(plan.delivered)}
    return {"partitions": partitions, "control": plan.control, **more}


def from_json(found: Mapping[str, Any]) -> Plan:
    """Return a plan that another process has made."""
    partitions = tuple(PlannedPartition(*each) for each in found["partitions"])
    return Plan(
        partitions, found["control"], frozenset(found["ahead"]), found["bytes_max"], found["delivered"]
    )
