"""What a payment's parts add to the score on average, which contributions are reported against."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from ..compiled.inline import differences

__all__ = ["LOOK_EVERY", "AttributionBaseline"]

LOOK_EVERY: Final = 16
"""One payment in so many is looked at, those whose number it divides."""

_LOOKED_AT_MAX: Final = 256  # so many of them make the mean, older ones fade


class AttributionBaseline:
    """The mean of each part's contribution over the last payments, some thousands of them.

    A weight alone tells little: a group whose weights are all high says nothing of the payment in it.
    What a part's weight is above its mean over payments is, for a linear model with independent parts, its
    Shapley value.

    Parameters
    ----------
    parts
        How many contributions there are.

    Attributes
    ----------
    means
        For each part, in log-odds; the array stays the same one.

    References
    ----------
    Lundberg, S. M. and Lee, S.-I. (2017). A unified approach to interpreting model predictions. NeurIPS,
    section 4.2, corollary 1.
    """

    __slots__ = ("_differences", "_looked_at", "means")

    def __init__(self, parts: int) -> None:
        self.means = array("d", bytes(8 * parts))
        self._differences = differences(parts)
        self._looked_at = 0

    def against(self, contributions: Sequence[float]) -> tuple[float, ...]:
        """Contributions as they differ from the attribution baseline's, in log-odds."""
        return self._differences(contributions, self.means)

    def take(self, differences: Sequence[float]) -> None:
        """Take in a payment, by what `against` gave for it."""
        self._looked_at = min(self._looked_at + 1, _LOOKED_AT_MAX)
        # A plain mean at first, and then one that forgets: the first payments must not count for ever.
        share = 1.0 / self._looked_at
        means = self.means
        for part, difference in enumerate(differences):
            means[part] += difference * share

    def save(self) -> list[float]:
        """Return the state as plain numbers."""
        return [float(self._looked_at), *self.means]

    def load(self, saved: Sequence[float]) -> None:
        """Take over a saved state; a `ValueError` says that it has another number of parts."""
        if len(saved) != 1 + len(self.means):
            raise ValueError(f"saved with {len(saved) - 1} parts, not {len(self.means)}")
        self._looked_at, self.means[:] = int(saved[0]), array("d", saved[1:])
