"""What every table of settings is built from."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints

__all__ = ["CURRENCY_PATTERN", "NAME_PATTERN", "Name", "Settings", "did_you_mean"]

CURRENCY_PATTERN: Final = "^[A-Z]{3}$"
NAME_PATTERN: Final = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]


class Settings(BaseModel):
    """A table: frozen, strict about types, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """End of a message about an unknown name: the closest known one, or else all that are known."""
    close = get_close_matches(given, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(known)}" if known else ""
