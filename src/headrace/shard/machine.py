"""What a shard's state machine is, whichever flow it decides for."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from headrace.config.tables import RunSettings
from headrace.operators.events.contract import Event
from headrace.operators.events.declared import Contract
from headrace.operators.events.decode import Undecodable
from headrace.shard.clock import EventClock
from headrace.shard.commands import Command
from headrace.shard.deduplication import IdMemory

__all__ = ["Held", "Machine", "Output", "Position"]


Output = tuple[int, bytes, bytes]
"""What became of an input: its `Kind`, what goes out, and the detail that only the journal keeps.

What goes out is one line, or one for each decision of an input that led to several. Each ends with its
newline, and has a `decision_id` of its own.
"""


Position = tuple[int, int, int]
"""Where an input comes from: the source's number, byte offset and line there."""


class Held(NamedTuple):
    """How much a state holds.

    Attributes
    ----------
    pending
        Decisions that wait for their outcome.
    entities
        What is known of anybody or anything: customers, merchants, items.
    unmatched
        Outcomes that have not met their decision.
    """

    pending: int
    entities: int
    unmatched: int


class Machine(Protocol):
    """Applies one input after another; deterministic and single-threaded.

    Given the same inputs in the same order, state and outputs are the same, byte for byte. It computes first
    and commits then, so that an input that fails leaves the state as it was.

    Attributes
    ----------
    number
        Inputs that were of use so far.
    counts
        What it has counted since its first input.
    evaluated
        How decisions turned out, since somebody took it away; of what kind is the flow's own.
    source_names
        Names of the sources by their number, for dead letters.
    clock
        Event time.
    ids
        Which events are known, by type.
    version
        The model's, as decisions have it.
    several
        Whether an input may lead to several decisions, under the configuration in force.
    contract
        The event types in force.
    """

    number: int
    counts: dict[str, int]
    evaluated: list[Any]
    source_names: Mapping[int, str]
    clock: EventClock
    ids: dict[str, IdMemory]
    version: str

    @property
    def several(self) -> bool:
        """See the class."""
        ...

    contract: Contract

    @property
    def settings(self) -> RunSettings:
        """The configuration in force."""
        ...

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the configured lists that has one."""
        ...

    def apply(
        self, event: Event | Undecodable, payload: bytes, position: Position, *, overdue: bool = False
    ) -> Output:
        """Apply one input."""
        ...

    def command(self, command: Command, payload: bytes, position: Position) -> Output:
        """Carry out a command."""
        ...

    def configure(self, settings: Any, *, learn: bool) -> None:
        """Take over a configuration of the same shape; it holds from the next input on."""
        ...

    @property
    def compiled(self) -> bool:
        """Whether it decides in machine code, not in plain Python."""
        ...

    def take_compiled(self) -> None:
        """Go on in machine code where that is there by now; called between two batches."""
        ...

    @property
    def kill_switch(self) -> bool:
        """Whether an operator has put a fixed action in the place of its decisions."""
        ...

    @property
    def moved_by(self) -> Sequence[str]:
        """Types of the events that move windows."""
        ...

    def entities(self) -> dict[str, int]:
        """How many entities it knows, by kind."""
        ...

    def holdings(self) -> dict[str, Any]:
        """How much it holds now, part by part, as plain values."""
        ...

    def held(self) -> Held:
        """How much it holds now."""
        ...

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        ...

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave; a `ValueError` says that it doesn't fit."""
        ...
