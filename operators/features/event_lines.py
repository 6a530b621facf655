"""The lines of functions over several event types, as kinds of feature add to them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any, Final

from ...config.event_reading import EventField, known_values
from ..events.time_zones import Zone
from .categories import buckets_of, numbered
from .entities import Column, Entities
from .lookup_tables import LookupTable
from .put_back import Ring
from .source_lines import SourceLines

__all__ = [
    "KINDS_NEVER_MISSING",
    "EventLines",
    "FeatureLines",
    "field_local",
]

KINDS_NEVER_MISSING: Final = frozenset({"calendar", "count", "sum", "distinct", "rate", "positive_streak"})


def field_local(name: str) -> str:
    """Return the local that holds a number of the event."""
    return f"e_{name}"


@dataclass(slots=True)
class FeatureLines:
    """The lines that read one feature.

    Attributes
    ----------
    read
        Those that can be compiled to machine code.
    objects
        Those that work on Python's objects; they come before.
    handed
        Locals that `objects` sets and `read`, or whoever reads the feature, uses.
    """

    read: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)


class EventLines(SourceLines):
    """Collects the lines feature by feature, and what moves features on by event type.

    Parameters
    ----------
    tables, priors, entities, features
        See `SourceLines`.
    types
        Fields of each event type, by name.
    asked_on
        For each decision, the event type that asks for it.
    lookup_tables
        By name.

    Attributes
    ----------
    of
        The lines that read each feature.
    updates, object_updates
        By event type, the lines that move features on.
    labels, relabels
        By decision, the lines that take in what its target told.
    conditions
        By event type, the sources of the conditions of features that targets feed, in the order of their
        bits, each with how it was declared.
    columns
        Columns of each entity, by the name of their owner and their number among its columns.
    distinct
        Columns of mappings, likewise.
    owners
        For each feature, the owners of columns that it reads.
    zones
        The locals that hold the time of a zone, and the zones.
    sizes
        Of features that are categories: how many there are, without the one for missing.
    several
        Of features of several slots: the locals that hold them.
    feature
        The one that was begun last.
    """

    def __init__(
        self,
        tables: Mapping[str, Entities],
        priors: dict[str, array[float]],
        entities: Mapping[str, Any],
        features: Mapping[str, Any],
        types: Mapping[str, Mapping[str, EventField]],
        asked_on: Mapping[str, str],
        lookup_tables: Mapping[str, LookupTable],
    ) -> None:
        super().__init__(tables, priors, entities, features)
        self.types, self.asked_on, self.lookup_tables = types, asked_on, lookup_tables
        self.of: dict[str, FeatureLines] = {}
        self.updates: dict[str, list[str]] = {}
        self.object_updates: dict[str, list[str]] = {}
        self.labels: dict[str, list[str]] = {}
        self.relabels: dict[str, list[str]] = {}
        self.conditions: dict[str, dict[str, str]] = {}
        self.columns: dict[str, dict[str, Column]] = {name: {} for name in entities}
        self.distinct: dict[str, dict[str, list[dict[str, int] | None]]] = {name: {} for name in entities}
        self.owners: dict[str, list[str]] = {}
        self.zones: dict[str, Zone] = {}
        self.rings: list[Ring] = []
        self.sizes: dict[str, int] = {}
        self.several: dict[str, tuple[str, ...]] = {}
        self._owner = self.feature = ""

    # -- one feature after another

    def begin(self, name: str) -> None:
        """Begin with a feature: what is added now is its own."""
        self._owner = self.feature = name
        self.owners[name] = [name]
        self.read_lines, self.object_read_lines, self.object_features = [], [], []

    def end(self) -> None:
        """End the feature that was begun."""
        self.of[self.feature] = FeatureLines(self.read_lines, self.object_read_lines, self.object_features)

    # -- columns

    def column(self, entity: str, typecode: str, initial: float, width: int = 1) -> str:
        """See `SourceLines.column`."""
        added = self.tables[entity].column(typecode, initial, width)
        owned = self.columns[entity]
        number = sum(each.partition("/")[0] == self._owner for each in owned)
        # Named by its feature and its number within that: declarations around it may come and go between two
        # runs.
        owned[f"{self._owner}/{number}"] = added
        return self.bind(added.values)

    def distinct_column(self, entity: str) -> str:
        """See `SourceLines.distinct_column`."""
        self.distinct[entity][self._owner] = added = self.tables[entity].distinct_column()
        return self.bind(added)

    def ring(self, entity: str, width: int) -> tuple[str, str, str]:
        """Add a ring of the entity's last values: how many came, the values, and their times; name them."""
        count = self.column(entity, "q", 0)
        values, times = self.column(entity, "d", 0.0, width), self.column(entity, "q", 0, width)
        self.rings.append(Ring(self.names[count], self.names[values], self.names[times], width))
        return count, values, times

    def zone(self, name: str) -> str:
        """Return the local that holds the event's time in a zone, in milliseconds."""
        for local, zone in self.zones.items():
            if zone.name == name:
                return local
        # One conversion for an event and zone, however many features ask for the hour.
        local = f"z{len(self.zones)}"
        self.zones[local] = Zone(name)
        self.names[f"local_{local}"] = self.zones[local].local_ms
        return local

    # -- values

    def value(self, name: str) -> str:
        """Name a feature's value, or a number of the event."""
        return f"f{self.numbers[name]}" if name in self.numbers else field_local(name)

    def number(self, field: str) -> str:
        """Name a number of the event."""
        return field_local(field)

    def operand(self, declaration: Any) -> str:
        """See `SourceLines.operand`."""
        return self.value(declaration.value)

    def attribute(self, field: str) -> str:
        """See `SourceLines.attribute`."""
        # A field may be called `from` or `class`.
        return f'getattr(ev, "{field}")' if iskeyword(field) else f"ev.{field}"

    def may_miss(self, name: str) -> bool:
        """Whether a feature's value, or a number of an event, may be missing."""
        if name in self.numbers and self.features[name].kind == "field":
            name = self.features[name].value
        elif name in self.numbers:
            return self._may_be_missing(self.features[name])
        return any(may_be_none(fields[name]) for fields in self.types.values() if name in fields)

    @staticmethod
    def _may_be_missing(declaration: Any) -> bool:
        if declaration.kind == "positive_share":
            return declaration.prior is None
        return declaration.kind not in KINDS_NEVER_MISSING

    def vocabulary(self, declaration: Any) -> Callable[[Any], float]:
        """Return what numbers the categories of the feature that was begun, and note how many there are."""
        values = declaration.values
        if values is None and declaration.kind == "category":
            values = known_values(declaration.value, self.types)
        if values is None:
            self.sizes[self.feature] = declaration.buckets
            return buckets_of(declaration.buckets)
        # One more, for whatever isn't among the values.
        self.sizes[self.feature] = len(values) + 1
        return numbered(values)

    # -- what moves features on

    def update(self, declaration: Any, lines: list[str], *, objects: bool = False) -> None:
        """Add update lines for events of the declared type, under the declaration's condition."""
        guards = [self.rows[declaration.entity]]
        condition = self.condition(declaration)
        if condition:
            guards.append(condition)
        value = getattr(declaration, "value", None)
        if declaration.kind != "distinct" and value is not None and self.may_miss(value):
            guards.append(f"{self.value(value)} == {self.value(value)}")
        to = self.object_updates if objects else self.updates
        to.setdefault(declaration.on, []).extend(
            [f"if {' and '.join(guards)}:", *(f"    {line}" for line in lines)]
        )

    def flag(self, condition: str) -> str:
        """See `SourceLines.flag`; bits are given by event type."""
        conditions = self.conditions.setdefault(self.asked_on[self._decision], {})
        conditions.setdefault(condition, " and ".join(map(str, self.features[self.feature].when)))
        return f"flags & {1 << list(conditions).index(condition)}"

    @property
    def _decision(self) -> str:
        """Whose target feeds the feature that was begun."""
        decision: str = self.features[self.feature].decision
        return decision

    def episode_group(self, declaration: Any) -> str:
        """See `SourceLines.episode_group`."""
        self.owners[self.feature].append(self.episode_owner(declaration))
        return f"{declaration.entity}:{declaration.decision}"

    def episode_columns(self, declaration: Any) -> tuple[str, str, str, str, str]:
        """See `SourceLines.episode_columns`; as several features read them, they have an own name."""
        self._owner = self.episode_owner(declaration)
        added = super().episode_columns(declaration)
        self._owner = self.feature
        return added

    @staticmethod
    def episode_owner(declaration: Any) -> str:
        """Name what owns the columns of episodes."""
        conditions = ",".join(map(str, getattr(declaration, "when", ())))
        return f"{declaration.decision}({conditions})".replace("/", "")

    def on_label(self, row: str, guard: str, lines: list[str]) -> None:
        """See `SourceLines.on_label`."""
        to = self.labels.setdefault(self._decision, [])
        to += [f"if {row} and {guard}:", *[f"    {line}" for line in lines]]

    def on_relabel(self, row: str, lines: list[str]) -> None:
        """See `SourceLines.on_relabel`."""
        self.relabels.setdefault(self._decision, []).extend(
            [f"if {row}:", *[f"    {line}" for line in lines]]
        )


def may_be_none(field: EventField) -> bool:
    """Whether the field may be None: where an event hasn't it, or says so in spite of a default."""
    return not field.required
