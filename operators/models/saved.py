"""The envelope of a saved model: whose state it is stands outside, so that a stranger is refused unopened."""

from __future__ import annotations

from typing import Final

import msgspec

from .contract import ModelShape

__all__ = ["Origin"]

_FORMAT: Final = 1


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """What must agree between the model that saved and the one that loads.

    Attributes
    ----------
    model
        Name of its class.
    library
        Library and version that its state is bound to; empty where the format is our own.
    reads
        What it reads: names and offsets of the groups and how many slots, or names of the values.
    """

    model: str
    library: str
    reads: tuple[str, ...]

    @classmethod
    def over_slots(cls, model: object, library: str, shape: ModelShape) -> Origin:
        """Return the origin of a model that reads slots."""
        groups = zip(shape.slot_names, shape.group_offsets, strict=True)
        reads = (*(f"{name} from slot {offset}" for name, offset in groups), f"{shape.slots} slots")
        return cls(type(model).__name__, library, reads)

    @classmethod
    def over_values(cls, model: object, library: str, shape: ModelShape) -> Origin:
        """Return the origin of a model that reads values."""
        return cls(type(model).__name__, library, shape.value_names)

    def seal(self, body: bytes) -> bytes:
        """Return the saved state, with this origin outside."""
        return msgspec.msgpack.encode((_FORMAT, self, body))

    def open(self, saved: bytes) -> bytes:
        """Return the body of what an equal origin sealed.

        Raises
        ------
        ValueError
            If it is no sealed state, or one of another origin; the message names both.
        """
        version, other, body = msgspec.msgpack.decode(saved, type=tuple[int, Origin, bytes])
        if version != _FORMAT:
            raise ValueError(f"saved in format {version}, not {_FORMAT}")
        if other.model != self.model:
            raise ValueError(f"saved by {other.model}, not {self.model}")
        if other.library != self.library:
            raise ValueError(f"saved by {other.library}, not {self.library}")
        if other.reads != self.reads:
            raise ValueError(
                f"saved by a model of {', '.join(other.reads)}; this is of {', '.join(self.reads)}"
            )
        return body
