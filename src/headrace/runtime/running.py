"""What surrounds any run of a flow: the state's lock, signals, errors, and what is counted of it."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from headrace.config.addresses import on_topics
from headrace.config.private_files import open_file
from headrace.config.tables import RunSettings
from headrace.control.inbox import ControlInbox
from headrace.dataflow.telemetry import SILENT
from headrace.errors import DiskFull, HeadraceError, StateLocked
from headrace.files.progress import Progress as Read
from headrace.files.resume import make_state
from headrace.metrics.latency import LatencyHistogram
from headrace.operators.policy.lists import changed_lists, read_lists
from headrace.runtime.interrupts import met_by
from headrace.runtime.runs import Latency, Observer, Progress, RunRequest, RunSummary
from headrace.runtime.skips import numbered, skips_of
from headrace.shard.attempts import Attempt
from headrace.shard.batch_applier import Applied
from headrace.shard.commands import Command, ReloadList
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import actions_of, kind_of

__all__ = ["Tally", "locked", "own_errors", "state_left_alone_by_gc", "warn_of_changes", "warnings_to"]

_log = logging.getLogger(__name__)
_REPORT_EVERY_S: Final = 0.2
_CAREFUL_INPUTS: Final = 16  # each batch may wait for the disk
# With Python's own 700, a batch of events sets off several collections, none of which finds anything.
_GC_ALLOCATIONS: Final = 50_000
_REASON: Final = "reason_"
_DEAD: Final = "dead_"
_WITHOUT_EFFECT: Final = "events_without_effect"
_LOCK_TRIES: Final = 40
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCK_WAIT_S: Final = 0.05


@contextmanager
def locked(state: Path) -> Iterator[int]:
    """Hold the state's lock; it ends with the process, and those that inherit the descriptor given."""
    make_state(state)
    fd = open_file(state / "lock", os.O_RDWR | os.O_CREAT)
    try:
        _lock(fd, state)
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, state: Path) -> None:
    # Whoever only asks whether a flow is running holds the lock for a moment, and so does the child that was
    # writing a checkpoint for a process that was killed.
    for left in reversed(range(_LOCK_TRIES)):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not left:
                raise StateLocked(f"{state}: another process uses this state") from error
            time.sleep(_LOCK_WAIT_S)
        else:
            return


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise an error of ours as it is, where Bytewax has wrapped it in its own."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        # Bytewax raises what a step raised as the cause of an error of its own, sometimes more than once.
        while cause is not None and not isinstance(cause, HeadraceError | OSError):
            cause = cause.__cause__
        if isinstance(cause, OSError):
            kind = DiskFull if cause.errno in _FULL else HeadraceError
            raise kind(f"the system refused: {cause}") from error
        if cause is None:
            raise
        raise cause from error


@contextmanager
def state_left_alone_by_gc() -> Iterator[None]:
    """Keep the collector of reference cycles from walking through the state again and again; it has none."""
    before = gc.get_threshold()
    # What is there now is moved out of the collector's sight, so that no collection walks through the state,
    # or writes to pages that a checkpoint's child shares.
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS, before[1], before[2])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def warnings_to(observer: Observer) -> Iterator[None]:
    """Hand warnings of the log on to the observer."""

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            observer.warning(record.getMessage())

    handler, log = _Handler(logging.WARNING), logging.getLogger("headrace")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def warn_of_changes(lines: Sequence[str]) -> None:
    """Say what is other in this run than in the last one of its state."""
    for line in lines:
        _log.warning("changed since the last run: %s", line)


class Reading(Protocol):
    """Tells how much of the sources was read."""

    @property
    def progress(self) -> Read:
        """Of all sources together."""


class LimitedBatches(Protocol):
    """Hands out batches."""

    def limit_batches(self, lines_max: int | None, /) -> None:
        """Hand out smaller ones; None for those that were configured."""


