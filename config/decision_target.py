"""Settings of a decision's target: which later event tells how it turned out, and until when."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, Strict, StringConstraints

from .base import Name, Settings
from .durations import LongWindow, duration_ms

__all__ = ["ASKING_ID", "ELAPSED", "TargetSettings"]

ELAPSED: Final = "elapsed"
"""As a target's value: the time from the event that asked to the one that tells."""

ASKING_ID: Final = "event_id"
"""The field of the asking event that names it alone."""

JoinField = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class TargetSettings(Settings):
    """Which later event tells the truth, how it is joined, and until when it is waited for.

    Attributes
    ----------
    on
        The type of the event that tells.
    when
        A condition on its fields; events that don't meet it tell nothing.
    join
        For each field of the event that tells, the field of the asking event that must have the same value.
        `{ about = "event_id" }` names the asking event itself.
    value
        What it tells: a field of the event, `elapsed` (the time since the asking event, in the decision's
        unit), or a number.
    within
        How long a decision waits for it.
    otherwise
        What holds when nothing came until then; not set: nothing is learned.
    provisional
        Learn each decision at once as if this was told, weighted so that what is told later makes up for it.
        Not set: nothing is learned before.
    correct_within
        How long after an event that told another one may correct it. Not set: 14 days where the join names
        the asking event itself, else not at all, as a further event tells of something else.
    waiting_max
        Decisions that wait at most; beyond it the oldest goes.
    early_within, early_max
        How long an event that tells waits for its decision, and how many do.
    """

    on: Name
    when: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    join: dict[JoinField, JoinField] = Field(min_length=1, max_length=4)
    value: (
        Annotated[str, StringConstraints(min_length=1, max_length=64)]
        | Annotated[float, Strict(strict=False)]
    )
    within: LongWindow = "30d"
    otherwise: float | None = None
    provisional: float | None = None
    correct_within: LongWindow | None = None
    waiting_max: int = Field(default=1_000_000, ge=1, le=100_000_000)
    early_within: LongWindow = "2d"
    early_max: int = Field(default=10_000, ge=0, le=10_000_000)

    @property
    def within_ms(self) -> int:
        """How long a decision waits, milliseconds of event time."""
        return duration_ms(self.within)

    @property
    def correct_ms(self) -> int:
        """How long what was told may be corrected, milliseconds of event time; 0: not at all."""
        if self.correct_within is not None:
            return duration_ms(self.correct_within)
        return duration_ms("14d") if self.names_the_asking else 0

    @property
    def early_ms(self) -> int:
        """How long an event that tells waits for its decision, milliseconds of event time."""
        return duration_ms(self.early_within)

    @property
    def telling_fields(self) -> tuple[str, ...]:
        """Fields of the event that tells, in the order in which they make a key."""
        # Not in the order of the file: what is recorded of settings has keys in another one.
        return tuple(sorted(self.join))

    @property
    def asking_fields(self) -> tuple[str, ...]:
        """Fields of the asking event, in the same order."""
        return tuple(self.join[name] for name in self.telling_fields)

    @property
    def names_the_asking(self) -> bool:
        """Whether the join names the asking event itself."""
        return ASKING_ID in self.join.values()
