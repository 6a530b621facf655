"""What a shard's checkpoint says besides the state: which version and sources, behind which journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headrace.journal.frames import Boundary
from headrace.journal.known_sources import KnownSources
from headrace.journal.provenance import Provenance

__all__ = ["STATE_VERSION", "header_of", "place_of"]

STATE_VERSION: Final = 2


def header_of(provenance: Provenance, sources: KnownSources, sinks: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out a checkpoint's header."""
    return {
        "version": STATE_VERSION,
        **provenance.said(),
        **sources.header(),
        **({"sinks": sinks} if sinks else {}),
    }


def place_of(boundary: Boundary) -> list[Any]:
    """Return what a segment's head says of all before it."""
    return [boundary.seq, boundary.ordinal, boundary.chain.hex(), [list(mark) for mark in boundary.marks]]
