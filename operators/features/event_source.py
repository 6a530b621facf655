"""The source of the functions over several event types that declared features are compiled to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..compiled.generated import names_in
from .event_lines import EventLines, field_local, may_be_none
from .event_slots import write_event_slots
from .slots import SlotGroup
from .window_lines import pane_local

__all__ = ["EventSource", "Reading"]

_PANES: Final = re.compile(r"\bpane_([0-9]+)\b")
_FEATURE: Final = re.compile(r"\bf([0-9]+)\b")


class Reading(NamedTuple):
    """What is read of events of a type.

    Attributes
    ----------
    names
        The features, in the order of their values.
    groups
        The crosses' slots.
    active
        The source of each group's active slot.
    objects, lines
        What reads them: first over Python's objects, then what can be compiled to machine code.
    handed
        Locals that go from the first to the second.
    """

    names: tuple[str, ...]
    groups: tuple[SlotGroup, ...]
    active: list[str]
    objects: list[str]
    lines: list[str]
    handed: list[str]


class EventSource:
    """Writes the generated functions of one feature set.

    Parameters
    ----------
    lines
        What the features have added.
    entities, bins, crosses
        The declarations.
    key_fields
        `(entity, event type)` to the fields that name the entity in events of the type; none where they
        don't.
    """

    def __init__(
        self,
        lines: EventLines,
        entities: Mapping[str, Any],
        bins: Mapping[str, Any],
        crosses: Mapping[str, Any],
        key_fields: Mapping[tuple[str, str], tuple[str, ...]],
    ) -> None:
        self.lines, self.entities, self.bins, self.crosses = lines, tuple(entities), bins, crosses
        self.key_fields = key_fields
        self.rows = tuple(lines.rows.values())
        self._names = tuple(lines.numbers)
        for number, entity in enumerate(entities):
            table = lines.tables[entity]
            lines.names |= {
                f"index{number}": table.index,
                f"create{number}": table.create,
                f"seen{number}": table.last_seen.values,
                f"created{number}": table.created.values,
            }

    # -- what is read

    def reading(self, event_type: str, features: Iterable[str], crosses: Sequence[str]) -> Reading:
        """Write what reads features and crosses of an event type, and what else that and updates need."""
        source = self.lines
        slots, groups, active = write_event_slots(
            source, self.bins, {name: self.crosses[name] for name in crosses}
        )
        met = [*source.conditions.get(event_type, ())]
        wanted = {
            *features,
            *self._of(slots),
            *self._of(active),
            *self._of(met),
            *self._of(self.moves(event_type)),
        }
        # A feature of several slots is spoken of by its slots' locals, not by its own.
        wanted |= {name for name, locals_ in source.several.items() if names_in(active) & set(locals_)}
        # As declared: what a feature is computed from stands before it.
        names = tuple(name for name in self._names if name in self._closed(wanted))
        read = [source.of[name] for name in names]
        return Reading(
            names,
            groups,
            active,
            [line for each in read for line in each.objects],
            [*(line for each in read for line in each.read), *slots],
            [local for each in read for local in each.handed],
        )

    def _of(self, lines: Iterable[str]) -> set[str]:
        """Features that lines speak of."""
        return {self._names[int(number)] for line in lines for number in _FEATURE.findall(line)}

    def _closed(self, names: set[str]) -> set[str]:
        """Return features with those that they are computed from."""
        closed, waiting = set[str](), set(names)
        while waiting:
            name = waiting.pop()
            closed.add(name)
            of = self.lines.of[name]
            waiting |= self._of([*of.read, *of.objects]) - closed
        return closed

    def moves(self, event_type: str) -> list[str]:
        """Return all lines that events of a type move features on by."""
        return [
            *self.lines.updates.get(event_type, ()),
            *self.lines.object_updates.get(event_type, ()),
        ]

    # -- parts of functions

    def head(self, event_type: str, lines: Iterable[str], *, known: Iterable[str] = ()) -> list[str]:
        """Lines that bind the numbers of the event, and times in zones, that lines speak of."""
        # Only what is spoken of: each field costs an attribute and perhaps a conversion, event by event.
        used = names_in(list(lines)) - set(known)
        found: list[str] = []
        for name, field in self.lines.types[event_type].items():
            if field_local(name) in used:
                found.append(f"{field_local(name)} = {self._number(name, field)}")
        for local, zone in self.lines.zones.items():
            if local in used:
                found.append(f"{local} = {'t' if zone.name == 'UTC' else f'local_{local}(t)'}")
        return found

    def _number(self, name: str, field: Any) -> str:
        value = self.lines.attribute(name)
        convert = "{}" if field.type == "number" else "float({})"
        if may_be_none(field):
            return f"nan if (x := {value}) is None else {convert.format('x')}"
        return convert.format(value)

    @staticmethod
    def panes(lines: Iterable[str]) -> list[str]:
        """Lines that find the panes that lines speak of."""
        panes = sorted({int(pane_ms) for line in lines for pane_ms in _PANES.findall(line)})
        return [f"{pane_local(pane_ms)} = t // {pane_ms}" for pane_ms in panes]

    @staticmethod
    def function(name: str, parameters: str, lines: Sequence[str]) -> str:
        """Return a function of some lines."""
        return "\n".join([f"def {name}({parameters}):", *[f"    {line}" for line in lines or ["pass"]]])

    def key(self, number: int, event_type: str) -> str:
        """Return the source of an entity's key, empty where events of the type don't name it."""
        parts = [self.lines.attribute(field) for field in self.key_fields[self.entities[number], event_type]]
        # A single field is the key itself: a tuple around it would cost memory for every entity.
        if len(parts) < 2:
            return "".join(parts)
        return f"({', '.join(parts)})"

    def lookup(self, event_type: str) -> list[str]:
        """Lines that find the row of each of the event's entities."""
        found = []
        for number, row in enumerate(self.rows):
            key = self.key(number, event_type)
            found.append(f"{row} = index{number}.get({key}, 0)" if key else f"{row} = 0")
        return found

    def create_lines(self, event_type: str, created: set[str]) -> list[str]:
        """Lines that give new entities of an event their rows."""
        lines: list[str] = []
        for number, entity in enumerate(self.entities):
            key = self.key(number, event_type)
            if entity not in created or not key:
                continue
            fields = self.lines.types[event_type]
            # An absent field names nobody: all events that lack it would else share one entity.
            absent = [
                self.lines.attribute(field)
                for field in self.key_fields[entity, event_type]
                if may_be_none(fields[field])
            ]
            guards = "".join(f" and {each} is not None" for each in absent)
            lines.append(f"if not r{number}{guards}: r{number} = create{number}({key}, number)")
        return lines

    def seen_lines(self, event_type: str) -> list[str]:
        """Lines that note when the entities of an event were seen."""
        return [
            # A late event doesn't make its entity look older.
            f"if t > seen{number}[r{number}] and r{number}: seen{number}[r{number}] = t"
            for number in range(len(self.entities))
            if self.key(number, event_type)
        ]

    def flag_lines(self, event_type: str) -> list[str]:
        """Lines that find which conditions of the features that targets feed are met."""
        # Kept with the decision, a bit each: the outcome comes when the event is long gone.
        conditions = self.lines.conditions.get(event_type, ())
        return ["flags = 0", *(f"if {met}: flags |= {1 << bit}" for bit, met in enumerate(conditions))]

    def owned_lines(self, lines: Sequence[str]) -> list[str]:
        """Lines that leave rows out that were given to another entity since."""
        # Rows are given anew when entities are evicted; numbers of inputs only rise, so that a row created by
        # a later one than that of the decision has another owner.
        used = names_in(list(lines))
        return [
            f"if created{number}[{row}] > number: {row} = 0"
            for number, row in enumerate(self.rows)
            if row in used
        ]

    @staticmethod
    def packed(parts: Iterable[str]) -> str:
        """Return a tuple of some parts."""
        return "(" + "".join(f"{part}, " for part in parts) + ")"

    # -- plain functions

    def read(self, name: str, event_type: str, reading: Reading) -> str:
        """Return the function that reads events of a type."""
        values = [f"f{self.lines.numbers[each]}" for each in reading.names]
        flags = self.flag_lines(event_type)
        body = [*reading.objects, *reading.lines, *flags]
        rows = self.packed(self.rows)
        returned = f"return {self.packed(values)}, {self.packed(reading.active)}, flags, {rows}"
        lines = [*self.lookup(event_type), *self.head(event_type, body), *self.panes(body), *body, returned]
        return self.function(name, "ev, t", lines)

    def update(self, name: str, event_type: str, reading: Reading, created: set[str]) -> str:
        """Return the function that moves features on by events of a type."""
        moves = self.moves(event_type)
        used = names_in(moves)
        places = {f"f{self.lines.numbers[each]}": place for place, each in enumerate(reading.names)}
        lines = [
            *([f"{self.packed(self.rows)} = rows"] if self.rows else []),
            *self.create_lines(event_type, created),
            *self.seen_lines(event_type),
            *self.head(event_type, moves),
            *(f"{local} = values[{place}]" for local, place in places.items() if local in used),
            *self.panes(moves),
            *moves,
            f"return {self.packed(self.rows)}",
        ]
        return self.function(name, "ev, t, values, number, rows", lines)

    def label(self, name: str, parameters: str, lines: Sequence[str]) -> str:
        """Return a function that takes in what a decision's target told."""
        head = [f"{self.packed(self.rows)} = rows"] if self.rows else []
        owned = self.owned_lines(lines)
        return self.function(name, parameters, [*head, *owned, *self.panes(lines), *lines])
