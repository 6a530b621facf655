"""Time zones as a configuration names them."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator

from .base import did_you_mean

__all__ = ["ZoneName"]


def _zone(given: str) -> str:
    try:
        ZoneInfo(given)
    except (KeyError, ValueError, OSError) as error:
        known = sorted(available_timezones())
        raise ValueError(f"there is no time zone {given}{did_you_mean(given, known)[:60]}") from error
    return given


ZoneName = Annotated[str, AfterValidator(_zone)]
