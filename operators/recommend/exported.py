"""What an exported ledger says of slates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from .detail import read
from .explained import explained_items

__all__ = ["SlateLayout", "list_values"]


@dataclass(frozen=True)
class SlateLayout:
    """How slates are laid out in the journal: always the same."""


def list_values(
    items: Sequence[list[dict[str, Any]]], clicked: Sequence[str | None], details: Sequence[bytes]
) -> dict[str, list[Any]]:
    """Columns of decisions: the clicked item, the slate as JSON, how many items were ranked.

    Raises
    ------
    ValueError
        If a detail is none of a slate.
    """
    return {
        "item_id": list(clicked),
        "items": [_items({"items": each}, detail) for each, detail in zip(items, details, strict=True)],
        "candidates": [read(detail).candidates for detail in details],
    }


def _items(decision: dict[str, Any], detail: bytes) -> str:
    return orjson.dumps([asdict(item) for item in explained_items(decision, detail)]).decode()
