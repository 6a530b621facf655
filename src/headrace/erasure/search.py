"""Finds what journals hold of a customer: their inputs, and the ids and keys by which memory knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from headrace.config.canonical import restore
from headrace.erasure.shapes import Judgement, Shapes
from headrace.errors import JournalDamaged, StateError
from headrace.journal.end import journal_end
from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, Kind, Record
from headrace.journal.segments import first_boundary
from headrace.operators.events.declared import BUILT_IN, Contract, EventType, contract_of
from headrace.shard.commands import Erase, ReloadList, decode_command
from headrace.shard.kinds import Personal, kind_of

__all__ = ["Found", "Lines", "find_customer"]

_TRIES: Final = 3
_KINDS: Final = {int(kind): kind.name.lower() for kind in Kind}
_USED: Final = (Kind.DECIDED, Kind.APPLIED, Kind.DUPLICATE)  # kinds of inputs whose ids are remembered
_BACKSLASH: Final = b"\\"

Progress = Callable[[int, int], None]


class _Event(NamedTuple):
    """What of an event may say whose it is: its fields that are texts, as far as they matter."""

    said: Mapping[str, str]

    @property
    def type(self) -> str:
        return self.said.get("type", "")

    @property
    def event_id(self) -> str | None:
        return self.said.get("event_id")

    @property
    def customer_id(self) -> str | None:
        return self.said.get("customer_id")

    @property
    def about(self) -> str | None:
        return self.said.get("about")


_NOTHING: Final = _Event({})
_ALWAYS: Final = ("type", "event_id", "customer_id", "about")


class Lines(NamedTuple):
    """How many of a source's lines are the customer's, and the first and the last of them, from 1."""

    number: int
    first: int
    last: int


@dataclass(slots=True)
class Found:
    """What the journals hold of a customer.

    Attributes
    ----------
    customer_id
        Who.
    ordinals
        Of their inputs, by the shard's name.
    kinds
        Their records by what became of them; with several shards an outcome may stand in several journals.
    events
        Ids of the accepted ones, by type.
    about
        Payments that their outcomes name.
    keys
        Values that stand for the customer alone, by field.
    shared
        How many values they have in common with others, by field; these stay.
    lists
        The policy's lists whose content names the customer.
    lines
        Where their inputs came from, by the number of the source.
    unsure
        Ordinals of records that may be theirs, by the shard's name: dead letters whose bytes don't show it.
    mentioned
        Accepted events of others that name the customer somewhere; these stay.
    complete
        Whether the journals reach back to their beginning.
    """

    customer_id: str
    ordinals: dict[str, dict[int, None]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    events: dict[str, dict[str, None]] = field(default_factory=dict)
    about: dict[str, None] = field(default_factory=dict)
    keys: dict[str, dict[str, None]] = field(default_factory=dict)
    shared: Counter[str] = field(default_factory=Counter)
    lists: tuple[str, ...] = ()
    lines: dict[int, Lines] = field(default_factory=dict)
    unsure: dict[str, dict[int, None]] = field(default_factory=dict)
    mentioned: int = 0
    complete: bool = True
    _places: set[tuple[int, int, int]] = field(default_factory=set)

    @property
    def inputs(self) -> int:
        """How many inputs are theirs, each once."""
        return len(self._places)

    def command(self) -> Erase:
        """Return the command that has all of it forgotten."""
        return Erase(
            customer_id=self.customer_id,
            ordinals={shard: tuple(sorted(ordinals)) for shard, ordinals in self.ordinals.items()},
            events={kind: tuple(ids) for kind, ids in sorted(self.events.items())},
            about=tuple(self.about),
            keys={name: tuple(values) for name, values in self.keys.items() if values},
            by_row=not self.complete,
        )

    def take_unsure(self) -> None:
        """Have what may be theirs forgotten with the rest."""
        for shard, ordinals in self.unsure.items():
            self.ordinals.setdefault(shard, {}).update(ordinals)
        self.unsure.clear()

    def add(self, shard: str, record: Record, event: _Event) -> None:
        """Take in one of their inputs."""
        self.kinds[_KINDS.get(record.kind, str(record.kind))] += 1
        place = (record.source, record.offset, record.line)
        if place not in self._places:
            self._places.add(place)
            lines = self.lines.get(record.source, Lines(0, record.line, record.line))
            self.lines[record.source] = Lines(
                lines.number + 1, min(lines.first, record.line), max(lines.last, record.line)
            )
        self.ordinals.setdefault(shard, {})[record.ordinal] = None
        if record.kind in _USED and event.event_id:
            self.events.setdefault(event.type, {})[event.event_id] = None
            if event.type == "outcome" and event.about:
                self.about[event.about] = None


def find_customer(
    directories: Sequence[Path],
    customer_id: str,
    progress: Progress | None = None,
    *,
    personal: Personal | None = None,
    contract: Contract = BUILT_IN,
) -> Found:
    """Look through journals for a customer; a flow may be running.

    Theirs are: events with this `customer_id`; outcomes about what was decided on those; events without
    customer in a session that is theirs alone; lines that could not be used and name the customer, in any
    shape that `Shapes` knows; reloads of lists on which they are. What stands for them beside their id, such
    as a session or a device, the kind of flow says (`Personal`); a value is theirs alone if no event of
    another customer in these journals has it.

    Parameters
    ----------
    directories
        Of all shards.
    customer_id
        Who.
    progress
        Told of bytes and records; each journal is read twice.
    personal
        What names a customer; not given: as the state's last configuration says.
    contract
        Where such fields stand in events; only asked where `personal` is given.

    Raises
    ------
    JournalDamaged, StateMismatch
        If a journal can't be read.
    StateError
        If no configuration is known that could say what names a customer.
    """
    for left in reversed(range(_TRIES)):
        try:
            naming = (personal, contract) if personal is not None else _naming(directories)
            return _Search(directories, customer_id, progress, *naming).run()
        except (FileNotFoundError, JournalDamaged):
            if not left:  # a running flow may have deleted an old segment on the way
                raise
    raise AssertionError


class _Search:
    def __init__(
        self,
        directories: Sequence[Path],
        customer_id: str,
        progress: Progress | None,
        personal: Personal,
        contract: Contract,
    ) -> None:
        self._directories, self._customer_id, self._progress = directories, customer_id, progress
        self._found = Found(customer_id)
        self._needle = orjson.dumps(customer_id)[1:-1]
        self._personal, keys = personal, personal.keys
        self._fields = frozenset((*_ALWAYS, *keys))
        self._paths = {name: _elsewhere(of, self._fields) for name, of in contract.types.items()}
        self._used: dict[str, dict[str, None]] = {name: {} for name in keys}
        self._shared: dict[str, dict[str, None]] = {name: {} for name in keys}
        self._lists: dict[str, bool] = {}
        self._shapes = Shapes(customer_id)
        self._mentions: dict[tuple[str, int], None] = {}

    def run(self) -> Found:
        for shard, record in self._records():
            self._take_own(shard, record)
        # Twice through all: whose a session or device is, only all of its events together can say.
        candidates = [each for shard, record in self._records() for each in self._take_linked(shard, record)]
        found, keys = self._found, self._personal.keys
        sessions = self._own(keys[0]) if keys else {}
        for shard, record, event in candidates:
            if event.said[keys[0]] in sessions:
                found.add(shard, record, event)
        found.keys = {"customer_id": {self._customer_id: None}}
        found.keys |= {name: self._own(name) for name in keys}
        found.shared = Counter({name: len(shared) for name, shared in self._shared.items() if shared})
        found.lists = tuple(name for name, named in self._lists.items() if named)
        found.mentioned = sum(
            ordinal not in found.ordinals.get(shard, {}) for shard, ordinal in self._mentions
        )
        return found

    def _own(self, name: str) -> dict[str, None]:
        shared = self._shared[name]
        return {value: None for value in self._used[name] if value not in shared}

    def _records(self) -> Iterator[tuple[str, Record]]:
        """Yield records of inputs that are not erased, with the names of their shards."""
        for directory in self._directories:
            start = first_boundary(directory)
            self._found.complete &= start.segment == 1
            for frame in JournalReader(directory, start, cut_torn_tail=False).frames():
                for record in frame.records:
                    if record.kind != Kind.CONTROL and not record.erased:
                        yield directory.name, record
                if self._progress is not None:
                    self._progress(frame.head.position_next - frame.head.position, frame.head.records)

    # -- the first time: what names the customer

    def _take_own(self, shard: str, record: Record) -> None:
        if record.flags & COMMAND:
            self._take_command(shard, record)
            return
        dead = record.kind == Kind.DEAD
        # The id's bytes tell nearly always; only behind a backslash can it be written with other ones.
        if not dead and self._needle not in record.input and _BACKSLASH not in record.input:
            return
        event = self._event_of(record.input)
        if event is not None and event.customer_id == self._customer_id:
            self._found.add(shard, record, event)
            for name, values in self._used.items() if record.kind in _USED else ():
                value = event.said.get(name)
                if value is not None:
                    values[value] = None
            return
        evaluated = self._shapes.evaluate(record.input)
        if not dead:
            if evaluated is Judgement.NAMED:
                self._mentions[shard, record.ordinal] = None
        elif evaluated is Judgement.NAMED:
            self._found.add(shard, record, event or _NOTHING)
        elif evaluated is Judgement.UNSURE:
            self._found.unsure.setdefault(shard, {})[record.ordinal] = None

    def _take_command(self, shard: str, record: Record) -> None:
        try:
            command = decode_command(record.input)
        except ValueError:
            return
        if isinstance(command, ReloadList):
            named = self._customer_id in command.entries
            # The last content holds, so a list that no longer names them isn't named in the end.
            self._lists[command.name] = named
            if named:
                self._found.add(shard, record, _NOTHING)

    # -- the second time: what is linked with what was found

    def _take_linked(self, shard: str, record: Record) -> Iterator[tuple[str, Record, _Event]]:
        """Take in outcomes, note what others have in common; give what depends on whose its session is."""
        if record.flags & COMMAND or record.ordinal in self._found.ordinals.get(shard, ()):
            return
        event = self._event_of(record.input)
        if event is None:
            return
        if event.type == "outcome" and self._is_theirs(event.about):
            self._found.add(shard, record, event)
        elif event.customer_id is None:
            # Only by the first key, the visit: a device or an address alone doesn't make an event somebody's.
            linked = next(iter(self._personal.keys), None)
            if linked is not None and event.said.get(linked) in self._used[linked]:
                yield shard, record, event
        elif event.customer_id != self._customer_id:
            for name, values in self._used.items():
                value = event.said.get(name)
                if value in values:
                    # A device that two customers use is nobody's alone: what is kept under it stays, and is
                    # told.
                    self._shared[name][value] = None

    def _is_theirs(self, event_id: str | None) -> bool:
        """Whether an outcome's event is one of theirs."""
        return any(event_id in self._found.events.get(of_type, ()) for of_type in self._personal.about)

    def _event_of(self, line: bytes) -> _Event | None:
        """Return what a line says, wrong values left out; None if it is no JSON object."""
        try:
            said = orjson.loads(line)
        except (orjson.JSONDecodeError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        # Fields of wrong types are left out and the rest is used: a dead letter may still say whose it is.
        wanted = self._fields & said.keys()
        texts = {name: said[name] for name in wanted if isinstance(said[name], str)}
        for name, path in self._paths.get(texts.get("type", ""), {}).items():
            value = _at(said, path)
            if isinstance(value, str):
                texts[name] = value
        return _Event(texts)


def _elsewhere(event_type: EventType, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the fields of a type that stand in an event under another name, or deeper in it."""
    fields = event_type.fields
    return {name: fields[name].path for name in names if name in fields and fields[name].path != (name,)}


def _at(said: Any, path: Sequence[str]) -> Any:
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _naming(directories: Sequence[Path]) -> tuple[Personal, Contract]:
    """Return what names a customer in the events of a state, and where, as its last configuration says."""
    for number, directory in enumerate(directories):
        said = journal_end(directory, number, cut_torn_tail=False).provenance
        if said is not None:
            try:
                settings = restore(said.settings)
            except ValueError as error:
                raise StateError(f"{directory}: its configuration can't be read: {error}") from error
            return kind_of(settings).personal(settings), contract_of(settings.events)
    raise StateError(
        f"{directories[0].parent}: no configuration is known, so that nobody can tell what is whose"
    )
