"""Lines of generated source that read how long ago something was."""

from __future__ import annotations

from typing import Final

__all__ = ["read_age"]

_DAY_MS: Final = 86_400_000


def read_age(f: str, time: str, window_ms: int | None, unit_ms: int = _DAY_MS) -> list[str]:
    """Lines that read how long ago a time is; missing when there is none, or it is older than the window."""
    within = "" if window_ms is None else f" and t - {f} <= {window_ms}"
    return [f"{f} = {time}", f"{f} = (t - {f} if t > {f} else 0) / {unit_ms}.0 if {f}{within} else nan"]
