"""Days of the month and months of a time that is counted in milliseconds, which generated source calls.

Numba compiles these functions too: whole numbers alone.
"""

from __future__ import annotations

__all__ = ["day_of_month", "month_of_year"]


def day_of_month(local_ms: int) -> int:
    """Return the day of the month, 1 to 31.

    References
    ----------
    Hinnant, H. (2013). chrono-compatible low-level date algorithms: `civil_from_days`.
    """
    # From March on, months of 31 and 30 days alternate so that five of them always have 153.
    day = _day_of_year(local_ms)
    return day - (153 * ((5 * day + 2) // 153) + 2) // 5 + 1


def month_of_year(local_ms: int) -> int:
    """Return the month, 1 for January to 12."""
    month = (5 * _day_of_year(local_ms) + 2) // 153
    return month + 3 if month < 10 else month - 9


def _day_of_year(local_ms: int) -> int:
    """Days since the last first of March, so that a leap day is the last one."""
    # Counted from the first of March of the year 0: eras of 400 years all have as many days then, and a leap
    # day is the last of its year, which spares all tables.
    days = local_ms // 86_400_000 + 719_468
    of_era = days - days // 146_097 * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    return of_era - (365 * year + year // 4 - year // 100)
