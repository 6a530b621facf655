"""Declared features compiled into Python functions over tables of entities.

A declaration becomes straight-line source with every constant in place and every column bound as a global of
the generated module; nothing is interpreted for each event. The source is kept in `FeatureSet.source`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ...config.fraud_flow import BinDeclaration, CrossDeclaration, EntitySettings
from ..events.contract import Click, Payment
from .entities import Entities
from .put_back import put_tables_back
from .slots import SlotGroup
from .source import SourceWriter

__all__ = ["FeatureSet", "SlotGroup"]

_DAY_MS = 86_400_000


class FeatureSet:
    """Entities, their feature columns, and the compiled functions over them.

    Attributes
    ----------
    read
        `(payment, time_ms) -> (values, slots, flags, rows)`: one float for each feature in the order of
        declaration (NaN where missing), one active slot for each cross, one bit for each condition of the
        features that outcomes feed, and the row of each entity (0 for one that is unknown).
    update
        `(payment, time_ms, values, input_number, rows) -> rows`: moves the state on by a payment that was
        just read; gives the row of each entity (0 where the payment names none).
    update_click
        `(click, time_ms, input_number)`: moves the features on that clicks feed; None when there are none.
    label
        `(rows, number, flags, time_ms, label)`: takes in a confirmed outcome of a payment of that time; a row
        that was given to another entity since input `number` is passed over.
    relabel
        `(rows, number, flags, time_ms, old, new)`: takes the old label's effect back and takes in the new
        one.
    writer
        What the functions were written by.
    """

    read: Callable[[Payment, int], tuple[tuple[float, ...], tuple[int, ...], int, tuple[int, ...]]]
    update: Callable[[Payment, int, Sequence[float], int, tuple[int, ...]], tuple[int, ...]]
    update_click: Callable[[Click, int, int], None] | None
    label: Callable[[tuple[int, ...], int, int, int, int], None]
    relabel: Callable[[tuple[int, ...], int, int, int, int, int], None]

    def __init__(
        self,
        entities: Mapping[str, EntitySettings],
        features: Mapping[str, Any],
        bins: Mapping[str, BinDeclaration],
        crosses: Mapping[str, CrossDeclaration],
    ) -> None:
        self.names = tuple(features)
        self._keys = [settings.key for settings in entities.values()]
        self.tables = {
            name: Entities(settings.entities_max, round(settings.idle_days_max * _DAY_MS))
            for name, settings in entities.items()
        }
        self.globals: dict[str, array[float]] = {}
        self.writer = writer = SourceWriter(self.tables, self.globals, entities, features, bins, crosses)
        self.groups = writer.groups
        self.slots = sum(group.size for group in self.groups)
        self.source = writer.source()
        exec(compile(self.source, "<features>", "exec"), writer.lines.names)
        for name in ("read", "update", "label", "relabel"):
            setattr(self, name, writer.lines.names[name])
        self.update_click = writer.lines.names.get("update_click")

    def rows(self, payment: Payment) -> tuple[int, ...]:
        """Return the row of each of the payment's entities, 0 for one not yet seen."""
        return tuple(
            table.index.get(getattr(payment, key), 0)
            for table, key in zip(self.tables.values(), self._keys, strict=True)
        )

    def sweep(self, now_ms: int, rows: int) -> None:
        """Let each table's hand pass over some rows and evict idle entities."""
        for table in self.tables.values():
            table.sweep(now_ms, rows)

    def put_back(self, to_ms: int) -> int:
        """Drop what lies ahead of a time, and count it; see `put_tables_back`."""
        return put_tables_back(self.tables, self.writer.lines.windows, self.writer.lines.times, to_ms)

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        blobs: dict[str, bytes | array[int] | array[float]] = {
            f"{name}/{part}": blob
            for name, table in self.tables.items()
            for part, blob in table.save().items()
        }
        blobs["globals"] = msgspec.msgpack.encode(
            {name: list(column) for name, column in self.globals.items()}
        )
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a saved state."""
        for name, table in self.tables.items():
            prefix = f"{name}/"
            table.load({key[len(prefix) :]: blob for key, blob in blobs.items() if key.startswith(prefix)})
        for name, values in msgspec.msgpack.decode(blobs["globals"], type=dict[str, list[float]]).items():
            self.globals[name][:] = array("d", values)
