"""Brings output topics to what the journals say, before a flow starts.

The topics are read back from the shards' watermarks; what the journals have behind them and the topics lack
is sent; then each shard notes a new watermark. Whatever interrupts that, it can be done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

import orjson

from headrace.operators.journal import NO_SOURCE, JournalWriter, Kind, Record
from headrace.operators.journal_end import JournalEnd
from headrace.operators.outgoing import DEAD_LETTERS, DECISIONS, Outgoing, outgoing_of
from headrace.operators.past import records_from
from headrace.operators.watermarks import Watermark, note_of, watermark_of

__all__ = ["Outlet", "Repaired", "clean", "repair"]

_log = logging.getLogger(__name__)
_RECORDS_AT_ONCE: Final = 1024
_OUTPUTS: Final = (DECISIONS, DEAD_LETTERS)


class Outlet(Protocol):
    """What is asked of the broker."""

    def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition."""
        ...

    def read_back(self, topic: str, starts: Mapping[int, int], quiet_ms: int) -> Iterator[str]:
        """Ids of the messages from the starts on, up to an end that has not moved for a while.

        Partitions that aren't named are read whole, and so is what is left where a start is no longer kept.
        """
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
    """

    read_back: int
    sent: Mapping[str, int]


def clean(ends: Sequence[JournalEnd], topics: Mapping[str, str]) -> bool:
    """Whether all that the journals have is known to be in these topics."""
    for end in ends:
        for output, topic in topics.items():
            note = end.sinks.get(output)
            if note is None or note["topic"] != topic or note["ordinal"] != end.boundary.ordinal:
                return False
    return True


def repair(
    ends: Sequence[JournalEnd],
    topics: Mapping[str, str],
    outlet: Outlet,
    *,
    quiet_ms: int,
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
    read = 0
    sent = dict.fromkeys(_OUTPUTS, 0)
    for topic, wanted in _by_topic(ends):
        there: set[str] = set()
        for known in outlet.read_back(topic, _lowest(wanted), quiet_ms):
            there.add(known)
            read += 1
        for end, watermark in wanted:
            for message in _owed(end, watermark, line_bytes_max):
                if message.id not in there:
                    there.add(message.id)
                    outlet.send(watermark.output, topic, message)
                    sent[watermark.output] += 1
    outlet.flush()
    _note(ends, topics, outlet, open_writer)
    return Repaired(read, sent)


def _by_topic(
    ends: Sequence[JournalEnd],
) -> Iterator[tuple[str, list[tuple[JournalEnd, Watermark]]]]:
    """Topics that may lack something, with the shards and watermarks that say so."""
    pairs = [(end, watermark_of(note)) for end in ends for note in end.sinks.values()]
    owing = [(end, mark) for end, mark in pairs if mark.ordinal < end.boundary.ordinal]
    owing.sort(key=lambda pair: (pair[1].topic, pair[1].output, pair[0].shard))
    for topic, group in groupby(owing, key=lambda pair: pair[1].topic):
        yield topic, list(group)


def _lowest(wanted: Sequence[tuple[JournalEnd, Watermark]]) -> dict[int, int]:
    """For each partition the lowest offset at which something may stand that a shard owes."""
    partitions = {partition for _, mark in wanted for partition in mark.ends}
    return {each: min(mark.ends.get(each, 0) for _, mark in wanted) for each in sorted(partitions)}


def _owed(end: JournalEnd, watermark: Watermark, line_bytes_max: int) -> Iterator[Outgoing]:
    for records in _in_portions(records_from(end.directory, watermark.ordinal)):
        for output, _, message in outgoing_of(records, end.shard, end.names, line_bytes_max):
            if output == watermark.output:
                yield message


def _in_portions(records: Iterator[Record]) -> Iterator[list[Record]]:
    portion: list[Record] = []
    for record in records:
        portion.append(record)
        if len(portion) == _RECORDS_AT_ONCE:
            yield portion
            portion = []
    yield portion


def _note(
    ends: Sequence[JournalEnd],
    topics: Mapping[str, str],
    outlet: Outlet,
    open_writer: Callable[[JournalEnd], JournalWriter],
) -> None:
    """Journal new watermarks in every shard, at its end."""
    now = {topic: outlet.ends(topic) for topic in topics.values()}
    for end in ends:
        if end.fresh:
            end.directory.mkdir(parents=True, exist_ok=True)
        writer = open_writer(end)
        try:
            for output, topic in topics.items():
                mark = Watermark(output, topic, now[topic], end.boundary.ordinal)
                payload = orjson.dumps(note_of(mark))
                ordinal = end.boundary.ordinal
                record = Record(Kind.CONTROL, 0, NO_SOURCE, ordinal, 0, 0, payload, b"", b"")
                writer.append(
                    [record],
                    ordinal_first=ordinal,
                    ordinal_next=ordinal,
                    accepted_ms=time.time_ns() // 1_000_000,
                    marks=(),
                )
        finally:
            writer.close()
