"""The functions over event types in machine code: the same lines as the plain ones, and the same results.

For each event type, and for each decision whose target feeds features, there is a unit of compiled functions
over the columns, by their addresses. What needs Python's objects stays outside: fields of the event, an
entity's row, categories, tables, texts, different values, and corrections.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..compiled.generated import CELLS, compile_source, names_in
from . import windows
from .event_features import HELPERS, EventFeatures, Label, Read, Update
from .event_source import EventSource, Reading

__all__ = ["CompiledEvents", "CompiledUnit", "Unit", "compiled_events", "take_compiled", "units_of"]


def _bisect(edges: tuple[float, ...], value: float) -> int:
    """`bisect.bisect_right`."""
    low, high = 0, len(edges)
    while low < high:
        middle = (low + high) // 2
        if value < edges[middle]:
            high = middle
        else:
            low = middle + 1
    return low


_CALLED: Final[Mapping[str, Callable[..., Any]]] = {
    "bisect": _bisect,
    **HELPERS,
    **{name: getattr(windows, name) for name in windows.__all__},
}


class CompiledEvents:
    """Drop-in functions in machine code; each is the twin of the one of its name in `EventFeatures`.

    Parameters
    ----------
    features
        Whose columns they work on.
    units
        What was compiled, by event type or decision.

    Attributes
    ----------
    read, update, label_of, slots_of
        See `EventFeatures`. Values and slots come as lists. `update` takes the values of what `read` of the
        same type read last, whatever it is given. Corrections aren't compiled.
    """

    def __init__(self, features: EventFeatures, units: Sequence[CompiledUnit]) -> None:
        self.read: dict[str, Read] = {}
        self.update: dict[str, Update] = {}
        self.label_of: dict[str, Label] = {}
        self.slots_of = {made.unit.name: made.buffers["slots"] for made in units if "slots" in made.buffers}
        self._units = units
        for made in units:
            made.note_addresses()
            names = {**features.lines.names, **made.names()}
            exec(compile(made.unit.calls, "<features>", "exec"), names)  # noqa: S102  # made here, from the declarations
            for to, name in ((self.read, "read"), (self.update, "update"), (self.label_of, "label")):
                if f"call_{name}" in names:
                    to[made.unit.name] = names[f"call_{name}"]
        # Machine code holds addresses, and an array that grows may move: then they are written down anew.
        for table in features.tables.values():
            table.moved = self._note_addresses

    def _note_addresses(self) -> None:
        for made in self._units:
            made.note_addresses()


def compiled_events(features: EventFeatures) -> CompiledEvents | None:
    """Compile the functions of a feature set, or load what was compiled of the same ones before.

    Returns
    -------
    CompiledEvents or None
        None where Numba isn't installed or is switched off.
    """
    made: list[CompiledUnit] = []
    for unit in units_of(features):
        kernels = compile_source(unit.source, unit.helpers(), unit.signatures, may_wait=True)
        if kernels is None:
            return None
        made.append(CompiledUnit(unit, kernels, features.lines.names))
    return CompiledEvents(features, made)


def take_compiled(features: EventFeatures) -> bool:
    """Put compiled functions in the place of plain ones in a feature set; whether they are there.

    It is to be done between two events: `update` of the one goes with `read` of the same. Whoever keeps a
    function of the feature set must ask for it again.
    """
    made = compiled_events(features)
    if made is None:
        return False
    features.read.update(made.read)
    features.update.update(made.update)
    features.label_of.update(made.label_of)
    features.slots_of.update(made.slots_of)
    return True


def units_of(features: EventFeatures) -> list[Unit]:
    """Write what can be compiled of a feature set."""
    units = [
        *(_type_unit(features, name, reading) for name, reading in features.readings.items()),
        *(_label_unit(features, name, lines) for name, lines in features.lines.labels.items()),
    ]
    return [unit for unit in units if unit.signatures]


class Unit(NamedTuple):
    """The text of some compiled functions, and of what calls them.

    Attributes
    ----------
    name
        Event type, or decision.
    source, signatures
        See `compile_source`.
    calls
        Source of the functions around them.
    table
        Names of the memory that they work on, in the order of their addresses.
    buffers
        Of that, what is no column: the array's code, and how many cells.
    """

    name: str
    source: str
    signatures: dict[str, str]
    calls: str
    table: tuple[str, ...]
    buffers: dict[str, tuple[str, int]]

    def helpers(self) -> dict[str, Callable[..., Any]]:
        """Return the functions that are called, with those that these call."""
        used = names_in(self.source.splitlines())
        inner = {"_day_of_year", "total_of", "highest_of"}
        return {name: helper for name, helper in _CALLED.items() if name in used or name in inner}


class CompiledUnit:
    """A unit that was compiled, with the table of its addresses.

    Parameters
    ----------
    unit
        Its text.
    kernels
        What was made of it.
    names
        Columns by name, with whatever else.

    Attributes
    ----------
    arrays
        The memory that it works on, in the order of the table.
    buffers
        Of that, what is no column, by name.
    """

    def __init__(self, unit: Unit, kernels: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        self.unit = unit
        self._kernels = kernels
        self.buffers = {
            name: array(code, bytes(array(code).itemsize * cells))
            for name, (code, cells) in unit.buffers.items()
        }
        memory = {**names, **self.buffers}
        self.arrays: list[array[Any]] = [memory[name] for name in unit.table]
        self._addresses = array("q", [0] * len(unit.table))

    def note_addresses(self) -> None:
        """Write down where everything lies."""
        for place, each in enumerate(self.arrays):
            self._addresses[place] = each.buffer_info()[0]

    def names(self) -> dict[str, Any]:
        """Return what the functions around the compiled ones speak of."""
        views = {name: memoryview(each) for name, each in self.buffers.items()}
        return {
            **{f"kernel_{name}": kernel for name, kernel in self._kernels.items()},
            **views,
            **{f"list_{name}": view.tolist for name, view in views.items()},
            "address": self._addresses.buffer_info()[0],
            # Functions hold the table by this name: without tables of entities nothing else would.
            "addresses": self._addresses,
        }


class _Writer:
    """Writes compiled functions over a table of addresses."""

    def __init__(
        self, features: EventFeatures, buffers: dict[str, tuple[str, int]], lines: Sequence[str]
    ) -> None:
        self._names, used = features.lines.names, names_in([*lines])
        codes = {name: code for name, (code, _) in buffers.items()}
        codes |= {
            name: each.typecode
            for name, each in self._names.items()
            if isinstance(each, array) and name in used
        }
        self.table, self._codes = tuple(codes), codes
        # What is looked up while ranges are found stands in the code.
        self.constants = "\n".join(
            f"{name} = {tuple(each)!r}"
            for name, each in self._names.items()
            if isinstance(each, list) and name in used and (not each or each[0] is not None)
        )

    def function(self, name: str, parameters: Sequence[str], lines: Sequence[str]) -> str:
        """Return a function that takes the address of the table, and finds there what its lines speak of."""
        used = names_in([*lines])
        found = [
            f"{each} = {CELLS[self._codes[each]]}(table[{place}])"
            for place, each in enumerate(self.table)
            if each in used
        ]
        return EventSource.function(
            name,
            ", ".join(["address", *parameters]),
            ["table = longs(address)", *found, *EventSource.panes(lines), *lines],
        )


def _typed(parameters: Iterable[str]) -> str:
    """Return the types of parameters: fields and features are doubles, all others whole numbers."""
    doubles = (each.startswith("e_") or (each[0] == "f" and each[1:].isdecimal()) for each in parameters)
    return "".join(", double" if double else ", int64" for double in doubles)


def _type_unit(features: EventFeatures, event_type: str, reading: Reading) -> Unit:
    """Write the functions that read events of a type, and move features on by them."""
    source, lines = features.writer, features.lines
    locals_ = [f"f{lines.numbers[name]}" for name in reading.names]
    writes = [
        *reading.lines,
        *source.flag_lines(event_type),
        "met[0] = flags",
        *(f"values[{place}] = {local}" for place, local in enumerate(locals_)),
        *(f"slots[{place}] = {slot}" for place, slot in enumerate(reading.active)),
    ]
    moves = [*source.seen_lines(event_type), *lines.updates.get(event_type, ())]
    used = names_in(moves)
    moves = [
        *(f"{local} = values[{place}]" for place, local in enumerate(locals_) if local in used),
        *moves,
    ]
    buffers = {"values": ("d", len(locals_)), "slots": ("q", len(reading.active)), "met": ("q", 1)}
    writer = _Writer(features, buffers, [*writes, *moves])
    signatures: dict[str, str] = {}
    functions = [writer.constants] if writer.constants else []
    calls: list[str] = []
    if reading.names or reading.groups:
        used_by = names_in(writes)
        taken = [
            *_event_locals(features, event_type, used_by),
            *(row for row in source.rows if row in used_by),
            *(local for local in reading.handed if local in used_by),
        ]
        functions.append(writer.function("read", ("t", *taken), writes))
        signatures["read"] = f"void(int64, int64{_typed(taken)})"
        calls.append(_call_read(source, event_type, reading, taken))
    if event_type in features.update:
        taken = [
            *_event_locals(features, event_type, used),
            *(row for row in source.rows if row in used),
        ]
        functions.append(writer.function("update", ("t", "number", *taken), moves))
        signatures["update"] = f"void(int64, int64, int64{_typed(taken)})"
        calls.append(_call_update(features, event_type, reading, taken))
    return Unit(event_type, "\n\n\n".join(functions), signatures, "\n\n\n".join(calls), writer.table, buffers)


def _event_locals(features: EventFeatures, event_type: str, used: set[str]) -> list[str]:
    """Locals of the event's numbers, and of its times in zones, that are used."""
    head = features.writer.head(event_type, sorted(used))
    return [line.partition(" ")[0] for line in head]


