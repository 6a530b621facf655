"""The `warm` command: compiles ahead what flows decide with."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import FlowNamed, Overrides, flow_named, loaded_from
from headrace.cli.run_options import Config
from headrace.cli.terminal import echo
from headrace.errors import ConfigError, HeadraceError, Invalid

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings

__all__ = ["warm"]


def warm(
    flow: Annotated[
        str | None,
        typer.Argument(metavar="[FLOW]", help="A flow, as `run` takes it; all shipped ones otherwise."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    recorded: Annotated[bool, typer.Option("--recorded", hidden=True)] = False,
) -> None:
    """Compile ahead what a flow decides with, as when an image is built.

    What is compiled is kept in $XDG_CACHE_HOME/headrace/kernels (~/.cache without it), for the machine's kind
    of processor and the user who runs this; a run of that flow finds it there. Without it a run decides in
    plain Python, to the same bytes, until all is compiled beside it.
    """
    from headrace.operators.compiled.kept import kernel_folder
    from headrace.operators.compiled.kernels import compiles
    from headrace.runtime.compiling import compiling_alone

    if not compiles():
        message = "needs Numba, which is not installed or switched off: pip install 'headrace[fast]'"
        raise ConfigError([Invalid("headrace warm", "", message)])
    folder = kernel_folder()
    if folder is None:
        raise HeadraceError("there is no folder of one's own where what is compiled could be kept")
    with compiling_alone() if recorded else nullcontext():
        for name, settings in [_recorded()] if recorded else _named(flow, config, overrides):
            began = time.monotonic()
            how = "its machine code is there" if _compiled(settings) else "it decides in plain Python"
            echo(f"{name}: {how} ({time.monotonic() - began:.1f} s)")
    echo(f"kept in {folder}")


def _named(
    flow: str | None, config: Config, overrides: list[str] | None
) -> Iterator[tuple[str, RunSettings]]:
    from headrace.config.flow_kinds import bases

    for name in bases() if flow is None else (flow,):
        named: FlowNamed = flow_named(name)
        yield name, loaded_from(named, config, overrides).settings


def _recorded() -> tuple[str, RunSettings]:
    """Read settings, as a run records them, from standard input."""
    from headrace.config.canonical import restore

    settings = restore(sys.stdin.buffer.read())
    return settings.flow.kind, settings


def _compiled(settings: RunSettings) -> bool:
    from headrace.shard.kinds import build_machine

    return build_machine(settings, learn=False).compiled
