"""What a model is to the shard: score, learn and explain over fixed-width features, save and load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

__all__ = ["Model", "ModelShape"]


@dataclass(frozen=True)
class ModelShape:
    """The widths that a model is built for.

    Attributes
    ----------
    slot_names, group_offsets
        Name and first slot of each one-hot group; one slot of a group is active for each event.
    slots
        Slots of all groups together.
    value_names
        Names of the numeric features.
    """

    slot_names: tuple[str, ...]
    group_offsets: tuple[int, ...]
    slots: int
    value_names: tuple[str, ...]


class Model(Protocol):
    """A binary classifier that learns one example at a time.

    The same examples in the same order give the same scores, whatever the hash seed; what is random in a
    model comes from the seed in its parameters. A model learns with the weights it has when the outcome
    comes, on the features as they were when the decision was made.

    Attributes
    ----------
    takes
        What it reads: the active slot of each group (an index over all groups), or the numeric values (NaN
        where missing).
    cheap_explain
        Whether contributions cost so little that every decision can have them.
    """

    takes: ClassVar[Literal["slots", "values"]]
    cheap_explain: ClassVar[bool]

    def score(self, features: Sequence[float]) -> float:
        """Estimated probability of the positive label, 0 to 1; changes nothing that a later score sees."""
        ...

    def learn(self, features: Sequence[float], label: int) -> None:
        """Take in one example with its label, 0 or 1.

        It may raise anything; unless the class says `atomic = True`, the model is then loaded anew.
        """
        ...

    def explain(self, features: Sequence[float]) -> list[float]:
        """Return what each group, or each value, adds to the score, in log-odds."""
        ...

    def score_explained(self, features: Sequence[float]) -> tuple[float, Sequence[float]]:
        """`score` and `explain` at once."""
        ...

    def save(self) -> bytes:
        """Return the state as bytes."""
        ...

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave; on an error the model stays as it was.

        Raises
        ------
        ValueError
            If it isn't such a state, or one of another model, of other features, or of another River.
        """
        ...

    def size_bytes(self) -> int:
        """About how much memory the state takes, bytes."""
        ...
