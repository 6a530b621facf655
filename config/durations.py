"""Durations as a configuration writes them, such as `15m` or `14d`."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

__all__ = [
    "HALF_LIFE_MS_MAX",
    "LONG_WINDOW_MS_MAX",
    "UNIT_MS",
    "WINDOW_MS_MAX",
    "HalfLife",
    "LongWindow",
    "Window",
    "duration_ms",
]

UNIT_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_MINUTE_MS: Final = UNIT_MS["m"]
WINDOW_MS_MAX: Final = 40 * UNIT_MS["d"]
LONG_WINDOW_MS_MAX: Final = 400 * UNIT_MS["d"]
HALF_LIFE_MS_MAX: Final = 400 * UNIT_MS["d"]


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `90s`, `15m`, `24h` or `14d`.

    Raises
    ------
    ValueError
        If it isn't a whole number followed by one of these units.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"must be a whole number and a unit, such as 15m, 24h or 14d (is {text!r})")
    return int(match[1]) * UNIT_MS[match[2]]


def _shortest(text: str, ms_max: int) -> str:
    """Write a duration in the largest unit that divides it, so that `24h` and `1d` are one setting."""
    ms = duration_ms(text)
    if not _MINUTE_MS <= ms <= ms_max:
        raise ValueError(f"must be between 1m and {ms_max // UNIT_MS['d']}d (is {text!r})")
    unit = next(unit for unit, size in UNIT_MS.items() if ms % size == 0)
    return f"{ms // UNIT_MS[unit]}{unit}"


Window = Annotated[str, AfterValidator(lambda text: _shortest(text, WINDOW_MS_MAX))]
LongWindow = Annotated[str, AfterValidator(lambda text: _shortest(text, LONG_WINDOW_MS_MAX))]
HalfLife = Annotated[str, AfterValidator(lambda text: _shortest(text, HALF_LIFE_MS_MAX))]
