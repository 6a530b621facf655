"""The `simulate` command: a simulated world's events, with the truth about them apart."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.cli.exits import reader_may_leave
from headrace.cli.options import Speed, speed_of
from headrace.cli.terminal import echo

__all__ = ["simulate"]

# The simulator's own limit; it isn't imported before it is needed.
_CUSTOMERS_MIN: Final = 10


def simulate(
    to: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where events go: a file, compressed if it ends in .gz, or - ."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Where the truth goes; nowhere otherwise.")
    ] = None,
    truths: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where a network's further truths go: kinds of fraud, rings, bots, flaws."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="Which kind of world.")] = "demo",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which of these worlds.")] = 1,
    days: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many days, in place of the preset's.")
    ] = None,
    customers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=_CUSTOMERS_MIN,
            help=f"How many customers, in place of the preset's; at least {_CUSTOMERS_MIN}.",
        ),
    ] = None,
    speed: Speed = "max",
    presets: Annotated[bool, typer.Option("--presets", help="List the presets.")] = False,
) -> None:
    """Write a simulated world, with its truth apart.

    The events are payments and outcomes, in a network also items, clicks, carts and orders, in the order in
    which they arrive. The truth is written first. With --speed, each event is written when it is due.
    """
    from headrace.operators import simulator
    from headrace.runtime.places import Place, refuse_clashes

    if presets:
        for name, description in simulator.presets().items():
            echo(f"{name:<16} {description}")
        return
    if to is None:
        raise typer.BadParameter("is required", param_hint="--to")
    places = [Place("--to", str(to))]
    places += [Place("--truth", str(truth))] if truth else []
    places += [Place("--truths", str(truths / name)) for name in simulator.TRUTH_FILES] if truths else []
    refuse_clashes([], places)
    world = simulator.simulate(preset, seed, days=days, customers=customers)
    with reader_may_leave():
        events = simulator.write(world, to, truth, truths=truths, speed=speed_of(speed))
    echo(f"{events:,} events in {to}", err=True)
