"""What a decision's model reads of what is known of an event: some of its slots, or of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..features import SlotGroup
from ..models import ModelShape

__all__ = ["Inputs", "inputs_of"]


class Inputs(NamedTuple):
    """What a model reads.

    Attributes
    ----------
    shape
        The widths that the model is built for.
    names
        Of the inputs: crosses, or features.
    pick
        `(values, slots) -> inputs`, of all values and slots of an event.
    by_slots
        Whether they are slots.
    places, moved
        Where each is among all slots or values of the event, and by how much a slot is less than there.
    """

    shape: ModelShape
    names: tuple[str, ...]
    pick: Callable[[Sequence[float], Sequence[int]], Sequence[Any]]
    by_slots: bool
    places: tuple[int, ...]
    moved: tuple[int, ...]


def inputs_of(
    groups: Sequence[SlotGroup],
    value_names: Sequence[str],
    *,
    crosses: Sequence[str] | None,
    features: Sequence[str] | None,
    by_slots: bool,
) -> Inputs:
    """Choose what a model reads.

    Parameters
    ----------
    groups, value_names
        The crosses and the features of the event's type, as they are read.
    crosses, features
        Those that the model reads; None for all.
    by_slots
        Whether it reads slots; else it reads values.
    """
    taken = [at for at, group in enumerate(groups) if crosses is None or group.name in crosses]
    valued = [at for at, name in enumerate(value_names) if features is None or name in features]
    offsets: list[int] = []
    slots, begins = 0, dict[int, int]()
    for at in taken:
        # Groups of a feature with several slots at once share them, and so their offset.
        if groups[at].offset not in begins:
            begins[groups[at].offset] = slots
            slots += groups[at].size
        offsets.append(begins[groups[at].offset])
    shape = ModelShape(
        slot_names=tuple(groups[at].name for at in taken),
        group_offsets=tuple(offsets),
        slots=slots,
        value_names=tuple(value_names[at] for at in valued),
    )
    if by_slots:
        moved = [groups[at].offset - offset for at, offset in zip(taken, offsets, strict=True)]
        source = _source("slots", taken, moved, whole=len(taken) == len(groups) and not any(moved))
        return Inputs(shape, shape.slot_names, _compiled(source), by_slots, tuple(taken), tuple(moved))
    source = _source("values", valued, [0] * len(valued), whole=len(valued) == len(value_names))
    unmoved = (0,) * len(valued)
    return Inputs(shape, shape.value_names, _compiled(source), by_slots, tuple(valued), unmoved)


def _source(of: str, taken: Sequence[int], moved: Sequence[int], *, whole: bool) -> str:
    """Return an expression that picks some, each moved to where its group begins in the model."""
    if whole:
        return of
    parts = [f"{of}[{at}]" + (f" - {by}" if by else "") for at, by in zip(taken, moved, strict=True)]
    return "(" + "".join(f"{part}, " for part in parts) + ")"


def _compiled(source: str) -> Callable[[Sequence[float], Sequence[int]], Sequence[Any]]:
    """Compile a pick: straight-line code, as it meets every event that asks."""
    names: dict[str, Any] = {}
    exec(f"def pick(values, slots):\n    return {source}", names)  # noqa: S102  # made here, of numbers alone
    pick: Callable[[Sequence[float], Sequence[int]], Sequence[Any]] = names["pick"]
    return pick
