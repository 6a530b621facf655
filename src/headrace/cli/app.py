"""The command line."""

# ruff: noqa: FBT001, FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from socket import socket
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Final

import typer

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace import __version__
from headrace.cli import control as control_cli
from headrace.cli import dead_letters as dead_letters_cli
from headrace.cli import state as state_cli
from headrace.cli.check import check
from headrace.cli.erase import erase
from headrace.cli.ledger import explain, ledger
from headrace.cli.replay import replay
from headrace.cli.terminal import console_of, echo, guard
from headrace.errors import ConfigError, HeadraceError, ReaderGone
from headrace.runtime.interrupts import end_at_once, met_by

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.runtime.runs import RunRequest, RunSummary

__all__ = ["EXIT_CODES", "app", "main"]

EXIT_CODES: Final = (
    (0, "everything was done, or a run stopped early because SIGINT (Ctrl-C) or SIGTERM asked it to"),
    (1, "something else went wrong"),
    (2, "the command or the configuration has mistakes"),
    (3, "an input can't be read, or is of another format than lines of JSON objects"),
    (4, "a compressed input ends early or is damaged; everything before is decided"),
    (5, "a source differs in the part that was read before, or was read under another name"),
    (6, "a journal or a checkpoint is damaged, or the state can't be used"),
    (7, "the state doesn't fit the configuration, the outputs, or this version of the program"),
    (8, "another process uses the state"),
    (9, "the ledger has no such decision"),
    (10, "decisions that were derived once more differ from the recorded ones"),
    (11, "an erasure was asked for and isn't finished"),
    (12, "Kafka can't be reached, refuses, has not the topics, or did not take a message"),
    (13, "what is to be read next is no longer in the topic"),
    (14, "a file can't grow: no room, a quota, or a limit of size"),
    (15, "inputs came, and none of them could be used: all are dead letters"),
    (16, "an erasure is done, but for records of which nobody can say whose they are"),
    (17, "an input made the program itself fail; --skip passes it over"),
    (130, "interrupted from the keyboard, in a command other than run, or before that has read its options"),
    (141, "the reader of standard output has gone"),
)
_EPILOG: Final = "\b\n" + "\n".join(["Exit codes:", *(f"  {code:>3}  {means}" for code, means in EXIT_CODES)])
# The simulator's own limit; it isn't imported before it is needed.
_CUSTOMERS_MIN: Final = 10
_PIPE_CLOSED: Final = ReaderGone.exit_code
_INTERRUPTED: Final = 130  # what a shell reports of a program that SIGINT ended
_DEMO_SPEED: Final = "150000"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


app.add_typer(control_cli.app, name="control")
app.add_typer(dead_letters_cli.app, name="dead-letters")
app.add_typer(state_cli.app, name="state")


class FlowName(StrEnum):
    """The flows."""

    FRAUD = "fraud"
    RECOMMEND = "recommend"


class Moved(StrEnum):
    """What becomes of a source that was moved: the values of `IfMoved`, which takes longer to import."""

    REFUSE = "refuse"
    FOLLOW = "follow"
    AGAIN = "again"


def _checked_speed(text: str) -> str:
    """Check a speed where typer can say which option is wrong; it stays text, as the default is."""
    _speed(text)
    return text


def _speed(text: str) -> float | None:
    """A multiple of event time; None for as fast as possible."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not isfinite(speed) or speed <= 0.0:
        raise typer.BadParameter("must be a positive number, or max")
    return speed


Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration; the shipped one otherwise.")
]
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


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"headrace {__version__}")
        raise typer.Exit


@app.callback()
def _headrace(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Decide on events as they arrive, and learn from their outcomes."""


