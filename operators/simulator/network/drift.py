"""How customers and frauds change with the days."""

from __future__ import annotations

import numpy as np

from ..draws import Floats, Ints
from .presets import NetworkPreset

__all__ = ["novel_share", "season"]


def novel_share(preset: NetworkPreset, day: Ints | Floats) -> Floats:
    """Return the share of frauds that are done in the new way, by days from the first written one."""
    day = np.asarray(day, dtype=np.float64)
    share = np.zeros(day.shape)
    for shift in preset.shifts:
        over = max(shift.end_day - shift.first_day, 0)
        done = (day >= shift.first_day) if not over else np.clip((day - shift.first_day) / over, 0.0, 1.0)
        share = np.maximum(share, shift.share * done)
    return share


def season(preset: NetworkPreset, day: Ints | Floats) -> Floats:
    """How high the season is, 0 to 1, by days from the first written one."""
    if preset.season is None:
        return np.zeros(np.shape(day))
    height: Floats = (1.0 - np.cos(2.0 * np.pi * np.asarray(day) / preset.season.period_days)) / 2.0
    return height
