"""The `schema` command: the contract as JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.terminal import echo

__all__ = ["schema"]


def schema(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where they go.")] = Path("docs/schemas"),
) -> None:
    """Write the contract as JSON Schema.

    There is one file for each kind of event, one for decisions, one for dead letters.
    """
    from headrace.operators.events.schemas import schema_files

    to.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (to / name).write_bytes(content)
        echo(str(to / name))
