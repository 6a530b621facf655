"""Numbers over recent values, days and places against other ways of computing them."""

from __future__ import annotations

import math
from array import array
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from headrace.operators.events.time_zones import Zone
from headrace.operators.features.calendars import day_of_month, month_of_year
from headrace.operators.features.categories import haversine_km
from headrace.operators.features.recent import marked_quantile, move_markers, slope_of


def test_days_and_months_of_a_century() -> None:
    day, number = datetime(2000, 1, 1, tzinfo=UTC), 946_684_800_000
    while day.year < 2101:
        assert (day_of_month(number), month_of_year(number)) == (day.day, day.month)
        assert (day_of_month(number + 86_399_999), month_of_year(number + 86_399_999)) == (day.day, day.month)
        day, number = day + timedelta(days=1), number + 86_400_000


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
def test_local_time_is_that_of_the_zone(name: str) -> None:
    from zoneinfo import ZoneInfo

    zone, random = Zone(name), Random(1)
    for _ in range(1000):
        at_s = random.randrange(946_684_800, 4_102_444_800)
        local = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(name)).replace(tzinfo=UTC)
        assert zone.local_ms(at_s * 1000 + 7) == round(local.timestamp()) * 1000 + 7


@pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("draw", ["uniform", "exponential", "few"])
def test_markers_come_close_to_the_quantile(q: float, draw: str) -> None:
    random = Random(3)
    draws = {
        "uniform": random.random,
        "exponential": lambda: random.expovariate(1.0),
        "few": lambda: float(random.randrange(40)),
    }
    taken = [draws[draw]() for _ in range(5000)]
    heights, places = array("d", bytes(8 * 10)), array("q", bytes(8 * 10))
    for count, value in enumerate(taken):
        if count in (1, 2, 4):
            exact = float(np.quantile(taken[:count], q))
            assert marked_quantile(heights, 5, count, q) == pytest.approx(exact)
        move_markers(heights, places, 5, count, value, q)
    share = sum(value <= marked_quantile(heights, 5, len(taken), q) for value in taken) / len(taken)
    assert share == pytest.approx(q, abs=0.03)
    assert list(heights[:5]) == [0.0] * 5, "another entity's markers"
    assert list(heights[5:]) == sorted(heights[5:])


def test_a_slope_is_that_of_least_squares() -> None:
    random = Random(5)
    values, times = array("d", bytes(8 * 8)), array("q", bytes(8 * 8))
    taken: list[tuple[int, float]] = []
    assert math.isnan(slope_of(values, times, 4, 4, 0, 0))
    for count in range(12):
        at, value = 1_700_000_000_000 + count * 1000 + random.randrange(900), random.random()
        values[4 + count % 4], times[4 + count % 4] = value, at
        taken = [*taken, (at, value)][-4:]
        if len(taken) > 1:
            away = np.array([at - taken[-1][0] for at, _ in taken], float)
            expected = float(np.polyfit(away, [each for _, each in taken], 1)[0])
            assert slope_of(values, times, 4, 4, count + 1, 0) == pytest.approx(expected)
    assert math.isnan(slope_of(values, times, 4, 4, 12, taken[-1][0]))
    times[4:] = array("q", [taken[-1][0]] * 4)
    assert math.isnan(slope_of(values, times, 4, 4, 12, 0)), "all at one time"


def test_distances() -> None:
    assert haversine_km(52.5163, 13.3777, 48.8584, 2.2945) == pytest.approx(878.5, abs=1.5)
    assert haversine_km(0.0, 0.0, 0.0, 180.0) == pytest.approx(20015.1, abs=0.1)
    assert haversine_km(90.0, 0.0, -90.0, 77.0) == pytest.approx(20015.1, abs=0.1)
    assert haversine_km(10.0, 20.0, 10.0, 20.0) == 0.0
    assert math.isnan(haversine_km(math.nan, 0.0, 0.0, 0.0))
