"""The `demo` command: both flows decide and learn on a simulated shop while one watches."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Final

import typer

from headrace.cli.exits import end
from headrace.cli.terminal import console_of, echo

__all__ = ["demo"]

_LIVE_S_MAX: Final = 60.0
_DAYS: Final = 28


def demo(
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which world.")] = 1,
    days: Annotated[int, typer.Option(metavar="N", min=1, help="How many days it has.")] = _DAYS,
    live_s: Annotated[
        float,
        typer.Option(
            "--live",
            metavar="SECONDS",
            min=0.0,
            max=_LIVE_S_MAX,
            help="How long events arrive one by one at the end; latency is measured on them alone.",
        ),
    ] = 5.0,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where its files go, without replacing any; a new temporary folder otherwise."
        ),
    ] = None,
) -> None:
    """Watch both flows decide and learn, on a simulated shop.

    Its visitors, items, customers and frauds are made up anew from the seed. Each click is answered with a
    slate of items; each payment is checked for fraud, also by what its session clicked before. The flows know
    nothing at first. They catch up with weeks of events as fast as they can, which tells their throughput;
    then the last events arrive one by one, which tells their latency. Slates are evaluated by next clicks,
    scores by the truth, which no flow ever sees, and both are held against the best that anybody could reach.
    """
    from headrace.cli.demo import SESSIONS, Files, make_world, refuse_used, request
    from headrace.cli.demo_runs import beside
    from headrace.cli.demo_story import show
    from headrace.cli.demo_words import caught_up, live, live_opening
    from headrace.cli.live import views
    from headrace.config.loading import load

    flows = {
        "recommend": load(None, flow="recommend"),
        "fraud": load(SESSIONS, flow="fraud"),
    }
    if to is not None:
        refuse_used(to)
    files = Files(to or Path(mkdtemp(prefix="headrace-demo-")))
    files.folder.mkdir(parents=True, exist_ok=True)
    errors = console_of(stderr=True)
    made = make_world(files, seed, errors, days, live_s=live_s)
    echo(
        f"A simulated shop with {made.days_events + made.live_events:,} events is in {files.folder}", err=True
    )
    with beside() as pairs:
        for speed, words in [(None, caught_up), *([(made.speed, live)] if made.speed else [])]:
            if speed:
                echo(live_opening(made), err=True)
            slates, payments = (request(files, flow, each, speed) for flow, each in flows.items())
            with views(errors, words) as (watching, other):
                summaries = pairs.run(slates, payments, watching, other)
            for summary in summaries:
                end(summary.error, summary.exit_code)
    show(files, console_of(), made.possible)
