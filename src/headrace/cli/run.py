"""The `run` command: a flow from files to files, or from topics to topics."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from socket import socket
from typing import TYPE_CHECKING

from headrace.cli import run_options as option
from headrace.cli.exits import end
from headrace.cli.options import Overrides, Speed, flow_named, loaded_from, speed_of
from headrace.cli.terminal import console_of, echo
from headrace.runtime.interrupts import end_at_once, met_by

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.runtime.runs import RunRequest, RunSummary

__all__ = ["run"]


def compiled_beside(settings: RunSettings) -> AbstractContextManager[None]:
    """Have compiled beside the run what isn't yet."""
    from headrace.runtime.compiling import compiled_beside as beside

    return beside(settings)


def run(
    flow: option.Flow,
    sources: option.Sources,
    to: option.To,
    dead_letters: option.DeadLetters = None,
    state: option.State = None,
    config: option.Config = None,
    overrides: Overrides = None,
    speed: Speed = "max",
    learn: option.Learn = True,
    truth: option.Truth = None,
    start: option.Start = "earliest",
    create_topics: option.CreateTopics = False,
    accept_lost: option.AcceptLost = False,
    sort: option.Sort = False,
    again: option.Again = False,
    processes: option.Processes = 1,
    skip: option.Skip = None,
    member: option.Member = False,
    moved: option.IfSourceMoved = option.Moved.REFUSE,
    metrics_port: option.MetricsPort = None,
) -> None:
    """Run a flow from files to files, or from topics to topics.

    FLOW is fraud, fraud-sessions or recommend, or the path of a file that says what is decided. Where and how
    it runs is said by --config, over it by variables HEADRACE__SECTION__KEY, and over these by --set.

    Without --state a run is temporary, and what --to and --dead-letters name is replaced. With it, a further
    file is a new source, and decisions are appended. A run that would write over what it reads, over its
    state, or to one file twice is refused before anything is opened. On topics --state is required, and a run
    goes on until SIGTERM or SIGINT.
    """
    with nullcontext() if member else met_by(end_at_once):
        from headrace.files.sources import IfMoved
        from headrace.runtime.runs import RunRequest

        named = flow_named(flow)
        loaded = loaded_from(named, config, overrides)
        request = RunRequest(
            flow=loaded.settings.flow.kind,
            sources=tuple(sources),
            to=to,
            dead_letters=dead_letters,
            state=state,
            settings=loaded.settings,
            config_file=config,
            flow_file=named.file,
            origins=loaded.origins,
            speed=speed_of(speed),
            learn=learn,
            truth=truth,
            start=start,
            create_topics=create_topics,
            accept_lost=accept_lost,
            sort=sort,
            again=again,
            processes=processes,
            command=tuple(sys.argv[1:]),
            if_moved=IfMoved(moved.value),
            skips=tuple(skip or ()),
        )
        with compiled_beside(request.settings):
            summary = _run_member(request, metrics_port) if member else _run(request, metrics_port)
        end(summary.error, summary.exit_code)


def _run(request: RunRequest, metrics_port: int | None) -> RunSummary:
    from headrace.cli.live import view
    from headrace.metrics.serving import listening, served
    from headrace.runtime.file_run import run as run_flow

    where = request.file_of("metrics.port")
    serving = served(request.settings, metrics_port, where)
    with ExitStack() as stack, serving if request.processes == 1 else nullcontext() as metrics:
        if request.processes > 1:
            # Opened here and handed down: a port that is taken is found out before anything has begun.
            of_all = listening(request.settings, metrics_port, where, request.processes)
            request = replace(request, listening=tuple(map(stack.enter_context, of_all)))
        if metrics is not None:
            echo(f"metrics: {metrics.url}", err=True)
            request = replace(request, telemetry=metrics.recorder)
        with view(console_of(stderr=True), request.to) as watching:
            return run_flow(request, watching)


def _run_member(request: RunRequest, metrics_port: int | None) -> RunSummary:
    """Run one process's part, as a launcher says it; what happens is told to the launcher."""
    from headrace.metrics.serving import served
    from headrace.runtime.launcher import load_program, run_member
    from headrace.runtime.members import Reporter, join

    # Before it joins: loading takes the longest, and the launcher prepares the start meanwhile.
    load_program(request.settings)
    member, plan, write, launched = join()
    reporter = Reporter(write)
    with reporter.beating():
        where = request.file_of("metrics.port")
        given = None if member.listening is None else socket(fileno=member.listening)
        with served(request.settings, metrics_port, where, given) as metrics:
            if metrics is not None:
                reporter.serving(metrics.url)
                metrics.recorder.beside, metrics.recorder.restarts = launched.troubles, launched.restarts
                request = replace(request, telemetry=metrics.recorder)
            return run_member(request, reporter, member, plan)
