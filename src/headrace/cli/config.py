"""The `config` commands: what settings are in force, and where each came from."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from headrace.cli.options import Overrides, flow_named, loaded_from
from headrace.cli.run_options import Config
from headrace.cli.terminal import echo

__all__ = ["app"]

_HELP: Final = "See what settings are in force."

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_HELP)


@app.callback()
def _config() -> None:
    """See what settings are in force."""


@app.command()
def show(
    flow: Annotated[
        str | None,
        typer.Argument(metavar="[FLOW]", help="A flow, as `run` takes it; the default flow otherwise."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print all settings that a run would have, and where each came from.

    What is printed is TOML, and as a file of settings means the same again. Behind each value stands the
    file, the environment variable or the option that it is of, or that it is the program's default. Secrets
    aren't shown: only which variable holds one, and whether it is set.
    """
    from headrace.config.in_force import as_toml

    loaded = loaded_from(flow_named(flow), config, overrides)
    for line in as_toml(loaded.settings, loaded.origins, lambda name: bool(os.environ.get(name))):
        echo(line)
