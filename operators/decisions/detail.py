"""What a shard keeps of a decision in the journal only: the layout of a decided record's detail.

A detail is a fixed part, packed little-endian without padding, and a tail. The fixed part holds the active
slot of each cross, the contribution of each input of the model, and the value of each feature. The tail is
the policy's trace as MessagePack; it may be empty.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ...config.fraud_flow import FraudSettings
from ..features import FeatureSet, SlotGroup
from ..models import MODELS

__all__ = [
    "Detail",
    "DetailLayout",
    "base_log_odds",
    "detail_layout",
    "detail_struct",
    "read_trace",
    "slot_code",
]

_SHORT_SLOTS_MAX: Final = 0xFFFF


class Detail(NamedTuple):
    """The parts of a detail.

    Attributes
    ----------
    slots
        The active slot of each cross, counted over all crosses.
    contributions
        What each input of the model added to the score, log-odds.
    values
        Each feature, NaN where missing.
    trace
        The policy's trace, MessagePack or empty.
    """

    slots: tuple[int, ...]
    contributions: tuple[float, ...]
    values: tuple[float, ...]
    trace: bytes


@dataclass(frozen=True)
class DetailLayout:
    """How details are laid out under a configuration.

    Attributes
    ----------
    groups
        The crosses with their slots.
    slots
        Slots of all crosses together.
    inputs
        Names of what contributions belong to: crosses, or features.
    features
        Names of the features.
    packed
        The fixed part.
    always_explained
        Whether every decision has contributions; else those that approve have zeros.
    """

    groups: tuple[SlotGroup, ...]
    slots: int
    inputs: tuple[str, ...]
    features: tuple[str, ...]
    packed: struct.Struct = field(compare=False)
    always_explained: bool

    @property
    def columns(self) -> tuple[tuple[str, str, tuple[int]], ...]:
        """The fixed part as the fields of a NumPy type: name, type, shape."""
        return (
            ("slots", f"<{slot_code(self.slots)}", (len(self.groups),)),
            ("contributions", "<f4", (len(self.inputs),)),
            ("values", "<f8", (len(self.features),)),
        )

    def read(self, detail: bytes) -> Detail:
        """Take a detail apart.

        Raises
        ------
        ValueError
            If it is shorter than the fixed part.
        """
        if len(detail) < self.packed.size:
            raise ValueError(f"a detail of {len(detail)} bytes, expected are at least {self.packed.size}")
        fixed = self.packed.unpack_from(detail)
        slots, inputs = len(self.groups), len(self.groups) + len(self.inputs)
        return Detail(fixed[:slots], fixed[slots:inputs], fixed[inputs:], detail[self.packed.size :])


def slot_code(slots: int) -> Literal["H", "I"]:
    """How a slot is kept, as `struct`, `array` and NumPy name it: in two bytes if so many need no more."""
    return "H" if slots <= _SHORT_SLOTS_MAX else "I"


def detail_struct(groups: int, slots: int, inputs: int, features: int) -> struct.Struct:
    """Return the fixed part of a detail.

    Parameters
    ----------
    groups, slots
        Crosses, and the slots of all of them together.
    inputs
        What the model reads: as many as there are crosses, or features.
    features
        How many features there are.
    """
    return struct.Struct(f"<{groups}{slot_code(slots)}{inputs}f{features}d")


def detail_layout(settings: FraudSettings) -> DetailLayout:
    """How a shard with these settings lays details out."""
    features = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
    model, groups = MODELS[settings.model.name], features.groups
    names = tuple(group.name for group in groups)
    inputs = names if model.takes == "slots" else features.names
    return DetailLayout(
        groups=groups,
        slots=features.slots,
        inputs=inputs,
        features=features.names,
        packed=detail_struct(len(groups), features.slots, len(inputs), len(features.names)),
        always_explained=model.cheap_explain,
    )


def base_log_odds(score: float, contributions: Sequence[float]) -> float | None:
    """Return what contributions are added to: the score's log-odds less all of them.

    None for a score of 0 or 1.
    """
    if not 0.0 < score < 1.0:
        return None
    return math.log(score / (1.0 - score)) - math.fsum(contributions)


def read_trace(trace: bytes) -> Any:
    """Return the policy's trace as plain values.

    None if there is none, hexadecimal text if it can't be read.
    """
    if not trace:
        return None
    try:
        return msgspec.msgpack.decode(trace)
    except msgspec.DecodeError:
        return trace.hex()
