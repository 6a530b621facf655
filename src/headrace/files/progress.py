"""How much of the inputs was read."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Progress"]


class Progress(NamedTuple):
    """How much of the inputs was read.

    Attributes
    ----------
    bytes_done
        Bytes of the files, compressed ones if they are compressed.
    bytes_total
        Their size; None when one of them is a pipe.
    """

    bytes_done: int
    bytes_total: int | None
