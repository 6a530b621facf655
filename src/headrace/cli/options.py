"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings

__all__ = ["Overrides", "Speed", "settings_from", "speed_of"]


def _checked_speed(text: str) -> str:
    """Check a speed where typer can say which option is wrong; it stays text, as the default is."""
    speed_of(text)
    return text


def speed_of(text: str) -> float | None:
    """Return a multiple of event time; None for as fast as possible.

    Raises
    ------
    typer.BadParameter
        If the text is neither a positive number nor `max`.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not isfinite(speed) or speed <= 0.0:
        raise typer.BadParameter("must be a positive number, or max")
    return speed


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Lay a setting over the file's, such as policy.block_at=0.9."
    ),
]
Speed = Annotated[
    str,
    typer.Option(
        "--speed",
        metavar="N|max",
        callback=_checked_speed,
        help="Multiple of event time, or as fast as possible.",
    ),
]


def settings_from(config: Path | None, overrides: list[str] | None, flow: str | None = None) -> RunSettings:
    """Return the configuration that a file, or else the shipped one, and what is laid over it give.

    Raises
    ------
    ConfigError
        With all its validation errors.
    """
    from headrace.config.loading import load
    from headrace.operators.models import model_errors

    return load(config, overrides or (), flow=flow, model_errors=model_errors)
