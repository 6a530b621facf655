"""The `schema` command: the contract of a flow as JSON Schema and as an AsyncAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.options import Overrides, flow_named, loaded_from
from headrace.cli.run_options import Config
from headrace.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.kafka.asyncapi import Addresses

__all__ = ["schema"]

_BUILT_IN_FOLDER: Final = Path("docs/schemas")
_ASYNCAPI: Final = "asyncapi.json"


def schema(
    flow: Annotated[
        str | None,
        typer.Argument(
            metavar="[FLOW]",
            help="A flow as `run` takes it; not given: what is built in.",
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where files go; of a flow not given: its AsyncAPI document is printed."
        ),
    ] = None,
    events: Annotated[
        list[str] | None, typer.Option("--events", metavar="TOPIC", help="Where its events come from.")
    ] = None,
    decisions: Annotated[
        str | None, typer.Option("--decisions", metavar="TOPIC", help="Where its decisions go.")
    ] = None,
    dead_letters: Annotated[
        str | None, typer.Option("--dead-letters", metavar="TOPIC", help="Where its dead letters go.")
    ] = None,
) -> None:
    """Write a flow's contract as JSON Schema and as an AsyncAPI 3 document.

    There is one file for each type of event, each decision, and dead letters; asyncapi.json describes
    channels, messages, keys and headers. Without topics its channels have no address.
    """
    if flow is None:
        _write(to or _BUILT_IN_FOLDER, _built_in())
        return
    from headrace.kafka.asyncapi import Addresses

    settings = loaded_from(flow_named(flow), config, overrides).settings
    files = _of_flow(settings, Addresses(tuple(events or ()), decisions, dead_letters))
    if to is None:
        echo_json(files[_ASYNCAPI])
    else:
        _write(to, files)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        echo(str(folder / name))


def _built_in() -> Mapping[str, bytes]:
    from headrace.operators.events.schemas import schema_files

    return schema_files()


def _of_flow(settings: RunSettings, addresses: Addresses) -> Mapping[str, bytes]:
    from headrace.kafka.asyncapi import asyncapi
    from headrace.operators.events.contract import DeadLetter
    from headrace.operators.events.declared import contract_of
    from headrace.operators.events.declared_schemas import event_schema
    from headrace.operators.events.schemas import schema_of, written
    from headrace.shard.kinds import kind_of

    decisions = kind_of(settings).decision_schemas(settings)
    schemas: dict[str, dict[str, Any]] = {
        name: event_schema(of) for name, of in contract_of(settings.events).types.items()
    }
    schemas |= {f"decision_{name}": schema for name, schema in decisions.items()}
    schemas["dead_letter"] = schema_of(DeadLetter)
    files = {f"{name}.schema.json": written(schema) for name, schema in schemas.items()}
    return {**files, _ASYNCAPI: written(asyncapi(settings, decisions, addresses))}
