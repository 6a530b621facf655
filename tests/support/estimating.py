"""A number with known quantiles, and estimators that estimate it and learn it in turn."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from headrace.operators.models import ModelShape, build_estimator

SHAPE = ModelShape(("a", "b", "c"), (0, 4, 9), 16, ())
SHARES = (0.1, 0.5, 0.9)
Draw = Callable[[random.Random, int, tuple[int, ...]], float]
Row = tuple[float, Sequence[float]]


def built(name: str, **parameters: float) -> Any:
    return build_estimator(name, parameters, SHAPE, SHARES)


def slots_of(chance: random.Random) -> tuple[int, ...]:
    return chance.randrange(4), 4 + chance.randrange(5), 9 + chance.randrange(7)


def around_100(chance: random.Random, _: int, slots: tuple[int, ...]) -> float:
    return 100.0 * math.exp(0.2 * slots[0] + chance.gauss(0.0, 0.3))


def run(estimator: Any, draw: Draw, count: int, *, delay: int = 0, seed: int = 3) -> list[Row]:
    """Estimate, and learn so many events later; outcomes with what had been served for them."""
    chance, waiting, rows = random.Random(seed), deque(), []
    for number in range(count):
        slots = slots_of(chance)
        value, served = draw(chance, number, slots), estimator.estimate(slots)
        rows.append((value, served))
        waiting.append((slots, value, served))
        if len(waiting) > delay:
            taken = waiting.popleft()
            estimator.learn(*taken, pending=len(waiting))
    return rows