def _call_read(source: EventSource, event_type: str, reading: Reading, taken: Sequence[str]) -> str:
    head = source.head(event_type, [*reading.objects, *taken])
    return source.function(
        "call_read",
        "ev, t",
        [
            *source.lookup(event_type),
            *head,
            *source.panes(reading.objects),
            *reading.objects,
            f"kernel_read({', '.join(['address', 't', *taken])})",
            f"return list_values(), list_slots(), met[0], {source.packed(source.rows)}",
        ],
    )


def _call_update(features: EventFeatures, event_type: str, reading: Reading, taken: Sequence[str]) -> str:
    source, objects = features.writer, features.lines.object_updates.get(event_type, [])
    used = names_in(objects)
    places = {f"f{features.lines.numbers[name]}": place for place, name in enumerate(reading.names)}
    return source.function(
        "call_update",
        "ev, t, given, number, rows",
        [
            *([f"{source.packed(source.rows)} = rows"] if source.rows else []),
            *source.create_lines(event_type, features.created_by[event_type]),
            *source.head(event_type, [*objects, *taken]),
            f"kernel_update({', '.join(['address', 't', 'number', *taken])})",
            *(f"{local} = values[{place}]" for local, place in places.items() if local in used),
            *source.panes(objects),
            *objects,
            f"return {source.packed(source.rows)}",
        ],
    )


def _label_unit(features: EventFeatures, decision: str, told: Sequence[str]) -> Unit:
    """Write the function that takes in what a decision's target told."""
    source = features.writer
    lines = [*source.owned_lines(told), *told]
    taken = [row for row in source.rows if row in names_in(lines)]
    writer = _Writer(features, {}, lines)
    function = writer.function("label", ("number", "flags", "t", "label", *taken), lines)
    call = source.function(
        "call_label",
        "rows, number, flags, t, label",
        [
            f"{source.packed(source.rows)} = rows",
            f"kernel_label({', '.join(['address', 'number', 'flags', 't', 'label', *taken])})",
        ],
    )
    signature = f"void(int64, int64, int64, int64, int64{_typed(taken)})"
    return Unit(decision, function, {"label": signature}, call, writer.table, {})
