"""The source of the functions that declared features are compiled to."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...config.fraud_flow import BinDeclaration, CrossDeclaration, EntitySettings
from .entities import Entities
from .kinds import KINDS
from .slots import write_slots
from .source_lines import SourceLines
from .window_lines import pane_local

__all__ = ["SourceWriter"]

_PANES: Final = re.compile(r"\bpane_([0-9]+)\b")
_AMOUNT: Final = re.compile(r"(?<!\.)\bamount\b")


class SourceWriter:
    """Writes the generated functions.

    Parameters
    ----------
    tables
        Of the entities, still empty; features add their columns to them.
    priors
        Gets what is kept over all entities, by feature.
    entities, features, bins, crosses
        The declarations.

    Attributes
    ----------
    lines
        What the features have added.
    groups
        The crosses, with their slots.
    active
        The source of each cross's active slot.
    """

    def __init__(
        self,
        tables: Mapping[str, Entities],
        priors: dict[str, array[float]],
        entities: Mapping[str, EntitySettings],
        features: Mapping[str, Any],
        bins: Mapping[str, BinDeclaration],
        crosses: Mapping[str, CrossDeclaration],
    ) -> None:
        self.entities, self.features = entities, features
        self.lines = lines = SourceLines(tables, priors, entities, features)
        self.clicked = {each.entity for each in features.values() if getattr(each, "on", "") == "click"}
        self.paid = {
            each.entity
            for each in features.values()
            if getattr(each, "on", "payment") == "payment" and hasattr(each, "entity")
        }
        for name, declaration in features.items():
            KINDS[declaration.kind](lines, lines.value(name), declaration)
        self.groups, self.active = write_slots(lines, bins, crosses)

    @staticmethod
    def function(name: str, parameters: str, lines: list[str], first: Sequence[str] = ()) -> str:
        """Return a function of these lines, which finds before them the panes and the amount they speak of.

        What comes `first` stands before those too, as where it finds the time.
        """
        panes = sorted({int(pane_ms) for line in lines for pane_ms in _PANES.findall(line)})
        body = [*(f"{pane_local(pane_ms)} = t // {pane_ms}" for pane_ms in panes), *lines]
        if "amount" not in parameters and any(map(_AMOUNT.search, lines)):
            body.insert(0, "amount = ev.amount")
        body = [*first, *body] or ["pass"]
        return "\n".join([f"def {name}({parameters}):", *[f"    {line}" for line in body]])

    def source(self) -> str:
        """Return the generated functions; `update_click` is there only if clicks feed a feature."""
        for number, entity in enumerate(self.entities):
            table = self.lines.tables[entity]
            self.lines.names |= {
                f"index{number}": table.index,
                f"create{number}": table.create,
                f"seen{number}": table.last_seen.values,
                f"created{number}": table.created.values,
            }
        owned = [*([self.taken_rows()] if self.entities else []), *self.owned_lines()]
        clicks = (
            [self.function("update_click", "ev, t, number", self._click_body())]
            if self.lines.click_lines
            else []
        )
        return "\n\n\n".join(
            [
                *clicks,
                self.function(
                    "read",
                    "ev, t",
                    [
                        *self.lookup(),
                        *self.lines.object_read_lines,
                        *self.lines.read_lines,
                        *self._returned(),
                    ],
                ),
                self.function("update", "ev, t, values, number, rows", self._update_body()),
                self.function("label", "rows, number, flags, t, label", [*owned, *self.lines.label_lines]),
                self.function(
                    "relabel", "rows, number, flags, t, old, new", [*owned, *self.lines.relabel_lines]
                ),
            ]
        )

    def lookup(self) -> list[str]:
        """Lines that find the row of each of the event's entities."""
        return [
            f"r{number} = index{number}.get(ev.{settings.key}, 0)"
            for number, settings in enumerate(self.entities.values())
        ]

    def flag_lines(self) -> list[str]:
        """Lines that find which conditions of the features that outcomes feed are met."""
        return ["flags = 0", *(f"if {met}: flags |= {bit}" for met, bit in self.lines.flags.items())]

    def _returned(self) -> list[str]:
        values = "".join(f"f{number}, " for number in range(len(self.features)))
        slots = "".join(f"{slot}, " for slot in self.active)
        rows = "".join(f"{row}, " for row in self.lines.rows.values())
        return [*self.flag_lines(), f"return ({values}), ({slots}), flags, ({rows})"]

    def taken_rows(self) -> str:
        """Return a line that takes `rows` apart."""
        return "".join(f"{row}, " for row in self.lines.rows.values()) + "= rows"

    def owned_lines(self) -> list[str]:
        """Lines that let go of rows which were given to another entity since the payment."""
        # One that was created later isn't the payment's.
        return [
            f"if created{number}[r{number}] > number: r{number} = 0" for number in range(len(self.entities))
        ]

    def create_lines(self) -> list[str]:
        """Lines that give new entities of a payment their rows."""
        lines = []
        for number, (entity, settings) in enumerate(self.entities.items()):
            # An entity that only clicks feed is of no use to a payment, and gets no row by one.
            if entity not in self.clicked or entity in self.paid:
                lines += [
                    f"if not r{number}:",
                    f"    x = ev.{settings.key}",
                    f"    if x is not None: r{number} = create{number}(x, number)",
                ]
        return lines

    def seen_lines(self) -> list[str]:
        """Lines that note when the entities of a payment were seen."""
        return [
            f"if t > seen{number}[r{number}] and r{number}: seen{number}[r{number}] = t"
            for number in range(len(self.entities))
        ]

    def _update_body(self) -> list[str]:
        values = "".join(f"f{number}, " for number in range(len(self.features)))
        rows = "".join(f"{row}, " for row in self.lines.rows.values())
        return [
            *([f"{values}= values"] if values else []),
            *([self.taken_rows()] if self.lines.rows else []),
            *self.create_lines(),
            *self.seen_lines(),
            *self.lines.update_lines,
            *self.lines.object_update_lines,
            f"return ({rows})",
        ]

    def _click_body(self) -> list[str]:
        lines = []
        for number, (entity, settings) in enumerate(self.entities.items()):
            if entity in self.clicked:
                lines += [
                    f"x = ev.{settings.key}",
                    f"r{number} = 0 if x is None else index{number}.get(x) or create{number}(x, number)",
                    f"if t > seen{number}[r{number}] and r{number}: seen{number}[r{number}] = t",
                ]
        return [*lines, *self.lines.click_lines]
