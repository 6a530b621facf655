"""Functions over an entity's last values and over its markers, which generated source calls.

Numba compiles them too, so they look at single cells only and add up from the oldest value on.
"""

from __future__ import annotations

from array import array
from math import nan

__all__ = ["marked_quantile", "move_markers", "slope_of"]


def slope_of(
    values: array[float], times: array[int], base: int, width: int, count: int, oldest_ms: int
) -> float:
    """Slope through the last values by least squares, for each millisecond.

    Parameters
    ----------
    values, times
        Rings.
    base, width
        Where the entity's places begin, and how many there are.
    count
        Values that have come.
    oldest_ms
        Values of times before it are left out.

    Returns
    -------
    float
        NaN where there are not two values of different times.
    """
    first = count - width if count > width else 0
    newest = 0
    for number in range(first, count):
        newest = max(newest, times[base + number % width])
    taken, time_sum, value_sum = 0, 0.0, 0.0
    for number in range(first, count):
        place = base + number % width
        if times[place] >= oldest_ms:
            taken += 1
            time_sum += times[place] - newest
            value_sum += values[place]
    if taken < 2:
        return nan
    time_mean, value_mean = time_sum / taken, value_sum / taken
    above, below = 0.0, 0.0
    for number in range(first, count):
        place = base + number % width
        if times[place] >= oldest_ms:
            away = times[place] - newest - time_mean
            above += away * (values[place] - value_mean)
            below += away * away
    return above / below if below > 0.0 else nan


def move_markers(
    heights: array[float], places: array[int], base: int, count: int, value: float, q: float
) -> None:
    """Take a value in: the first five are sorted, from then on five markers move along.

    Parameters
    ----------
    heights, places
        Columns of the markers, five for each entity.
    base
        Where the entity's markers begin.
    count
        Values that came before.
    value
        The next one.
    q
        Of the quantile, between 0 and 1.

    References
    ----------
    Jain, R., Chlamtac, I. (1985). The P² algorithm for dynamic calculation of quantiles and histograms
    without storing observations. Communications of the ACM 28 (10).
    """
    if count < 5:
        at = base + count
        while at > base and heights[at - 1] > value:
            heights[at] = heights[at - 1]
            at -= 1
        heights[at] = value
        places[base + count] = count + 1
        return
    if value < heights[base]:
        heights[base] = value
    elif value > heights[base + 4]:
        heights[base + 4] = value
    for marker in range(1, 4):
        if value < heights[base + marker]:
            places[base + marker] += 1
    places[base + 4] = count + 1
    for marker in range(1, 4):
        at = base + marker
        share = q / 2.0 if marker == 1 else q if marker == 2 else (1.0 + q) / 2.0
        away = 1.0 + count * share - places[at]
        after, before = places[at + 1] - places[at], places[at - 1] - places[at]
        if (away >= 1.0 and after > 1) or (away <= -1.0 and before < -1):
            step = 1 if away >= 1.0 else -1
            up = (heights[at + 1] - heights[at]) / after
            down = (heights[at] - heights[at - 1]) / -before
            curved = heights[at] + step / (after - before) * ((step - before) * up + (after - step) * down)
            if heights[at - 1] < curved < heights[at + 1]:
                heights[at] = curved
            else:
                heights[at] += up if step > 0 else -down
            places[at] += step


def marked_quantile(heights: array[float], base: int, count: int, q: float) -> float:
    """Return the quantile that the markers stand for; of fewer than five values the exact one."""
    if count >= 5:
        return heights[base + 2]
    if count == 0:
        return nan
    place = q * (count - 1)
    low = int(place)
    if low + 1 >= count:
        return heights[base + count - 1]
    return heights[base + low] + (place - low) * (heights[base + low + 1] - heights[base + low])
