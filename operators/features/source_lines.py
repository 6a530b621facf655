"""The lines of the generated functions, and the names in them, as kinds of feature add to them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final

from ...config.fraud_flow import EntitySettings
from . import windows
from .entities import Entities
from .episodes import HISTORY
from .put_back import Times, Window

__all__ = ["FIELDS", "NEVER_MISSING", "SourceLines"]

FIELDS: Final = {
    "amount": "amount",
    "hour_of_day": "t // 3600000 % 24",
    "day_of_week": "(t // 86400000 + 3) % 7",
}
_CLICK_FIELDS: Final = {"price": "ev.price"}
NEVER_MISSING: Final = {"field", "count", "sum", "distinct", "fraud_streak"}


class SourceLines:
    """Collects the lines of the generated functions, feature by feature.

    Parameters
    ----------
    tables
        Of the entities, still empty; features add their columns to them.
    priors
        Gets what is kept over all entities, by feature.
    entities, features
        The declarations.

    Attributes
    ----------
    names
        The globals of the generated module.
    rows
        The local that holds the row of an entity, by its name.
    read_lines, update_lines, click_lines, label_lines, relabel_lines
        Bodies of the generated functions.
    object_features, object_read_lines, object_update_lines
        The features that work on Python's objects, and their lines.
    flags
        The bit of each condition of the features that outcomes feed.
    episodes
        Names of episodes by entity and condition; features with the same ones share them.
    windows, times
        Columns that a clock which is put back changes.
    """

    def __init__(
        self,
        tables: Mapping[str, Entities],
        priors: dict[str, array[float]],
        entities: Mapping[str, EntitySettings],
        features: Mapping[str, Any],
    ) -> None:
        self.tables, self.priors, self.features = tables, priors, features
        self.numbers = {name: number for number, name in enumerate(features)}
        self.rows = {name: f"r{number}" for number, name in enumerate(entities)}
        self.names: dict[str, Any] = {
            "bisect": bisect_right,
            "nan": math.nan,
            "inf": math.inf,
            "sqrt": math.sqrt,
            **{name: getattr(windows, name) for name in windows.__all__},
        }
        self.read_lines: list[str] = []
        self.update_lines: list[str] = []
        # Those that work on Python's objects, which compiled code can't.
        self.object_features: list[str] = []
        self.object_read_lines: list[str] = []
        self.object_update_lines: list[str] = []
        self.click_lines: list[str] = []
        self.label_lines: list[str] = []
        self.relabel_lines: list[str] = []
        self.flags: dict[str, int] = {}
        self.episodes: dict[tuple[str, str], str] = {}
        # What a clock that is put back changes.
        self.windows: list[Window] = []
        self.times: list[Times] = []
        self._columns = 0

    def column(self, entity: str, typecode: str, initial: float, width: int = 1) -> str:
        """Add a column to an entity's table, and name it."""
        return self.bind(self.tables[entity].column(typecode, initial, width).values)

    def bind(self, value: object) -> str:
        """Name an object in the generated module."""
        name = f"c{self._columns}"
        self._columns += 1
        self.names[name] = value
        return name

    def distinct_column(self, entity: str) -> str:
        """Add a column of mappings to an entity's table, and name it."""
        return self.bind(self.tables[entity].distinct_column())

    def time_column(self, entity: str, *, drops: bool = True) -> str:
        """Return a column of times."""
        name = self.column(entity, "q", 0)
        self.times.append(Times(self.names[name], drops))
        return name

    def note_window(
        self, head: str, pane_ms: int, panes: int, parts: list[tuple[str, str, str, str]]
    ) -> None:
        """Take note of a window's columns."""
        columns = tuple((self.names[total], self.names[ring], how) for total, ring, how, _ in parts)
        self.windows.append(Window(self.names[head], pane_ms, panes, columns))

    def value(self, name: str) -> str:
        """Name a feature's value, or a field of the payment."""
        return f"f{self.numbers[name]}" if name in self.numbers else f"({FIELDS[name]})"

    def may_miss(self, name: str) -> bool:
        """Whether a feature's value may be missing."""
        return name in self.numbers and self.features[name].kind not in NEVER_MISSING

    def attribute(self, field: str) -> str:
        """Write a field of the event."""
        return f"ev.{field}"

    def condition(self, declaration: Any) -> str:
        """Write the conditions under which a declaration takes an event in."""
        return " and ".join(
            f"{self.value(c.name)} {c.op} {c.number!r}" for c in getattr(declaration, "when", ())
        )

    def flag(self, condition: str) -> str:
        """Write the test of a condition that was met when the payment was read."""
        bit = self.flags.setdefault(condition, 1 << len(self.flags))
        return f"flags & {bit}"

    def operand(self, declaration: Any) -> str:
        """Return what a declaration takes in: a feature of the payment, or a field of the click."""
        if getattr(declaration, "on", "payment") == "click":
            return _CLICK_FIELDS[declaration.value]
        return self.value(declaration.value)

    def update(self, declaration: Any, lines: list[str], *, objects: bool = False) -> None:
        """Add update lines for a declaration's entity, under its condition."""
        guards = [self.rows[declaration.entity]]
        if getattr(declaration, "on", "payment") == "click":
            if getattr(declaration, "value", None) in _CLICK_FIELDS:
                guards.append(f"{self.operand(declaration)} is not None")
            self.click_lines += [f"if {' and '.join(guards)}:", *(f"    {line}" for line in lines)]
            return
        condition = self.condition(declaration)
        if condition:
            guards.append(condition)
        value = getattr(declaration, "value", None)
        if value is not None and self.may_miss(value):
            guards.append(f"{self.value(value)} == {self.value(value)}")
        to = self.object_update_lines if objects else self.update_lines
        to += [f"if {' and '.join(guards)}:", *(f"    {line}" for line in lines)]

    def counted(self, declaration: Any) -> str:
        """Whether a label counts: a legitimate one always, a fraud if the payment met the condition."""
        condition = self.condition(declaration)
        return f"(not {{label}} or {self.flag(condition)})" if condition else "True"

    def episode_group(self, declaration: Any) -> str:
        """Whose episodes are shared by features under one condition."""
        entity: str = declaration.entity
        return entity

    def episode_columns(self, declaration: Any) -> tuple[str, str, str, str, str]:
        """Add the columns of an entity's episodes under a condition, and name them."""
        entity = declaration.entity
        streak = self.column(entity, "i", 0)
        # Times of outcomes, which stand.
        first, legitimate = (self.time_column(entity, drops=False) for _ in range(2))
        history, seen = self.column(entity, "q", 0, HISTORY), self.column(entity, "i", 0)
        return streak, first, legitimate, history, seen

    def on_label(self, row: str, guard: str, lines: list[str]) -> None:
        """Add lines for an outcome, under a guard."""
        self.label_lines += [f"if {row} and {guard}:", *[f"    {line}" for line in lines]]

    def on_relabel(self, row: str, lines: list[str]) -> None:
        """Add lines for an outcome that is corrected."""
        self.relabel_lines += [f"if {row}:", *[f"    {line}" for line in lines]]