class Tally:
    """What a run counts, what it reports, and when it is to stop.

    Parameters
    ----------
    request
        What is run.
    observer
        Who is told of its progress.

    Attributes
    ----------
    shards, reader
        To be set once they are open.
    deciding
        To be set when what is read is about to be decided.
    """

    shards: Sequence[DurableShard]
    reader: Reading

    def __init__(self, request: RunRequest, observer: Observer) -> None:
        self.request, self.observer = request, observer
        self.settings: RunSettings = request.settings
        self.started = self.reported = time.monotonic()
        self.kind, self.actions = kind_of(self.settings), actions_of(self.settings)
        evaluation = self.kind.evaluation
        self.latency, self.quality = LatencyHistogram(), evaluation.run(self.settings)
        self.truth = None
        if request.truth is not None and evaluation.truth is not None:
            self.truth = evaluation.truth(request.truth, self.settings.input.truth_rows_max)
        self.inputs = self.decisions = self.dead_letters = 0
        self.deciding = self.stopping = self.draining = False
        self.telemetry = request.telemetry or SILENT
        self.recovered = ""
        self.before: Counter[str] = Counter()
        self.shards = ()
        self.skips = skips_of(
            request.skips, topics=on_topics(request.sources, request.to, request.dead_letters)
        )
        self.attempt: Attempt | None = None
        self._limited: LimitedBatches | None = None

    def begin_attempt(self, state: Path, stack: ExitStack, process: int = 0) -> None:
        """Note in the state that a run begins; say at which input the one before died, if that is known."""
        self.attempt = Attempt(state, process)
        stack.callback(self.attempt.end)
        if self.attempt.died_at is not None:
            _log.warning(
                "the run before died at %s; if this one does too, start it with --skip and that place",
                self.attempt.died_at,
            )

    def know_sources(self, names: Mapping[int, str]) -> None:
        """Tell shards what to pass over, once sources have numbers; and who notes places their names."""
        for shard in self.shards:
            shard.skips = numbered(self.skips, names)
        if self.attempt is not None:
            self.attempt.names = names

    def small_batches(self, reader: LimitedBatches) -> None:
        """As long as care is due, journal few inputs at a time, so that most of those before one count."""
        if self.attempt is not None and self.attempt.careful:
            self._limited = reader
            reader.limit_batches(_CAREFUL_INPUTS)

    def _skipped(self) -> dict[str, int]:
        met: dict[str, int] = {}
        for shard in self.shards:
            names = shard.state.source_names
            for (source, offset), count in shard.skips.items():
                place = f"{names.get(source, source)}:{offset}"
                met[place] = met.get(place, 0) + count
        return met

    def opened(self) -> None:
        """Note that the shards are open: from here on is counted."""
        self.before = self._counts()
        for shard in self.shards:  # what was applied again from a journal isn't this run's
            clock = shard.state.clock
            clock.behind = clock.late = clock.behind_ms_max = 0

    def taken_up(self) -> Progress:
        """Return what the state had counted when it was taken up, from where a run begun before counts on."""
        counts = self.before
        by_action = {action: counts[action] for action in self.actions}
        return Progress(
            inputs=sum(shard.position for shard in self.shards),
            decisions=sum(by_action.values()),
            by_action=by_action,
            dead_letters=sum(count for name, count in counts.items() if name.startswith(_DEAD)),
            dead_by_reason=_dead_by_reason(counts),
            without_effect=counts[_WITHOUT_EFFECT],
            duplicates=counts["repeats"],
            outcomes_matched=counts["outcomes_matched"],
            outcomes_unmatched=max(0, counts["outcomes_unmatched"]),
            outcomes_corrected=counts["outcomes_corrected"],
            outcomes_late=counts["outcomes_too_late_to_correct"],
            reasons=_reasons(counts),
        )

    def first_commands(self, inbox: ControlInbox) -> list[Command]:
        """Contents of the configured lists of which no shard here has any, nor finds it waiting."""
        digests = {name: digest for shard in self.shards for name, digest in shard.lists.items()}
        # A reload that waits in the inbox is newer than the file; the file's content must not be put behind
        # it.
        waiting: set[str] = set()
        for number in inbox.waiting() if self.settings.lists else ():
            waiting |= {each.name for each in inbox.read(number).commands if isinstance(each, ReloadList)}
        read = read_lists(self.settings)
        warn_of_changes(changed_lists(read, digests, waiting))
        return [
            ReloadList(name=name, entries=content.entries, digest=content.digest)
            for name, content in read
            if name not in digests and name not in waiting
        ]

    # -- stopping

    def stopping_on_signals(self, *, for_good: bool = False) -> AbstractContextManager[None]:
        """End well on SIGTERM and SIGINT: read no more, decide what was read, then stop.

        Before it decides, there is nothing to drain, and a run leaves them to its caller. A process that
        others wait for doesn't; and as one signal may come to it twice, it stays so `for_good`, to its end.
        """

        def stop() -> bool:
            self.stopping = True
            goes_on = self.deciding or for_good
            if not goes_on and self.attempt is not None:
                self.attempt.end()  # the process is ended by whoever has the signal next
            return goes_on

        return met_by(stop, for_good=for_good)

    def drain(self) -> bool:
        """Whether nothing more is to be read."""
        if self.stopping:
            self.drained()
        return self.stopping

    def drained(self) -> None:
        """Nothing more is read from here on."""
        # Not told by the signal's handler: that may have interrupted the one who would be told.
        if not self.draining:
            self.draining = True
            self.telemetry.phase("draining")

    # -- counting

    def applied(self, shard: DurableShard, applied: Applied, lines: int) -> None:
        """Take note of what a shard has applied."""
        self.inputs += lines
        # The input that the run before died at was passed, so batches may have their full size again.
        if self._limited is not None and self.attempt is not None and not self.attempt.careful:
            self._limited.limit_batches(None)
            self._limited = None
        evaluated: Sequence[Any] = shard.evaluated()
        self.telemetry.evaluated(evaluated, learned=shard.learn)
        if applied.decisions:
            self.telemetry.decided(applied.decisions)
        if self.truth is not None:
            # Without the lines of erased records, which are given out again as blanks.
            evaluated = self.truth.evaluated([line for _, line in applied.decisions if not line.isspace()])
        self.quality.extend(evaluated)

    def decisions_written(self, accepted_ns: int, count: int, since_ms: Sequence[int] = ()) -> None:
        """Take note of decisions that have gone out; `since_ms` says since when some of them waited."""
        self.decisions += count
        if count:
            now_ns = time.perf_counter_ns()
            self.latency.record(now_ns - accepted_ns, count)
            self.telemetry.latency(accepted_ns, count, now_ns)
            if since_ms:
                self.telemetry.waited(since_ms, count, time.time_ns() // 1_000_000)
        self.report()

    def dead_letters_written(self, _accepted_ns: int, count: int) -> None:
        """Take note of dead letters that have gone out."""
        self.dead_letters += count

    def report(self) -> None:
        """Tell the observer how far the run has come, now and then."""
        now = time.monotonic()
        if now - self.reported >= _REPORT_EVERY_S:
            self.reported = now
            self.observer.progress(self.progress())

    def _counts(self) -> Counter[str]:
        together: Counter[str] = Counter()
        for shard in self.shards:
            together.update(shard.state.counts)
            together["outcomes_unmatched"] += shard.state.held().unmatched
        return together

    def progress(self) -> Progress:
        """How far the run has come."""
        counts = self._counts()
        # Counts are part of the state and go on over runs; a run reports its own share.
        counts.subtract(self.before)
        read = self.reader.progress
        states = [shard.state for shard in self.shards]
        held = [state.held() for state in states]
        return Progress(
            inputs=self.inputs,
            decisions=self.decisions,
            by_action={action: counts[action] for action in self.actions},
            dead_letters=self.dead_letters,
            dead_by_reason=_dead_by_reason(counts),
            without_effect=counts[_WITHOUT_EFFECT],
            useful=sum(state.number - state.counts.get(_WITHOUT_EFFECT, 0) for state in states),
            duplicates=counts["repeats"],
            outcomes_matched=counts["outcomes_matched"],
            outcomes_unmatched=max(0, counts["outcomes_unmatched"]),
            outcomes_corrected=counts["outcomes_corrected"],
            outcomes_late=counts["outcomes_too_late_to_correct"],
            bytes_read=read.bytes_done,
            bytes_total=read.bytes_total,
            elapsed_s=time.monotonic() - self.started,
            latency=self._latency(),
            event_time_ms=max((state.clock.now for state in states), default=0),
            reasons=_reasons(counts),
            quality=self.quality.told(),
            pending=sum(each.pending for each in held),
            entities=sum(each.entities for each in held),
            skipped=self._skipped(),
            recovered=self.recovered,
        )

    def _latency(self) -> Latency | None:
        if not self.decisions:
            return None
        return Latency(*(self.latency.percentile_ms(percent) for percent in (50.0, 99.0, 99.9)))

    def summary(
        self, error: Exception | None, dead_letters: str | None, *, notes: tuple[str, ...] = ()
    ) -> RunSummary:
        """How the run ended; `dead_letters` is where some went, `notes` what else is to be said."""
        machines = [shard.state for shard in self.shards]
        return RunSummary(
            progress=self.progress(),
            seconds=time.monotonic() - self.started,
            exit_code=error.exit_code if isinstance(error, HeadraceError) else 0,
            error=str(error) if error else None,
            dead_letters=dead_letters,
            ended=tuple(self.kind.view.ended(self.settings, machines)),
            notes=notes,
        )


def _reasons(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(_REASON): n for name, n in counts.items() if name.startswith(_REASON)}


def _dead_by_reason(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(_DEAD): n for name, n in counts.items() if name.startswith(_DEAD) and n > 0}
