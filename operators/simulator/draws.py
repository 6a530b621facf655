"""What both sets of rules draw from, and the payments that they draw."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_S", "Bools", "Draws", "Floats", "Ints", "Lifetimes", "Stream", "generator"]

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

DAY_S: Final = 86_400


class Stream(IntEnum):
    """What a random generator is for; each purpose has its own, so that one does not shift another."""

    POPULATION = 0
    PAYMENTS = 1
    FRAUDS = 2
    OUTCOMES = 3
    ORDER = 4
    NAMES = 5
    CATALOGUE = 6
    VISITS = 7
    EPISODES = 8
    SHOPPING = 9
    LINES = 10
    LABELS = 11
    CLOCKS = 12
    LISTED = 13


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """Return the generator of one purpose in one world (PCG64)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int(stream)])))


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """From which day until before which day each customer or merchant is there.

    Attributes
    ----------
    first, end
        Shape (n,), in days from the first simulated one.
    """

    first: Floats
    end: Floats

    @classmethod
    def always(cls, count: int) -> Lifetimes:
        """Return a population that neither grows nor shrinks."""
        return cls(np.zeros(count), np.full(count, np.inf))

    def on(self, day: int) -> Ints:
        """Return the indices of those that are there for the whole day, ascending."""
        return np.flatnonzero((self.first <= day) & (self.end >= day + 1))


@dataclass(slots=True)
class Draws:
    """Payments as drawn, in no order that means anything.

    Attributes
    ----------
    day, second
        When, in days from the first simulated one and in seconds of that day, shape (n,).
    customer, merchant
        Who pays whom, as indices, shape (n,).
    amount
        Not yet rounded, shape (n,).
    fraud
        The truth, shape (n,).
    customers, merchants
        Who is there when.
    """

    day: Ints
    second: Ints
    customer: Ints
    merchant: Ints
    amount: Floats
    fraud: Bools
    customers: Lifetimes
    merchants: Lifetimes
