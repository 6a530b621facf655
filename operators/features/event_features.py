"""Features over the events of a contract: per event type what reads them, and what moves them on."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ...config.event_reading import EventField, cross_features, key_fields, readable_on
from .calendars import _day_of_year, day_of_month, month_of_year
from .categories import haversine_km
from .entities import Entities
from .event_lines import EventLines
from .event_source import EventSource, Reading
from .forgetting import Values, forget_values, rows_of_values
from .kinds.over_events import EVENT_KINDS
from .lookup_tables import LookupTable
from .named_columns import Changes, load_features, save_features
from .put_back import put_tables_back
from .recent import marked_quantile, move_markers, slope_of
from .slots import SlotGroup

__all__ = ["HELPERS", "Asked", "EventFeatures"]

_DAY_MS: Final = 86_400_000
HELPERS: Final[Mapping[str, Callable[..., Any]]] = {
    "_day_of_year": _day_of_year,
    "day_of_month": day_of_month,
    "month_of_year": month_of_year,
    "marked_quantile": marked_quantile,
    "move_markers": move_markers,
    "slope_of": slope_of,
}
"""What generated source calls that can be compiled to machine code, beside windows."""

Read = Callable[[Any, int], tuple[tuple[float, ...], tuple[int, ...], int, tuple[int, ...]]]
Update = Callable[[Any, int, Sequence[float], int, tuple[int, ...]], tuple[int, ...]]
Label = Callable[[tuple[int, ...], int, int, int, int], None]
Relabel = Callable[[tuple[int, ...], int, int, int, int, int], None]


class Asked(NamedTuple):
    """What a decision asks for.

    Attributes
    ----------
    on
        The type of the events that ask for it.
    features, crosses
        Those that it reads; None for all that events of the type have.
    """

    on: str
    features: Collection[str] | None = None
    crosses: Collection[str] | None = None


class EventFeatures:
    """Entities, their columns, and the functions over them that were compiled from declarations.

    Parameters
    ----------
    types
        The contract: fields of each event type, by name; each field has `type`, `required` and `values`.
    entities
        By name, with `fields_of(event_type)`, `keys_by_type`, `entities_max` and `idle_days_max`.
    features, bins, crosses
        The declarations, in their order.
    decisions
        What each decision asks for.
    tables
        Tables that features look up, by name, each with `holds`.

    Attributes
    ----------
    read
        By event type: `(event, time_ms) -> (values, slots, flags, rows)`. One float for each of the features
        `names_of[type]` (NaN where missing), one active slot for each group of `groups_of[type]`, one bit for
        each of `conditions_of[type]`, and the row of every entity in the order of declaration, 0 for one that
        is unknown or that events of the type don't name. There for the types on which a decision is asked,
        and those that move a feature on.
    update
        By event type: `(event, time_ms, values, input_number, rows) -> rows`: moves the state on by an event
        that was just read. There for those of these types that move a feature on or name an entity.
    label_of
        By decision: `(rows, number, flags, time_ms, label)`: takes in 1 or 0 for an event of that time; a row
        that was given to another entity since input `number` is passed over. There for the decisions whose
        target feeds a feature.
    relabel_of
        By decision: `(rows, number, flags, time_ms, old, new)`: takes the old label's effect back.
    slots_of
        By event type, where compiled `read` leaves the slots; the arrays stay the same ones. Empty for plain
        ones.
    names_of, groups_of, conditions_of
        By event type; see `read`. Conditions are told as they were declared. Groups may share an offset, as
        those of `ngrams` do: they share slots.
    tables
        Entities by name.
    lookup_tables
        Tables by name; `replace` puts a content into one, `key<tab>value` an entry.
    source
        Of all functions.
    """

    def __init__(
        self,
        types: Mapping[str, Mapping[str, EventField]],
        entities: Mapping[str, Any],
        features: Mapping[str, Any],
        bins: Mapping[str, Any],
        crosses: Mapping[str, Any],
        decisions: Mapping[str, Asked],
        tables: Mapping[str, Any] = {},
    ) -> None:
        self.types, self.entities, self.features = types, entities, features
        self.bins, self.crosses, self.decisions = bins, crosses, decisions
        self.tables = {
            name: Entities(settings.entities_max, round(settings.idle_days_max * _DAY_MS))
            for name, settings in entities.items()
        }
        self.lookup_tables = {name: LookupTable(each.holds) for name, each in tables.items()}
        self.priors: dict[str, array[float]] = {}
        self.prior_of: dict[str, array[float]] = {}
        self.key_fields = {
            (name, event_type): key_fields(settings, event_type, fields)
            for name, settings in entities.items()
            for event_type, fields in types.items()
        }
        asked_on = {name: asked.on for name, asked in decisions.items()}
        self.lines = EventLines(
            self.tables, self.priors, entities, features, types, asked_on, self.lookup_tables
        )
        self._write_features()
        self.writer = EventSource(self.lines, entities, bins, crosses, self.key_fields)
        self.readings = {name: self._reading(name) for name in types if self._reads(name)}
        self.names_of = {name: reading.names for name, reading in self.readings.items()}
        self.groups_of: dict[str, tuple[SlotGroup, ...]] = {
            name: reading.groups for name, reading in self.readings.items()
        }
        self.conditions_of = {
            name: tuple(self.lines.conditions.get(name, {}).values()) for name in self.readings
        }
        self._compile()

    # -- what is written

    def _write_features(self) -> None:
        lines = self.lines
        lines.names |= {**HELPERS, "haversine_km": haversine_km}
        for name, declaration in self.features.items():
            lines.begin(name)
            EVENT_KINDS[declaration.kind](lines, lines.value(name), declaration)
            lines.end()
            if lines.value(name) in self.priors:
                self.prior_of[name] = self.priors[lines.value(name)]

    def _reads(self, event_type: str) -> bool:
        asked = any(asked.on == event_type for asked in self.decisions.values())
        return asked or bool(self.fed_by(event_type))

    def fed_by(self, event_type: str) -> tuple[str, ...]:
        """Features that events of a type move on."""
        return tuple(name for name, each in self.features.items() if getattr(each, "on", None) == event_type)

    def readable_on(self, event_type: str) -> tuple[str, ...]:
        """Features that can be read of events of a type."""
        return readable_on(self.features, self.entities, event_type, self.types[event_type])

    def _reading(self, event_type: str) -> Reading:
        readable = self.readable_on(event_type)
        wanted: dict[str, None] = {}
        crosses: dict[str, None] = {}
        for asked in self.decisions.values():
            if asked.on == event_type:
                own = [
                    name
                    for name, cross in self.crosses.items()
                    if set(cross_features(cross, self.bins)) <= set(readable)
                    and (asked.crosses is None or name in asked.crosses)
                ]
                crosses |= dict.fromkeys(own)
                wanted |= dict.fromkeys(
                    name for name in readable if asked.features is None or name in asked.features
                )
        ordered = [name for name in self.crosses if name in crosses]
        return self.writer.reading(event_type, wanted, ordered)

    def _created_by(self, event_type: str) -> set[str]:
        """Entities that events of a type bring into being."""
        told = {name for name, asked in self.decisions.items() if asked.on == event_type}
        return {
            each.entity
            for each in self.features.values()
            if getattr(each, "entity", None)
            and (getattr(each, "on", None) == event_type or getattr(each, "decision", None) in told)
        }

    def _compile(self) -> None:
        writer, parts = self.writer, list[str]()
        self.created_by = {name: self._created_by(name) for name in self.readings}
        # Types that neither move nor name anything get no such function: nothing is called for their events.
        moved = [name for name in self.readings if writer.moves(name) or writer.seen_lines(name)]
        for name, reading in self.readings.items():
            parts.append(writer.read(f"read_{name}", name, reading))
            if name in moved:
                parts.append(writer.update(f"update_{name}", name, reading, self.created_by[name]))
        for decision, lines in self.lines.labels.items():
            parts.append(writer.label(f"label_{decision}", "rows, number, flags, t, label", lines))
            relabels = self.lines.relabels[decision]
            parts.append(writer.label(f"relabel_{decision}", "rows, number, flags, t, old, new", relabels))
        self.source = "\n\n\n".join(parts)
        names = self.lines.names
        exec(compile(self.source, "<features>", "exec"), names)  # noqa: S102  # made here, from checked names and numbers
        self.read: dict[str, Read] = {name: names[f"read_{name}"] for name in self.readings}
        self.update: dict[str, Update] = {name: names[f"update_{name}"] for name in moved}
        self.slots_of: dict[str, array[Any]] = {}
        self.label_of: dict[str, Label] = {name: names[f"label_{name}"] for name in self.lines.labels}
        self.relabel_of: dict[str, Relabel] = {name: names[f"relabel_{name}"] for name in self.lines.labels}

    # -- what time and commands bring

    def sweep(self, now_ms: int, rows: int) -> None:
        """Let each table's hand pass over some rows and evict idle entities."""
        for table in self.tables.values():
            table.sweep(now_ms, rows)

    def put_back(self, to_ms: int) -> int:
        """Drop what lies ahead of a time, and count it; see `put_tables_back`."""
        dropped = put_tables_back(self.tables, self.lines.windows, self.lines.times, to_ms)
        return dropped + sum(ring.put_back(to_ms) for ring in self.lines.rings)

    def rows_of(self, entity: str, values: Values) -> Iterator[tuple[int, int]]:
        """Yield row and creating input of the entities that values name; see `rows_of_values`."""
        return rows_of_values(self, entity, values)

    def forget(self, values: Values) -> int:
        """Forget what values name, by their fields, and count the entities; see `forget_values`."""
        return forget_values(self, values)

    # -- the state as a whole

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        return save_features(self)

    def load(self, blobs: Mapping[str, bytes], restart: Collection[str] = ()) -> Changes:
        """Take over a saved state, perhaps of other declarations; see `load_features`."""
        return load_features(self, blobs, restart)

    def configure(self, entities: Mapping[str, Any]) -> None:
        """Take over other limits of the same entities."""
        for name, settings in entities.items():
            table = self.tables[name]
            table.entities_max, table.idle_ms_max = (
                settings.entities_max,
                round(settings.idle_days_max * _DAY_MS),
            )
