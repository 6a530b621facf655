"""What a slate's record keeps in the journal only: from which item of the session each of its items came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from .rules import Place

__all__ = ["Origin", "SlateDetail", "pack", "read"]

_SUPPORT_MAX: Final = 0xFFFF


class Origin(NamedTuple):
    """Where an item of a slate came from.

    Attributes
    ----------
    anchor
        The session's item that its strongest source goes out from; None for none.
    support
        In how many recent sessions, or how many times, it was seen so.
    """

    anchor: str | None
    support: int


class SlateDetail(NamedTuple):
    """A detail taken apart.

    Attributes
    ----------
    origins
        Of each item of the slate, in its order.
    candidates
        How many items were ranked.
    """

    origins: tuple[Origin, ...]
    candidates: int


def pack(places: Sequence[Place], candidates: int, name_of: Callable[[int], str]) -> bytes:
    """Return the detail of a slate, as MessagePack."""
    anchors = [place.anchor for place in places]
    names = {anchor: place for place, anchor in enumerate(dict.fromkeys(anchors))}
    return msgspec.msgpack.encode(
        (
            [name_of(anchor) if anchor >= 0 else None for anchor in names],
            # Anchors repeat, at most a few for a slate: names once, and a byte for each item.
            bytes(map(names.__getitem__, anchors)),
            [min(place.support, _SUPPORT_MAX) for place in places],
            candidates,
        )
    )


def read(detail: bytes) -> SlateDetail:
    """Take a detail apart.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        names, places, support, candidates = msgspec.msgpack.decode(
            detail, type=tuple[list[str | None], bytes, list[int], int]
        )
        origins = [Origin(names[place], seen) for place, seen in zip(places, support, strict=True)]
    except (msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"no detail of a slate: {error}") from error
    return SlateDetail(tuple(origins), candidates)
