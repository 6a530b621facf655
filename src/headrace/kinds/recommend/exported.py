"""What an exported ledger says of slates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import orjson

from headrace.ledger.export_columns import Column, Values
from headrace.operators.recommend.detail import read
from headrace.operators.recommend.explained import explained_items

__all__ = ["SlateLayout"]


class _Kept(NamedTuple):
    items: list[dict[str, Any]]
    clicked: str | None
    detail: bytes


@dataclass(frozen=True)
class SlateLayout:
    """How slates stand in a table: always the same."""

    without: ClassVar[tuple[str, ...]] = ("score", "shadow_action", "policy_trace")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("item_id", "text", "the item that was clicked"),
        Column("items", "json", "the slate, best first: id, score, source, anchor, support, and text"),
        Column("candidates", "int", "how many items were ranked"),
    )
    with_outcomes: ClassVar[bool] = False
    event_fields: ClassVar[tuple[str, ...]] = (
        *("customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip", "currency"),
    )

    def kept(self, decision: dict[str, Any], event: dict[str, Any], detail: bytes) -> _Kept:
        """Hold the items, the one that was clicked, and where each came from."""
        # The list alone, not the decision: 16,384 rows are held at a time.
        return _Kept(decision["items"], event.get("item_id"), detail)

    def values(self, rows: Sequence[_Kept], shared: Mapping[str, Sequence[Any]]) -> Mapping[str, Values]:
        """Return the clicked item, the slate as JSON, and how many items were ranked."""
        del shared
        return {
            "item_id": [row.clicked for row in rows],
            "items": [_items({"items": row.items}, row.detail) for row in rows],
            "candidates": [read(row.detail).candidates for row in rows],
        }


def _items(decision: dict[str, Any], detail: bytes) -> str:
    return orjson.dumps([asdict(item) for item in explained_items(decision, detail)]).decode()
