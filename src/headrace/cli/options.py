"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from headrace.config.loading import Loaded
    from headrace.config.tables import RunSettings

__all__ = [
    "FlowNamed",
    "Overrides",
    "Speed",
    "checked_flow",
    "flow_named",
    "loaded_from",
    "settings_from",
    "speed_of",
]

_FILE_ENDING: Final = ".toml"


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


class FlowNamed(NamedTuple):
    """What a command line calls a flow.

    Attributes
    ----------
    kind
        Of which kind it must be; None where its file says so.
    base
        The shipped flow; None where a file is given, or none is named.
    file
        The flow's file; None for a shipped one.
    """

    kind: str | None = None
    base: str | None = None
    file: Path | None = None


def flow_named(text: str | None) -> FlowNamed:
    """Return the flow that an argument names: a shipped one, or a file by its path.

    Raises
    ------
    typer.BadParameter
        If it is neither.
    """
    from headrace.config.flow_kinds import bases, no_such_flow

    if text is None:
        return FlowNamed()
    if (kind := bases().get(text)) is not None:
        return FlowNamed(kind=kind, base=text)
    if os.sep in text or text.endswith(_FILE_ENDING) or Path(text).is_file():
        return FlowNamed(file=Path(text))
    raise typer.BadParameter(f"{no_such_flow(text)}; a file is named by a path that ends in .toml")


def checked_flow(text: str) -> str:
    """Check a flow where typer can say which argument is wrong."""
    flow_named(text)
    return text


def loaded_from(flow: FlowNamed, config: Path | None, overrides: list[str] | None) -> Loaded:
    """Return what files, variables of the environment and options give together.

    Raises
    ------
    ConfigError
        With all validation errors; each names where it is.
    """
    from headrace.config.loading import Sources, load_from
    from headrace.operators.models import model_errors

    sources = Sources(
        flow_file=flow.file,
        config=config,
        variables=os.environ,
        overrides=overrides or (),
        kind=flow.kind,
        base=flow.base,
    )
    return load_from(sources, model_errors=model_errors)


def settings_from(config: Path | None, overrides: list[str] | None, flow: str | None = None) -> RunSettings:
    """Return the settings that a file, or else what is shipped, and what lies over it give.

    Raises
    ------
    ConfigError
        With all its validation errors.
    """
    return loaded_from(FlowNamed(kind=flow), config, overrides).settings