@app.command()
def run(
    flow: Annotated[FlowName, typer.Argument(help="Which flow to run: fraud, recommend.")],
    sources: Annotated[
        list[str],
        typer.Option(
            "--from",
            metavar="PATH",
            help="Events: .jsonl, .jsonl.gz, - , or kafka:TOPIC; several are merged by event time.",
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="PATH", help="Where decisions go: a file, - , or kafka:TOPIC.")
    ],
    dead_letters: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Where dead letters go; for NAME.jsonl to NAME.dead-letters.jsonl beside it otherwise."
            " On topics it is required.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the state here, and go on where an earlier run stopped."),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    speed: Speed = "max",
    learn: Annotated[bool, typer.Option("--learn/--no-learn", help="Let outcomes teach the model.")] = True,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Judge the scores by these answers, not by the outcomes."),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            metavar="earliest|latest|TIME", help="Where to begin in topics that the state hasn't read."
        ),
    ] = "earliest",
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Create the topics that are missing.")
    ] = False,
    accept_lost: Annotated[
        bool,
        typer.Option("--accept-lost", help="Go on where messages were deleted before they were read."),
    ] = False,
    sort: Annotated[
        bool,
        typer.Option("--sort", help="Read each file in the order of event time, though it isn't written so."),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Go on though the topics have decisions of another state, or it has read others.",
        ),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Processes that share the shards: 1, 2, 3, 4, 6 or 12."),
    ] = 1,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip",
            metavar="SOURCE:OFFSET",
            help="Pass over the input that begins there, as a dead letter; on topics TOPIC/PARTITION:OFFSET,"
            " of commands control:FILE.",
        ),
    ] = None,
    member: Annotated[bool, typer.Option("--member", hidden=True)] = False,
    moved: Annotated[
        Moved,
        typer.Option(
            metavar="refuse|follow|again",
            help="With a new file that begins with all that was read of a known one: refuse it, follow it as"
            " that one, or decide all of it again.",
        ),
    ] = Moved.REFUSE,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65_535,
            help="Serve /metrics, /healthz and /readyz on this port; 0 for a free one.",
        ),
    ] = None,
) -> None:
    """Run a flow from files to files, or from topics to topics.

    Without --state a run is temporary, and what --to and --dead-letters name is replaced. With it, a further
    file is a new source, and decisions are appended. A run that would write over what it reads, over its
    state, or to one file twice is refused before anything is opened. On topics --state is required, and a run
    goes on until SIGTERM or SIGINT.
    """
    with nullcontext() if member else met_by(end_at_once):
        from headrace.files.sources import IfMoved
        from headrace.runtime.runs import RunRequest

        request = RunRequest(
            flow=flow.value,
            sources=tuple(sources),
            to=to,
            dead_letters=dead_letters,
            state=state,
            settings=_settings(config, overrides, flow.value),
            config_file=config,
            speed=_speed(speed),
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
        summary = _run_member(request, metrics_port) if member else _run(request, metrics_port)
        _end(summary.error, summary.exit_code)


def _run(request: RunRequest, metrics_port: int | None) -> RunSummary:
    from headrace.cli.live import view
    from headrace.metrics.serving import listening, served
    from headrace.runtime.file_run import run as run_flow

    serving = served(request.settings, metrics_port, request.config_file)
    with ExitStack() as stack, serving if request.processes == 1 else nullcontext() as metrics:
        if request.processes > 1:
            of_all = listening(request.settings, metrics_port, request.config_file, request.processes)
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

    load_program(request.settings)
    member, plan, write, launched = join()
    reporter = Reporter(write)
    with reporter.beating():
        given = None if member.listening is None else socket(fileno=member.listening)
        with served(request.settings, metrics_port, request.config_file, given) as metrics:
            if metrics is not None:
                reporter.serving(metrics.url)
                metrics.recorder.beside, metrics.recorder.restarts = launched.troubles, launched.restarts
                request = replace(request, telemetry=metrics.recorder)
            return run_member(request, reporter, member, plan)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which world.")] = 1,
    speed: Speed = _DEMO_SPEED,
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

    lists = _settings(None, None, "recommend")
    payments = _settings(SESSIONS, None, "fraud")
    if to is not None:
        refuse_used(to)
    files = Files(to or Path(mkdtemp(prefix="headrace-demo-")))
    files.folder.mkdir(parents=True, exist_ok=True)
    errors = console_of(stderr=True)
    events = make_world(files, seed, errors, days)
    echo(f"A simulated shop with {events:,} events is in {files.events}", err=True)
    multiple = _speed(speed)
    with views(errors) as (watching, beside):
        summaries = run_both(
            request(files, "recommend", lists, multiple),
            request(files, "fraud", payments, multiple),
            watching,
            beside,
        )
    for summary in summaries:
        _end(summary.error, summary.exit_code)
    show(files, console_of())


@app.command()
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
    with _reader_may_leave():
        events = simulator.write(world, to, truth, truths=truths, speed=_speed(speed))
    echo(f"{events:,} events in {to}", err=True)


app.command()(check)


@app.command()
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


app.command()(erase)
app.command()(explain)
app.add_typer(ledger, name="ledger")
app.command()(replay)


@app.command(hidden=True)
def reference(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where they go.")] = Path("docs"),
) -> None:
    """Write the reference pages: of the command line, the features, the metrics and the models."""
    from headrace.cli.features_reference import features_page
    from headrace.cli.reference import metrics_page, reference_page
    from headrace.metrics.measures import LABELS, PROCESS, all_metrics
    from headrace.operators.models import reference as models_page

    for name, page in (
        ("cli.md", reference_page(typer.main.get_command(app), EXIT_CODES)),
        ("features.md", features_page()),
        ("metrics.md", metrics_page(all_metrics(), LABELS, PROCESS)),
        ("models.md", models_page()),
    ):
        (to / name).write_text(page)
        echo(str(to / name))


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of standard output has gone, as in `headrace simulate --to - | head`."""
    try:
        yield
    except BrokenPipeError:
        # What is still in the buffer would be written at exit, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_PIPE_CLOSED) from None


def _settings(config: Path | None, overrides: list[str] | None, flow: str | None = None) -> RunSettings:
    from headrace.config.loading import load
    from headrace.operators.models import model_mistakes

    return load(config, overrides or (), flow=flow, model_mistakes=model_mistakes)


def _end(error: str | None, exit_code: int) -> None:
    """Leave with a failed run's exit code."""
    if error:
        _complain(error.splitlines())
    if exit_code:
        raise typer.Exit(exit_code)


def _complain(lines: list[str]) -> None:
    for line in lines:
        echo(f"error: {line}", err=True)


def _said(error: HeadraceError) -> Iterator[str]:
    yield from str(error).splitlines()
    if isinstance(error, ConfigError) and len(error.mistakes) > 1:
        yield f"{len(error.mistakes)} mistakes"


def main() -> int:
    """Run the command line and give its exit code; errors of ours are told without a traceback."""
    guard()
    try:
        app(prog_name="headrace")
    except ReaderGone as error:
        return error.exit_code
    except HeadraceError as error:
        _complain(list(_said(error)))
        return error.exit_code
    except OSError as error:
        _complain([f"{error.filename}: {error.strerror}" if error.filename else str(error)])
        return 1
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            echo("interrupted", err=True)
        return ended.code if isinstance(ended.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
