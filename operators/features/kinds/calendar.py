"""When the event happened, by the clock and the calendar of a time zone."""

from __future__ import annotations

from typing import Any, Final

from ..event_lines import EventLines

__all__ = ["write"]

_READ: Final = {
    "hour_of_day": "{z} // 3600000 % 24",
    # The epoch was a Thursday; weeks begin with Monday, which is 0.
    "day_of_week": "({z} // 86400000 + 3) % 7",
    "day_of_month": "day_of_month({z})",
    "month_of_year": "month_of_year({z})",
}


def write(source: EventLines, f: str, declaration: Any) -> None:
    """Write how it is read."""
    source.read_lines.append(f"{f} = {_READ[declaration.value].format(z=source.zone(declaration.zone))}")
