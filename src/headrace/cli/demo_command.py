"""The `demo` command: both flows decide and learn on a simulated shop while one watches."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Final

import typer

from headrace.cli.exits import end
from headrace.cli.options import Speed, settings_from, speed_of
from headrace.cli.terminal import console_of, echo

__all__ = ["demo"]

_SPEED: Final = "150000"


def demo(
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which world.")] = 1,
    speed: Speed = _SPEED,
    days: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many days, in place of 40.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where its files go, without replacing any; a new temporary folder otherwise."
        ),
    ] = None,
) -> None:
    """Watch both flows decide and learn, on a simulated shop.

    Its visitors, items, customers and frauds are made up anew from the seed. Each click is answered with a
    list of items; each payment is checked for fraud, also by what its session clicked before. The flows know
    nothing at first. Lists are judged by next clicks, scores by the truth, which no flow ever sees.
    """
    from headrace.cli.demo import SESSIONS, Files, make_world, refuse_used, request
    from headrace.cli.demo_runs import run_both
    from headrace.cli.demo_story import show
    from headrace.cli.live import views

    lists = settings_from(None, None, "recommend")
    payments = settings_from(SESSIONS, None, "fraud")
    if to is not None:
        refuse_used(to)
    files = Files(to or Path(mkdtemp(prefix="headrace-demo-")))
    files.folder.mkdir(parents=True, exist_ok=True)
    errors = console_of(stderr=True)
    events = make_world(files, seed, errors, days)
    echo(f"A simulated shop with {events:,} events is in {files.events}", err=True)
    multiple = speed_of(speed)
    with views(errors) as (watching, beside):
        summaries = run_both(
            request(files, "recommend", lists, multiple),
            request(files, "fraud", payments, multiple),
            watching,
            beside,
        )
    for summary in summaries:
        end(summary.error, summary.exit_code)
    show(files, console_of())
