"""What a run is asked for, and what it says of itself while it goes on and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any, Protocol

from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT
from headrace.config.layers import Origins
from headrace.config.tables import RunSettings
from headrace.dataflow.telemetry import Telemetry
from headrace.errors import NothingUsable
from headrace.files.sources import IfMoved

__all__ = [
    "Latency",
    "Observer",
    "Progress",
    "RunRequest",
    "RunSummary",
    "nothing_usable",
    "useless_state",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run.

    Attributes
    ----------
    flow
        Name of its kind, as `flow.kind` has it.
    sources
        Paths of the inputs, `-` for standard input; several are merged by event time.
    to
        Where decisions go: a path, or `-` for standard output.
    dead_letters
        Where dead letters go; None for beside the decisions.
    state
        The folder that keeps the state; None for a temporary one, which starts and ends with the run.
    settings
        The configuration.
    config_file
        Where it was read from, beside the flow's file; None for what is shipped.
    flow_file
        Where it was read what is decided; None for a flow that is shipped.
    origins
        Which file, variable or option gave each setting; None if it isn't known.
    speed
        Multiple of event time; None for as fast as possible.
    learn
        Whether outcomes teach the model.
    truth
        CSV with the answers, to evaluate the scores by; None to evaluate by the outcomes as they come.
    if_moved
        What to do with a new source that begins as a known one did.
    skips
        Inputs to be passed over, each as SOURCE:OFFSET.
    telemetry
        Is told of phases and stages; None for nobody.
    start
        Where to begin in topics that the state doesn't know: `earliest`, `latest`, or a time.
    create_topics
        Whether topics that are missing are created.
    accept_lost
        Whether to go on where messages were deleted before they were read.
    sort
        Whether files are read in the order of event time.
    again
        Whether to go on where outputs have decisions that the state hasn't made, or it was written for other
        topics.
    processes
        How many share the shards; on topics only.
    command
        The arguments of the command line, with which further processes are started.
    listening
        For each process a socket that listens for those who ask for its metrics; none if nobody does.
    """

    flow: str
    sources: tuple[str, ...]
    to: str
    dead_letters: str | None
    state: Path | None
    settings: RunSettings
    config_file: Path | None
    speed: float | None
    learn: bool
    truth: Path | None = None
    if_moved: IfMoved = IfMoved.REFUSE
    skips: tuple[str, ...] = ()
    telemetry: Telemetry | None = None
    start: str = "earliest"
    create_topics: bool = False
    accept_lost: bool = False
    sort: bool = False
    again: bool = False
    processes: int = 1
    command: tuple[str, ...] = ()
    listening: tuple[socket, ...] = ()
    flow_file: Path | None = None
    origins: Origins | None = None

    def file_of(self, key: str) -> str:
        """Return where a setting is to be changed: a file, a variable or an option."""
        if self.origins is not None:
            return self.origins.file_of(key)
        return str(self.config_file or SHIPPED_ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time from reading an event to writing its decision, in milliseconds."""

    p50_ms: float
    p99_ms: float
    p999_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come. All counts are of this run, unless said otherwise.

    Attributes
    ----------
    inputs
        Lines read.
    decisions
        Decisions written.
    by_action
        Of them, for each action.
    dead_letters
        Lines that could not be used.
    dead_by_reason
        Why inputs became dead letters, and how many.
    without_effect
        Events of types that the flow has no use for.
    useful
        Inputs of all runs of the state that have had an effect on it, now.
    duplicates
        Events that had come before.
    outcomes_matched, outcomes_unmatched
        Outcomes that met their decision, and that did not (so far).
    outcomes_corrected, outcomes_late
        Outcomes that changed an earlier one; those that came too late to.
    bytes_read, bytes_total
        Of the input files as they lie on disk; the total is None when it isn't known, as on standard input.
    elapsed_s
        Wall clock since the start, in seconds.
    latency
        None before the first decision.
    event_time_ms
        The shard's clock, milliseconds since the epoch, UTC; 0 before the first event.
    reasons
        How often each code was a reason.
    quality
        How good the decisions are, as the kind's `Run.told` gives it; None before that is known.
    counted
        What it was computed from, where it is put together with that of other processes; None otherwise.
    pending, entities
        Decisions that wait for their outcome, and entities that are known, now.
    skipped
        Inputs that were passed over as asked, by their place, and how many shards did so.
    recovered
        How an earlier run's state was taken up again; empty when there was none.
    """

    inputs: int = 0
    decisions: int = 0
    by_action: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    dead_by_reason: Mapping[str, int] = field(default_factory=dict)
    without_effect: int = 0
    useful: int = 0
    duplicates: int = 0
    outcomes_matched: int = 0
    outcomes_unmatched: int = 0
    outcomes_corrected: int = 0
    outcomes_late: int = 0
    bytes_read: int = 0
    bytes_total: int | None = None
    elapsed_s: float = 0.0
    latency: Latency | None = None
    event_time_ms: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    quality: dict[str, Any] | None = None
    counted: Any = None
    pending: int = 0
    entities: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    recovered: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """How a run ended.

    Attributes
    ----------
    progress
        How far it came.
    seconds
        Wall clock of the whole run.
    exit_code
        0, or that of the error.
    error
        What ended it before its time, for a person.
    dead_letters
        Where dead letters went.
    ended
        What its kind has to tell of the state at the end.
    notes
        What else a person should know of its end.
    """

    progress: Progress
    seconds: float
    exit_code: int = 0
    error: str | None = None
    dead_letters: str | None = None
    ended: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def nothing_usable(progress: Progress, flow: str, dead_letters: str | None) -> NothingUsable:
    """Return the error of a run that could use none of its inputs.

    How many there were of which kind, and where.
    """
    by_count = sorted(progress.dead_by_reason.items(), key=lambda item: -item[1])
    seen = [f"{count:,} {reason}" for reason, count in by_count]
    if progress.without_effect:
        seen.append(f"{progress.without_effect:,} of types that {flow} has no use for")
    says = f"; {dead_letters} says of each why" if by_count and dead_letters else ""
    return NothingUsable(f"none of the {progress.inputs:,} inputs could be used ({', '.join(seen)}){says}")


def useless_state(progress: Progress, flow: str, dead_letters: str | None) -> NothingUsable | None:
    """Return an error where inputs came to a state that could use none of them, nor any in an earlier run.

    A run on topics has no end of its own, so that how little came before it was stopped says nothing of the
    topics: only of a state that has never had a use for anything it is known that something is wrong.
    """
    came = progress.without_effect or progress.dead_by_reason
    return nothing_usable(progress, flow, dead_letters) if came and not progress.useful else None


class Observer(Protocol):
    """Watches a run; none of its methods may raise or take long."""

    def started(self, request: RunRequest) -> None:
        """Note that the run begins."""

    def progress(self, progress: Progress) -> None:
        """So far it has come; called several times a second."""

    def warning(self, message: str) -> None:
        """Something a person should know of; the run goes on."""

    def finished(self, summary: RunSummary) -> None:
        """Note that the run has ended."""
