"""Runs a flow on one host: opens its state, goes on where it stopped, and reports on it."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final

import orjson
from bytewax.run import cli_main

from headrace.errors import ConfigError, HeadraceError, Mistake, StateError, StateLocked, StateMismatch
from headrace.flows import fraud
from headrace.operators import steps
from headrace.operators.commands import Command, ReloadList
from headrace.operators.control import ControlInbox, control_folder, limits_of, put
from headrace.operators.controlled import BatchReader, ControlledReader
from headrace.operators.durable import Applied, DurableShard
from headrace.operators.files import STANDARD, LineReader, MergedReader, OutputFile, Pace
from headrace.operators.journal import CONTROL_SOURCE
from headrace.operators.latency import LatencyHistogram
from headrace.operators.models import model_mistakes
from headrace.operators.policy.lists import read_lists
from headrace.operators.policy.verdict import DAY_MS
from headrace.operators.prequential import Prequential
from headrace.operators.resume import (
    commands_again,
    directories_of,
    level_pipes,
    make_state,
    mend,
    names_of,
    went_on_at,
    written_up_to,
)
from headrace.operators.sources import Numbered, number_sources, open_together, source_name
from headrace.operators.telemetry import SILENT
from headrace.operators.truth import read_truth
from headrace.operators.written import refuse_foreign
from headrace.places import dead_letters_beside, refuse_clashes_of
from headrace.runs import Latency, Observer, Progress, RunRequest, RunSummary

__all__ = ["run"]

_REPORT_EVERY_S: Final = 0.2
_GC_ALLOCATIONS: Final = 50_000
_ACTIONS: Final = ("approve", "review", "block")
_REASON: Final = "reason_"
_LOCK_TRIES: Final = 4
_LOCK_WAIT_S: Final = 0.05


def run(request: RunRequest, observer: Observer) -> RunSummary:
    """Run a flow to the end of its sources, or until it is told to stop.

    Parameters
    ----------
    request
        What to run.
    observer
        Who is told of its progress.

    Raises
    ------
    ConfigError, InputError, StateError
        If the run can't begin. An input that breaks off later ends the run with its exit code in the summary.
    """
    wrong = model_mistakes(request.settings.model.name, request.settings.model.parameters)
    if wrong:
        file = str(request.config_file or "fraud.toml")
        raise ConfigError([Mistake(file, f"model.{key}", message) for key, message in wrong])
    refuse_clashes_of(request)
    with ExitStack() as stack:
        if request.state is not None:
            stack.enter_context(_locked(request.state))
        stack.enter_context(_warnings_to(observer))
        return _Run(request, observer, stack).run()


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the state's lock; it ends with the process, however that ends."""
    make_state(state)
    fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(fd, state)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, state: Path) -> None:
    # Whoever only asks whether a flow is running holds the lock for a moment.
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
def _own_errors() -> Iterator[None]:
    """Raise an error of ours as it is, where Bytewax has wrapped it in its own."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, HeadraceError | OSError):
            cause = cause.__cause__
        if isinstance(cause, OSError):
            raise HeadraceError(f"the system refused: {cause}") from error
        if cause is None:
            raise
        raise cause from error


@contextmanager
def _state_left_alone_by_gc() -> Iterator[None]:
    """Keep the collector of reference cycles from walking through the state again and again; it has none."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS, before[1], before[2])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def _warnings_to(observer: Observer) -> Iterator[None]:
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


