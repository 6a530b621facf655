"""Writes events when they arrive, at a multiple of event time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import numpy as np

from .draws import Ints

__all__ = ["play"]


def play(
    blocks: Iterable[tuple[Ints, Sequence[str]]],
    file: BinaryIO,
    speed: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write each line when it is due, and flush; the first one is due at once.

    Parameters
    ----------
    blocks
        When lines arrive, in seconds, ascending, and their texts.
    file
        Where they go.
    speed
        Seconds of event time for a second.
    now, sleep
        The clock, in seconds, and how to wait for it.

    Raises
    ------
    ValueError
        If the speed is not positive.
    """
    if not speed > 0:
        raise ValueError("speed must be positive")
    begun = now()
    first_s: int | None = None
    for arrival_s, lines in blocks:
        first_s = int(arrival_s[0]) if first_s is None else first_s
        due = (arrival_s - first_s) / speed
        written = 0
        while written < len(lines):
            passed = now() - begun
            # All that is due goes out in one write: who wakes up late catches up, and keeps the pace from the
            # beginning.
            end = int(np.searchsorted(due, passed, side="right"))
            if end <= written:
                sleep(float(due[written]) - passed)
                continue
            file.write("".join(lines[written:end]).encode(errors="surrogateescape"))
            file.flush()
            written = end
