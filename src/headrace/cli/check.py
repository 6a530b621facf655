"""The `check` command: what a configuration sets, and what the files are like that a flow is to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.compatible import tell
from headrace.cli.options import Overrides, flow_named, loaded_from
from headrace.cli.run_options import Config
from headrace.cli.terminal import echo
from headrace.errors import NothingUsable

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings

__all__ = ["check"]


def check(
    flow: Annotated[
        str | None,
        typer.Argument(
            metavar="[FLOW]",
            help="A flow as `run` takes it, or any file of settings; the default flow otherwise.",
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="PATH",
            help="Look at this file too: what is no event, unknown, missing or wrong, and the order of time.",
        ),
    ] = None,
    compatible_with: Annotated[
        str | None,
        typer.Option(
            "--compatible-with",
            metavar="OLD",
            help="Say what the flow breaks for those who rely on this one: a flow as `run` takes it.",
        ),
    ] = None,
) -> None:
    """Say what settings are in force, and report every validation error of them at once.

    With --against, files are read as a flow with these settings would, and nothing is decided. With
    --compatible-with, fields, actions, reasons and headers of decisions are compared, and fields of events.
    """
    from headrace.config.canonical import digest
    from headrace.config.flow_kinds import base_of, shipped
    from headrace.shard.kinds import kind_of

    named = flow_named(flow)
    loaded = loaded_from(named, config, overrides)
    settings, kind = loaded.settings, loaded.settings.flow.kind
    files = " and ".join(str(each) for each in (named.file, config) if each)
    base = named.base or base_of(kind)
    about = files or ("settings" if base is None else shipped(base))
    declared = kind_of(settings).view.declared(settings)
    echo(f"{about}: {kind}{declared}, digest {digest(settings)[:12]}")
    for said in loaded.said:
        echo(f"  {said}")
    for about, said in _in_force(settings):
        echo(f"  {about:<12} {said}")
    if compatible_with is not None:
        tell(loaded_from(flow_named(compatible_with), config, None).settings, settings, compatible_with)
    useless = [path for path in against or () if not _examined(path, settings)]
    if useless:
        raise NothingUsable("\n".join(f"{path}: nothing in it is an event of this flow" for path in useless))


def _in_force(settings: RunSettings) -> Iterator[tuple[str, str]]:
    from headrace.shard.kinds import kind_of

    yield "model", settings.model_name
    yield from kind_of(settings).view.described(settings)


def _examined(path: str, settings: RunSettings) -> bool:
    """Tell what a file is like; gives whether there is anything in it that the flow can use."""
    from headrace.files.input_report import examine
    from headrace.files.line_reader import LineReader

    reader = LineReader(path)
    report = examine(reader, settings)
    if reader.error is not None and not report.lines:
        raise reader.error
    echo(f"\n{path}: {report.lines:,} lines, {report.usable:,} of them events of this flow")
    for about, said in report.said:
        echo(f"  {about:<12} {said}")
    if reader.error is not None:
        raise reader.error
    return bool(report.usable) or not report.lines
