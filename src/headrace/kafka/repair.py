"""Brings output topics to what the journals say, before a flow starts.

The topics are read back from the shards' output offsets; what the journals have behind them and the topics
lack is sent; then each shard notes new output offsets. Whatever interrupts that, it can be done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final, Protocol

import orjson

from headrace.config.private_files import make_folder
from headrace.journal.end import JournalEnd
from headrace.journal.records import NO_SOURCE, Kind, Record
from headrace.journal.scan import records_from
from headrace.journal.writer import JournalWriter
from headrace.operators.events.declared import BUILT_IN
from headrace.shard.acknowledged import OutputOffsets, note_of, output_offsets_of
from headrace.shard.noted_contract import contract_of_settings, noted_contract
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, MessageOf, Outgoing, outgoing_of

__all__ = ["Outlet", "Repaired", "repair"]

_log = logging.getLogger(__name__)
_RECORDS_AT_ONCE: Final = 1024
# Values are kept only of what was delivered and is in no journal; after the loss of a state that may be a
# whole topic.
_DELIVERED_MAX: Final = 100_000
_OUTPUTS: Final = (DECISIONS, DEAD_LETTERS)


class Outlet(Protocol):
    """What is asked of the broker."""

    def ends(self, topic: str) -> dict[int, int]:
        """Return the end of each partition."""
        ...

    def read_back(self, topic: str, starts: Mapping[int, int], quiet_ms: int) -> Iterator[str]:
        """Ids of the messages from the starts on, up to an end that has not moved for a while.

        Partitions that aren't named are read whole, and so is what is left where a start is no longer kept.
        """
        ...

    def values(
        self, topic: str, starts: Mapping[int, int], ids: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        """Of some messages from the starts on, by their ids, the values as text."""
        ...

    def send(self, output: str, topic: str, message: Outgoing) -> None:
        """Send one message; waits while too many are under way."""

    def flush(self) -> None:
        """Wait until everything that was sent stands in its topic."""


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes
    ----------
    read_back
        Messages that were read in the topics.
    sent
        Messages that they lacked, by output.
    ahead
        Ids that the topics have and no journal: of a time that the state has lost, because it was restored
        from a backup or the power failed. Their inputs come again, and must not lead to them a second time.
    delivered
        Of decisions among them what was delivered, by their ids; of the first 100,000.
    """

    read_back: int
    sent: Mapping[str, int]
    ahead: frozenset[str]
    delivered: Mapping[str, str] = field(default_factory=dict)


def repair(
    ends: Sequence[JournalEnd],
    topics: Mapping[str, str],
    outlet: Outlet,
    *,
    quiet_ms: int,
    message_of: MessageOf,
    line_bytes_max: int,
    open_writer: Callable[[JournalEnd], JournalWriter],
) -> Repaired:
    """Send what the topics lack, and note that they lack nothing.

    Parameters
    ----------
    ends
        Of all shards' journals; their processes are down.
    topics
        Where each output goes from now on.
    outlet
        The broker.
    quiet_ms
        A topic must have grown by nothing for so long before it is taken for complete: the last bytes of a
        killed process may still be on their way.
    message_of
        Makes the message of a decision.
    line_bytes_max
        Longer inputs were not looked into.
    open_writer
        Opens a shard's journal behind its end.

    Raises
    ------
    JournalDamaged
        If a journal can't be read.
    KafkaError
        If the broker doesn't take what is sent.
    """
    work = _Repair(outlet, quiet_ms, message_of, line_bytes_max)
    looked = [
        (topic, wanted, outlet.ends(topic))  # of all of them first: they are waited for together
        for topic, wanted in _by_topic(ends)
        if topic in topics.values() or _owing(wanted)  # an output of the past may be gone by now
    ]
    for topic, wanted, now in looked:
        starts = _starts(wanted, now)
        if starts is not None:
            work.mend(topic, wanted, starts)
    # Only what stands in its topic may be noted. Killed before, the next start reads back from the same
    # offsets and finds what was sent.
    outlet.flush()
    _note(ends, topics, outlet, work.held, open_writer)
    return Repaired(work.read_back, work.sent, frozenset(work.ahead), work.delivered)


