"""Inputs of a state on topics, merged over its shards.

There each shard counts its own inputs, so that their ordinals say nothing of each other. What they share is
the batch: all parts of one carry the wall clock of its reading. Within it, event time says what came first,
as it did when the batch was put together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Final

from headrace.config.tables import RunSettings
from headrace.journal.frames import Frame
from headrace.journal.records import COMMAND, RETRIED, Kind, Record
from headrace.operators.events.contract import Event
from headrace.operators.events.declared import Contract, contract_of
from headrace.operators.events.decode import Undecodable
from headrace.shard.apply_record import event_of, payload_of
from headrace.shard.noted_contract import noted_contract

__all__ = ["in_turns"]

Route = Callable[[Event | Undecodable], int | None]
_Place = tuple[int, int, int, int]
_time: Final = itemgetter(0)


def in_turns(
    shards: Sequence[Iterator[Frame]], whole: Sequence[bool], route: Route, settings: RunSettings
) -> Iterator[tuple[int, Record]]:
    """Each input once, with the number of the shard that tells of it; a shard's own stay in their order.

    An input that went to all shards is told where the one has it that decided, or else made some use of it.
    After a kill the shards take what they had not journalled at different times. Such an input is told when
    the one comes that decided, or else the last.

    Parameters
    ----------
    shards
        Their frames.
    whole
        Of each shard, whether that is from the beginning.
    route
        To which shard an event went; None for all of them.
    settings
        In force for the first inputs: how long a line may be, and which event types there are, until the
        journals note others.
    """
    line_bytes_max = settings.input.line_bytes_max
    contracts = [contract_of(settings.events)] * len(shards)
    apart: dict[_Place, _Apart] = {}
    begun = list(whole)
    for parts in _together(shards, contracts):
        begun = [before or bool(part) for before, part in zip(begun, parts, strict=True)]
        expected = sum(begun)
        here: Counter[_Place] = Counter()
        best: dict[_Place, tuple[int, int]] = {}
        for number, part in enumerate(parts):
            for record in part:
                place, told = _place(record), (record.kind, number)
                here[place] += 1
                best[place] = min(best.get(place, told), told)
        timed = [_timed(number, part, contracts[number], line_bytes_max) for number, part in enumerate(parts)]
        for _, number, record, event in merge(*timed, key=_time):
            place = _place(record)
            if best[place][1] != number:
                continue
            copies = apart.get(place)
            if copies is None:
                # Nearly all inputs: they are in one shard, or in all of them at once. Only what shards took
                # in different turns is counted.
                if here[place] >= expected or not _goes_to_all(record, event, route):
                    yield number, record
                    continue
                copies = apart[place] = _Apart(number, record)
            told_now = copies.take(number, record, here[place], expected)
            if told_now is not None:
                yield told_now
            if copies.count >= expected:
                del apart[place]
    yield from (each.best for each in apart.values() if not each.told)


class _Apart:
    """An input that went to all shards, which did not take it in one turn."""

    def __init__(self, number: int, record: Record) -> None:
        self.best = number, record
        self.count, self.told = 0, False

    def take(self, number: int, record: Record, copies: int, expected: int) -> tuple[int, Record] | None:
        """Take in further copies, of which this is the best; gives the one to be told, if it is now."""
        self.count += copies
        if record.kind < self.best[1].kind:
            self.best = number, record
        if self.told or (record.kind != Kind.DECIDED and self.count < expected):
            return None
        self.told = True
        return self.best


def _place(record: Record) -> _Place:
    # A dead letter's input that was given once more has the place of the letter's.
    return record.source, record.offset, record.line, record.flags & RETRIED


def _together(shards: Sequence[Iterator[Frame]], contracts: list[Contract]) -> Iterator[list[list[Record]]]:
    """Yield the inputs of one batch after the other, as each shard has them; keep contracts up to date."""
    heads = [next(frames, None) for frames in shards]
    while waiting := [frame.head.accepted_ms for frame in heads if frame is not None]:
        # Batches of two shards that were read in one millisecond fall together, which the merge by event time
        # then settles.
        accepted_ms = min(waiting)
        parts: list[list[Record]] = [[] for _ in shards]
        for number, frames in enumerate(shards):
            while (frame := heads[number]) is not None and frame.head.accepted_ms == accepted_ms:
                for record in frame.records:
                    if record.kind != Kind.CONTROL:
                        parts[number].append(record)
                    else:
                        contracts[number] = noted_contract(record) or contracts[number]
                heads[number] = next(frames, None)
        yield parts


def _timed(
    number: int, records: Sequence[Record], contract: Contract, line_bytes_max: int
) -> Iterator[tuple[int, int, Record, Event | Undecodable | None]]:
    """Yield records behind their event times; what has none comes with the one before."""
    time_ms = 0
    for record in records:
        event = None
        if not (record.erased or record.flags & COMMAND):
            event = event_of(record, payload_of(record), contract, line_bytes_max)
            if not isinstance(event, Undecodable):
                time_ms = event.event_time
        yield time_ms, number, record, event


def _goes_to_all(record: Record, event: Event | Undecodable | None, route: Route) -> bool:
    return bool(record.flags & COMMAND) if event is None else route(event) is None
