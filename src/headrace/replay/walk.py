"""Goes through the inputs of a past with shards of another configuration, whichever flow they are of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson

from headrace.journal.records import COMMAND, CONTROL_SOURCE, OVERDUE, SKIPPED, Kind, Record
from headrace.operators.events.contract import Event
from headrace.operators.events.decode import Undecodable
from headrace.replay.past import Past
from headrace.shard.apply_record import event_of, payload_of
from headrace.shard.commands import Command, decode_command
from headrace.shard.machine import Machine, Output
from headrace.shard.routing import route_of

__all__ = ["Progress", "Walk", "Walked", "why_not"]

_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)
_CLEAR_EVERY: Final = 4096

Progress = Callable[[int, int], None]
M = TypeVar("M", bound=Machine)


@dataclass(slots=True, kw_only=True)
class Walked:
    """What was met on the way.

    Attributes
    ----------
    inputs, ordinal_first, ordinal_next
        How many inputs there were, and their range.
    now_ms
        The latest clock of a shard in the end, milliseconds since the epoch.
    erased, erased_decisions
        Erased records, and how many of them had been decided.
    old_only
        Decided then but not now: how many, by the reason code of the dead letter, or `duplicate`.
    new_only
        Decided now but not then.
    commands, commands_refused
        Commands that were applied, and that the new configuration refused.
    counts
        What the new shards counted.
    """

    inputs: int
    ordinal_first: int
    ordinal_next: int
    now_ms: int
    erased: int
    erased_decisions: int
    old_only: dict[str, int]
    new_only: int
    commands: int
    commands_refused: int
    counts: dict[str, int]


class Walk(ABC, Generic[M]):
    """The shards under the other configuration, and what is noted beside them.

    Parameters
    ----------
    past
        What was.
    states
        Shards of the other configuration, in their first state.
    """

    def __init__(self, past: Past, states: Sequence[M]) -> None:
        self.past, self.states = past, states
        self.ordinal = past.ordinal_first
        self.noted: Counter[str] = Counter()
        self._route = route_of(states[0].settings)
        self._contract = states[0].contract
        self._line_bytes_max = states[0].settings.input.line_bytes_max
        for state in states:
            state.source_names = {CONTROL_SOURCE: "control"}

    def through(self, progress: Progress | None) -> None:
        """Take all inputs of the past.

        Raises
        ------
        JournalDamaged
            At the first byte that is not what was written.
        """
        for record in self.past.inputs(progress):
            self._take(record)

    def _take(self, record: Record) -> None:
        self.noted["inputs"] += 1
        self.ordinal = record.ordinal + 1
        if record.erased:
            self.noted["erased"] += 1
            self.noted["erased_decisions"] += record.kind == _DECIDED
        elif record.flags & COMMAND:
            if not record.flags & SKIPPED:
                self._command(record)
        else:
            self.input(record, event_of(record, payload_of(record), self._contract, self._line_bytes_max))
        # Nobody asks for them here, and a past of millions would gather them all.
        if not self.noted["inputs"] % _CLEAR_EVERY:
            for state in self.states:
                state.evaluated.clear()

    def _command(self, record: Record) -> None:
        command, position = decode_command(record.input), (record.source, record.offset, record.line)
        if self.leaves_out(command):
            return
        kinds = [state.command(command, record.input, position)[0] for state in self.states]
        self.noted["commands_refused" if _DEAD in kinds else "commands"] += 1

    def leaves_out(self, command: Command) -> bool:  # noqa: ARG002
        """Whether a command isn't carried out."""
        return False

    @abstractmethod
    def input(self, record: Record, event: Event | Undecodable) -> None:
        """Take an input that is no command, decoded anew."""

    def apply(self, record: Record, event: Event | Undecodable) -> Output:
        """Return what becomes of an input.

        Of one that goes to all shards, what the one makes of it that decides.
        """
        position, overdue = (record.source, record.offset, record.line), bool(record.flags & OVERDUE)
        number = self._route(event)
        states = self.states if number is None else (self.states[number],)
        payload = payload_of(record)
        outputs = [state.apply(event, payload, position, overdue=overdue) for state in states]
        # Of an input that went to all shards, what says most: one of them decides, the others only apply it.
        return min(outputs, key=lambda output: output[0])

    def walked(self) -> dict[str, Any]:
        """Return the fields of `Walked`, but for what only one side decided."""
        counts: Counter[str] = Counter()
        for state in self.states:
            counts.update(state.counts)
        counted = ("inputs", "erased", "erased_decisions", "commands", "commands_refused")
        return {
            **{name: self.noted[name] for name in counted},
            "ordinal_first": self.past.ordinal_first,
            "ordinal_next": self.ordinal,
            "now_ms": max(state.clock.now for state in self.states),
            "counts": dict(sorted(counts.items())),
        }


def why_not(kind: int, line: bytes) -> str:
    """Why an input wasn't decided: the reason code of its dead letter, or `duplicate`."""
    return str(orjson.loads(line)["reason"]) if kind == _DEAD else "duplicate"