class _Run:
    """One run: its shards, sources, outputs, and what is counted of them."""

    def __init__(self, request: RunRequest, observer: Observer, stack: ExitStack) -> None:
        self.request, self.observer, self.settings = request, observer, request.settings
        self.started = self.reported = time.monotonic()
        self.latency, self.quality = LatencyHistogram(), Prequential()
        self.truth = read_truth(request.truth) if request.truth else None
        self.inputs = self.decisions = self.dead_letters = 0
        self.stopping = self.draining = self.closed_well = False
        self.telemetry = request.telemetry or SILENT
        self.telemetry.phase("recovering")
        self.shards: list[DurableShard] = []
        self.failure = steps.Failure()
        stack.callback(self._close_shards)
        self._open_shards()
        self.before = self._counts()
        self.outputs = self._open_outputs()
        for output in self.outputs:
            stack.callback(output.close)
        level_pipes(self.shards)
        self.rewind, kept = went_on_at(self.shards), written_up_to(self.shards, self.outputs)
        refuse_foreign(directories_of(self.shards), self.outputs, kept, self.rewind)
        for shard in self.shards:
            shard.keep_outputs_from(self.rewind.ordinal)
        self.reader = self._open_sources(stack)
        stack.callback(self.reader.close)
        # Only once everything else could be opened.
        mend(self.shards, self.outputs, kept, self.rewind)
        self.telemetry.opened(self.shards, self.reader)

    # -- opening

    def _open_shards(self) -> None:
        state, count = self.request.state, self.settings.flow.shards
        kept = [] if state is None else sorted(path.name for path in state.glob("shard-*"))
        if len(kept) > count:
            raise StateMismatch([f"flow.shards: the state has {len(kept)}, the configuration {count}"])
        shards = self.shards
        for number in range(count):
            name = f"shard-{number:02}"
            directory = None if state is None else state / name
            # All are made in order before the first input: of a start that was cut short there are the first.
            if kept and name not in kept and (not shards or any(shard.position for shard in shards)):
                raise StateError(f"{directory}: is missing")
            shards.append(
                DurableShard(
                    directory,
                    self.settings,
                    shard=number,
                    learn=self.request.learn,
                    telemetry=self.telemetry,
                )
            )

    def _close_shards(self) -> None:
        for shard in self.shards:
            shard.close(with_checkpoint=self.closed_well)

    @property
    def dead_letters_path(self) -> str:
        """Where dead letters go: as asked, else beside the decisions."""
        if self.request.dead_letters is not None:
            return self.request.dead_letters
        return dead_letters_beside(self.request.to)

    def _open_outputs(self) -> tuple[OutputFile, OutputFile]:
        fsync = self.settings.journal.fsync
        decisions = OutputFile(self.request.to, append=True, fsync=fsync)
        return decisions, OutputFile(self.dead_letters_path, append=True, fsync=fsync)

    def _open_sources(self, stack: ExitStack) -> BatchReader:
        numbers, names = self._number_sources()
        limits, time_limits = self.settings.input, self.settings.time
        self.lines = open_together(
            partial(self._open_source, path, number)
            for path, number in zip(self.request.sources, numbers, strict=True)
        )
        for shard in self.shards:
            for number, name in names.items():
                shard.register(number, name)
        reader = MergedReader(
            self.lines,
            ordinal=self.rewind.ordinal,
            batch_lines_max=limits.batch_lines_max,
            pace=None if self.request.speed is None else Pace(self.request.speed),
            ahead_ms_max=round(time_limits.ahead_hours_max * 3_600_000),
            agree_lines=time_limits.ahead_agree_events,
        )
        return self._controlled(reader, {name: number for number, name in names.items()}, stack)

    def _controlled(
        self, reader: MergedReader, sources: Mapping[str, int], stack: ExitStack
    ) -> ControlledReader:
        """The reader, with the control channel beside it."""
        limits, mark = limits_of(self.settings), self.rewind.marks.get(CONTROL_SOURCE)
        state = self.request.state or Path(stack.enter_context(TemporaryDirectory(prefix="headrace-")))
        inbox = ControlInbox(control_folder(state), limits, mark.offset if mark else 0)
        first = self._first_commands(inbox)
        if first:
            put(inbox.directory, first, limits, lambda: inbox.taken)
        return ControlledReader(
            reader,
            inbox,
            sources=sources,
            reached=lambda: min(shard.position for shard in self.shards),
            owed=max(shard.position for shard in self.shards),
            again=commands_again(self.shards, self.rewind.ordinal),
        )

    def _first_commands(self, inbox: ControlInbox) -> list[Command]:
        """Contents of the configured lists of which no shard has any, nor finds it waiting."""
        known = {name for shard in self.shards for name in shard.lists}
        for number in inbox.waiting() if self.settings.policy.lists else ():
            known |= {each.name for each in inbox.read(number).commands if isinstance(each, ReloadList)}
        return [
            ReloadList(name=name, entries=content.entries, digest=content.digest)
            for name, content in read_lists(self.settings)
            if name not in known
        ]

    def _open_source(self, path: str, number: int) -> LineReader:
        """Open one where it was left; what came through standard input before is only counted on."""
        return LineReader(
            path if path == STANDARD else str(Path(path)),
            number=number,
            start=self.rewind.marks.get(number),
            continued=path == STANDARD,
            leave_unfinished=self.request.state is not None and path != STANDARD,
        )

    def _number_sources(self) -> Numbered:
        """Numbers of the sources, and the names of all that the state knows then."""
        request, limits = self.request, self.settings.input
        if len(set(map(source_name, request.sources))) < len(request.sources):
            raise ConfigError([Mistake("--from", "", "names a source twice")])
        numbered = number_sources(request.sources, names_of(self.shards), self.rewind.marks, request.if_moved)
        for key, count, most in (
            ("sources_max", len(numbered.numbers), limits.sources_max),
            ("sources_known_max", len(numbered.names), limits.sources_known_max),
        ):
            if count > most:
                file = str(request.config_file or "fraud.toml")
                raise ConfigError([Mistake(file, f"input.{key}", f"is {most}; with this run it is {count}")])
        return numbered

    # -- running

    def run(self) -> RunSummary:
        """Run to the end and say how it went."""
        self.observer.started(self.request)
        telemetry, shards = self.telemetry, len(self.shards)
        source = steps.FileSource(self.reader, drain=self._drain, telemetry=telemetry)
        decisions, dead_letters = self.outputs
        edges = fraud.Edges(
            source=source,
            telemetry=telemetry,
            shard=lambda number: _Logic(self, self.shards[number]),
            decisions=steps.OrderedSink(
                decisions, shards, self._decisions_written, telemetry=telemetry, failure=self.failure
            ),
            dead_letters=steps.OrderedSink(
                dead_letters, shards, self._dead_letters_written, telemetry=telemetry, failure=self.failure
            ),
        )
        flow = fraud.build(self.settings, edges)
        with self._stopping_on_signals(), _own_errors(), _state_left_alone_by_gc():
            telemetry.phase("running")
            cli_main(flow)  # type: ignore[no-untyped-call]  # Bytewax leaves it without types
            self.failure.raise_again()
        self.closed_well = True
        self._drained()
        self.observer.progress(self.progress())
        error = source.error
        capacity = self.settings.policy.capacity
        summary = RunSummary(
            progress=self.progress(),
            seconds=time.monotonic() - self.started,
            exit_code=error.exit_code if isinstance(error, HeadraceError) else 0,
            error=str(error) if error else None,
            dead_letters=self.dead_letters_path if self.outputs[1].length else None,
            reviews=self._reviews_unused(),
            reviews_per_day_max=capacity.reviews_per_day_max if capacity else None,
            notes=self._notes(),
        )
        self.observer.finished(summary)
        return summary

    def _notes(self) -> tuple[str, ...]:
        """What was left, and why."""
        stopped = self.stopping and not self.reader.ended
        left = [lines for lines in self.lines if lines.unfinished_bytes]
        return (
            *(["stopped early, as asked: what was read is decided"] if stopped else []),
            *(
                f"{lines.path}: its last line has no newline yet, and is left for a later run"
                for lines in left
            ),
        )

    def _reviews_unused(self) -> dict[int, int]:
        """Reviews left on each day since the first that had one, over all shards."""
        policies = [shard.state.policy for shard in self.shards]
        first = min((days[0] for policy in policies if (days := policy.review_days())), default=None)
        if first is None or self.settings.policy.capacity is None:
            return {}
        last = max(shard.state.clock.now for shard in self.shards) // DAY_MS
        return {day: sum(policy.unused(day) or 0 for policy in policies) for day in range(first, last + 1)}

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """End well on SIGTERM and SIGINT: read no more, decide what was read, then stop."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drain(self) -> bool:
        if self.stopping or self.failure.error is not None:
            self._drained()
        return self.draining

    def _drained(self) -> None:
        # Not told by the signal's handler: that may have interrupted the one who would be told.
        if not self.draining:
            self.draining = True
            self.telemetry.phase("draining")

    def applied(self, shard: DurableShard, applied: Applied, lines: int) -> None:
        """Take note of what a shard has applied."""
        self.inputs += lines
        graded = shard.graded()
        self.telemetry.graded(graded, learnt=shard.learn)
        if applied.decisions:
            self.telemetry.decided(applied.decisions)
        if self.truth is None:
            self.quality.extend(graded)
        else:
            self._judge(applied, self.truth)

    def _judge(self, applied: Applied, truth: dict[str, int]) -> None:
        for _, line in applied.decisions:
            decision = orjson.loads(line)
            label = truth.get(decision["event_id"])
            if label is not None:
                self.quality.add(decision["score"], label)

    def _decisions_written(self, accepted_ns: int, count: int) -> None:
        self.decisions += count
        if count:
            now_ns = time.perf_counter_ns()
            self.latency.record(now_ns - accepted_ns, count)
            self.telemetry.latency(accepted_ns, count, now_ns)
        now = time.monotonic()
        if now - self.reported >= _REPORT_EVERY_S:
            self.reported = now
            self.observer.progress(self.progress())

    def _dead_letters_written(self, _accepted_ns: int, count: int) -> None:
        self.dead_letters += count

    def _counts(self) -> Counter[str]:
        together: Counter[str] = Counter()
        for shard in self.shards:
            together.update(shard.state.counts)
            together["outcomes_unmatched"] += shard.state.early.unmatched + len(shard.state.early)
        return together

    def progress(self) -> Progress:
        """How far the run has come."""
        counts = self._counts()
        counts.subtract(self.before)
        read = self.reader.progress
        states = [shard.state for shard in self.shards]
        return Progress(
            inputs=self.inputs,
            decisions=self.decisions,
            by_action={action: counts[action] for action in _ACTIONS},
            dead_letters=self.dead_letters,
            repeats=counts["repeats"],
            outcomes_matched=counts["outcomes_matched"],
            outcomes_unmatched=max(0, counts["outcomes_unmatched"]),
            outcomes_corrected=counts["outcomes_corrected"],
            outcomes_late=counts["outcomes_too_late_to_correct"],
            bytes_read=read.bytes_done,
            bytes_total=read.bytes_total,
            elapsed_s=time.monotonic() - self.started,
            latency=self._latency(),
            event_time_ms=max(state.clock.now for state in states),
            reasons={
                name.removeprefix(_REASON): count
                for name, count in counts.items()
                if name.startswith(_REASON)
            },
            quality=self.quality.quality(),
            pending=sum(len(state.pending) for state in states),
            entities=sum(len(table) for state in states for table in state.features.tables.values()),
            recovered=self._recovered(),
        )

    def _latency(self) -> Latency | None:
        if not self.decisions:
            return None
        return Latency(*(self.latency.percentile_ms(percent) for percent in (50.0, 99.0, 99.9)))

    def _recovered(self) -> str:
        if not any(shard.position for shard in self.shards) or not self.rewind.ordinal:
            return ""
        replayed = sum(shard.replayed for shard in self.shards)
        return f"went on at input {self.rewind.ordinal:,}; {replayed:,} applied again from the journal"


class _Logic:
    """A shard as the flow's operator sees it."""

    def __init__(self, run: _Run, shard: DurableShard) -> None:
        self._run, self._shard = run, shard

    def process(self, part: Any) -> Any:
        """Apply the shard's part of a batch."""
        batch, applied, failure = part.batch, Applied(), self._run.failure
        if failure.error is None:
            with failure.kept():
                applied = self._shard.process(batch, part.events, part.places)
                lines = len(part.places) if part.places is not None else len(batch.payloads)
                self._run.applied(self._shard, applied, 0 if batch.flags else lines)
        return steps.ShardOutput(
            shard=part.shard,
            ordinal=batch.ordinal,
            ordinal_next=batch.ordinal_next,
            decisions=applied.decisions,
            dead_letters=applied.dead_letters,
            accepted_ns=batch.accepted_ns,
        )
