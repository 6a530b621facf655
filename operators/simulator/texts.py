"""Names and times as text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .draws import Ints

__all__ = ["names", "rfc3339"]


def names(prefix: str, numbers: Iterable[int]) -> list[str]:
    """Ids of a letter and eight hexadecimal digits."""
    return [f"{prefix}-{number:08x}" for number in numbers]


def rfc3339(time_s: Ints) -> list[str]:
    """Seconds since the epoch as RFC 3339, in UTC."""
    moments = time_s.astype("datetime64[s]")
    texts: list[str] = np.datetime_as_string(moments, timezone="UTC").tolist()
    return texts