class _Repair:
    """Compares topics with the journals, one after the other, and gathers what `Repaired` tells."""

    def __init__(self, outlet: Outlet, quiet_ms: int, message_of: MessageOf, line_bytes_max: int) -> None:
        self._outlet, self._quiet_ms = outlet, quiet_ms
        self._message_of, self._line_bytes_max = message_of, line_bytes_max
        self.read_back = 0
        self.sent = dict.fromkeys(_OUTPUTS, 0)
        self.ahead: set[str] = set()
        self.held: dict[str, Mapping[int, int]] = {}
        self.delivered: dict[str, str] = {}

    def mend(
        self, topic: str, wanted: Sequence[tuple[JournalEnd, OutputOffsets]], starts: Mapping[int, int]
    ) -> None:
        """Send what a topic lacks from the starts on, and keep what only the topic has."""
        # Ids alone: behind the output offsets may lie hours of messages, whose values are in the journals.
        there = set(self._outlet.read_back(topic, starts, self._quiet_ms))
        self.read_back += len(there)
        for end, offsets in wanted:
            for message in _owed(end, offsets, self._message_of, self._line_bytes_max):
                if message.id not in there:
                    self._outlet.send(offsets.output, topic, message)
                    self.sent[offsets.output] += 1
                there.discard(message.id)
        # These were delivered, and no journal has them: a crash took the frame, or the journals are an older
        # copy.
        if there:
            self.ahead |= there
            self.held[topic] = starts
            if any(offsets.output == DECISIONS for _, offsets in wanted):
                most = _DELIVERED_MAX - len(self.delivered)
                self.delivered |= dict(islice(self._outlet.values(topic, starts, there), most))


def _by_topic(
    ends: Sequence[JournalEnd],
) -> Iterator[tuple[str, list[tuple[JournalEnd, OutputOffsets]]]]:
    """Topics that the shards have output offsets for, with the shards and those."""
    pairs = [(end, output_offsets_of(note)) for end in ends for note in end.sinks.values()]
    # `groupby` joins neighbours alone, and both outputs may go to one topic.
    pairs.sort(key=lambda pair: (pair[1].topic, pair[1].output, pair[0].shard))
    for topic, group in groupby(pairs, key=lambda pair: pair[1].topic):
        yield topic, list(group)


def _owing(wanted: Sequence[tuple[JournalEnd, OutputOffsets]]) -> bool:
    """Whether a shard has journalled behind its output offsets."""
    return any(mark.ordinal < end.boundary.ordinal for end, mark in wanted)


def _starts(
    wanted: Sequence[tuple[JournalEnd, OutputOffsets]], ends: Mapping[int, int]
) -> dict[int, int] | None:
    """Where a topic is to be read back from, by partition; None if there is no need.

    There is one when a shard has journalled behind its output offsets, or the topic has grown behind all of
    them.
    """
    grown = any(end > max(mark.ends.get(each, 0) for _, mark in wanted) for each, end in ends.items())
    if not grown and not _owing(wanted):
        return None
    # A partition that is younger than the note is read from its beginning.
    return {each: min(mark.ends.get(each, 0) for _, mark in wanted) for each in sorted(ends)}


def _owed(
    end: JournalEnd, offsets: OutputOffsets, message_of: MessageOf, line_bytes_max: int
) -> Iterator[Outgoing]:
    # What is owed nearly always comes of the last run, whose contract the journal's end tells.
    contract = BUILT_IN if end.provenance is None else contract_of_settings(end.provenance.settings)
    for records in _in_portions(records_from(end.directory, offsets.ordinal)):
        contract = noted_contract(records[0]) or contract if records else contract
        messages = outgoing_of(records, end.shard, end.names, message_of, line_bytes_max, contract)
        for output, _, message in messages:
            if output == offsets.output:
                yield message


def _in_portions(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yield records some at a time; one that notes a contract is the first of its portion."""
    portion: list[Record] = []
    for record in records:
        if portion and (len(portion) == _RECORDS_AT_ONCE or noted_contract(record) is not None):
            yield portion
            portion = []
        portion.append(record)
    yield portion


def _note(
    ends: Sequence[JournalEnd],
    topics: Mapping[str, str],
    outlet: Outlet,
    held: Mapping[str, Mapping[int, int]],
    open_writer: Callable[[JournalEnd], JournalWriter],
) -> None:
    """Journal new output offsets in every shard that needs some, at its end.

    Where a topic is ahead of the journals, they keep the place from which it was read back: a crash before
    all of that has come again must find it again.
    """
    # Where a topic holds what no journal has, the old offsets stay: the inputs of those messages come again,
    # and after another crash they must be found again.
    now = {topic: held.get(topic) or outlet.ends(topic) for topic in topics.values()}
    for end in ends:
        ordinal = end.boundary.ordinal
        notes = [
            note_of(OutputOffsets(output, topic, now[topic], ordinal)) for output, topic in topics.items()
        ]
        news = [note for note in notes if end.sinks.get(note["output"]) != note]
        if news:
            make_folder(end.directory)
            with closing(open_writer(end)) as writer:
                for note in news:
                    _append(writer, ordinal, note)


def _append(writer: JournalWriter, ordinal: int, note: Mapping[str, Any]) -> None:
    record = Record(Kind.CONTROL, 0, NO_SOURCE, ordinal, 0, 0, orjson.dumps(note), b"", b"")
    now_ms = time.time_ns() // 1_000_000
    writer.append([record], ordinal_first=ordinal, ordinal_next=ordinal, accepted_ms=now_ms, marks=())
