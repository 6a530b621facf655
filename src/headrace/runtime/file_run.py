"""Runs a flow on one host: opens its state, goes on where it stopped, and reports on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.config.addresses import on_topics
from headrace.config.references import errors_of_models
from headrace.control.inbox import ControlInbox, control_folder, limits_of, put
from headrace.control.reader import BatchReader, ControlledReader
from headrace.dataflow.engine import run_alone
from headrace.dataflow.failure import Failure
from headrace.dataflow.file_source import FileSource
from headrace.dataflow.ordered_sink import OrderedFile, OrderedSink
from headrace.dataflow.shard_parts import ShardOutput
from headrace.errors import ConfigError, Invalid, NothingUsable, StateError, StateMismatch
from headrace.files.check_outputs import refuse_foreign
from headrace.files.file_bytes import FileBytes, begin_streams, refuse_foreign_formats
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile
from headrace.files.resume import (
    commands_again,
    directories_of,
    level_pipes,
    mend,
    went_on_at,
    written_up_to,
)
from headrace.files.time_order import disorder_of
from headrace.flows import named
from headrace.journal.provenance import changes, provenance_now
from headrace.journal.records import CONTROL_SOURCE
from headrace.operators.models import model_errors
from headrace.runtime.file_sources import FileSources
from headrace.runtime.places import dead_letters_beside, refuse_clashes_of
from headrace.runtime.running import (
    Tally,
    locked,
    own_errors,
    state_left_alone_by_gc,
    warn_of_changes,
    warnings_to,
)
from headrace.runtime.runs import Observer, RunRequest, RunSummary, nothing_usable
from headrace.runtime.skips import notes_of_skips, refuse_where_runs_died
from headrace.shard.batch_applier import Applied
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import kind_of

__all__ = ["locked", "run"]


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
    _refuse_errors(request)
    if on_topics(request.sources, request.to, request.dead_letters):
        from headrace.runtime.launcher import run_on_topics

        return run_on_topics(request, observer)
    _refuse_options_of_topics(request)
    refuse_clashes_of(request)
    refuse_foreign_formats(request.sources)
    state = request.state
    with ExitStack() as stack:
        # Who reads a pipe takes from whoever else does, so that the state's lock comes first; but to make one
        # that isn't there would leave it behind where the pipe is refused.
        locked_before = state is not None and (state / "lock").exists()
        if state is not None and locked_before:
            stack.enter_context(locked(state))
        begun = begin_streams(request.sources, stack)
        if state is not None and not locked_before:
            stack.enter_context(locked(state))
        stack.enter_context(warnings_to(observer))
        return _Run(request, observer, stack, begun).run()


def _refuse_options_of_topics(request: RunRequest) -> None:
    given = {"--processes": request.processes != 1, "--again": request.again}
    found = [
        Invalid(option, "", "not supported with file sources")
        for option, is_given in given.items()
        if is_given
    ]
    if found:
        raise ConfigError(found)


def _refuse_errors(request: RunRequest) -> None:
    """Refuse what the settings can't know of themselves."""
    settings = request.settings
    found = [
        each._replace(file=request.file_of(each.key)) for each in errors_of_models(settings, model_errors)
    ]
    if request.truth and kind_of(settings).evaluation.truth is None:
        found.append(Invalid("--truth", "", f"not supported by {settings.flow.kind}"))
    if found:
        raise ConfigError(found)


class _Run(Tally):
    """One run: its shards, sources, outputs, and what is counted of them."""

    reader: BatchReader
    lines: Sequence[LineReader]
    said: Sequence[str]

    def __init__(
        self, request: RunRequest, observer: Observer, stack: ExitStack, begun: Mapping[str, FileBytes]
    ) -> None:
        super().__init__(request, observer)
        self.closed_well, self._begun = False, begun
        stack.enter_context(self.stopping_on_signals())
        self.telemetry.phase("recovering")
        self.shards: list[DurableShard] = []
        self.files: tuple[OrderedFile, ...] = ()
        self.failure = Failure()
        if request.state is not None:
            refuse_where_runs_died(request.state, self.skips)
            self.begin_attempt(request.state, stack)
        stack.callback(self._close_shards)
        self._open_shards()
        self.opened()
        self.outputs = self._open_outputs()
        for output in self.outputs:
            stack.callback(output.close)
        level_pipes(self.shards)
        self.recovery_point, kept = went_on_at(self.shards), written_up_to(self.shards, self.outputs)
        refuse_foreign(directories_of(self.shards), self.outputs, kept, self.recovery_point)
        for shard in self.shards:
            # A shard that is ahead meets these inputs again, and gives out what it has recorded in place of
            # deciding anew.
            shard.keep_outputs_from(self.recovery_point.ordinal)
        self.reader = self._open_sources(stack)
        stack.callback(self.reader.close)
        # Only once everything else could be opened.
        mend(self.shards, self.outputs, kept, self.recovery_point)
        warn_of_changes(self._changes())
        self.recovered = self._went_on()
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
                    needed=self._needed,
                    attempt=self.attempt,
                )
            )

    def _needed(self) -> int:
        """Ordinal that a recovery could go back to: not all shards and outputs have it."""
        reached = [shard.position for shard in self.shards]
        if not self.closed_well:  # at the end the outputs have everything
            reached += [file.reached for file in self.files] or [0]
        return min(reached)

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
        sources = FileSources(self.request, self.shards, self.recovery_point, self._begun)
        names = sources.open(stack)
        self.lines, self.said = sources.lines, sources.said
        self.know_sources(names)
        reader = sources.merged()
        self.small_batches(reader)
        return self._controlled(reader, {name: number for number, name in names.items()}, stack)

    def _controlled(
        self, reader: MergedReader, sources: Mapping[str, int], stack: ExitStack
    ) -> ControlledReader:
        """Return the reader, with the control channel beside it."""
        limits, mark = limits_of(self.settings), self.recovery_point.marks.get(CONTROL_SOURCE)
        state = self.request.state or Path(stack.enter_context(TemporaryDirectory(prefix="headrace-")))
        inbox = ControlInbox(control_folder(state), limits, mark.offset if mark else 0)
        first = self.first_commands(inbox)
        if first:
            put(inbox.directory, first, limits, lambda: inbox.taken)
        return ControlledReader(
            reader,
            inbox,
            sources=sources,
            reached=lambda: min(shard.position for shard in self.shards),
            owed=max(shard.position for shard in self.shards),
            again=commands_again(self.shards, self.recovery_point.ordinal),
        )

    # -- running

    def run(self) -> RunSummary:
        """Run to the end and say how it went."""
        self.observer.started(self.request)
        telemetry, reached = self.telemetry, self.recovery_point.ordinal
        source = FileSource(self.reader, drain=self.drain, telemetry=telemetry)
        decisions, dead_letters = self.files = (
            OrderedFile(self.outputs[0], self.decisions_written, reached),
            OrderedFile(self.outputs[1], self.dead_letters_written, reached),
        )
        edges = named.Edges(
            source=source,
            telemetry=telemetry,
            attempt=self.attempt,
            shard=lambda number: _Logic(self, self.shards[number]),
            sink=OrderedSink(
                decisions, dead_letters, len(self.shards), telemetry=telemetry, failure=self.failure
            ),
        )
        flow = named.build(self.settings, edges)
        with own_errors(), state_left_alone_by_gc():
            self.deciding = True
            telemetry.phase("running")
            run_alone(flow)
            self.failure.raise_again()
        self.closed_well = True
        self.drained()
        self.observer.progress(self.progress())
        letters = self.dead_letters_path if self.outputs[1].length else None
        summary = self.summary(source.error or self._useless(letters), letters, notes=self._notes())
        self.observer.finished(summary)
        return summary

    def drain(self) -> bool:
        """Whether nothing more is to be read; also once something failed."""
        if self.failure.error is not None:
            self.drained()
        return super().drain() or self.draining

    def _useless(self, letters: str | None) -> NothingUsable | None:
        """Return an error where inputs came, and each was a dead letter or of a type without a use."""
        progress = self.progress()
        useless = progress.dead_letters + progress.without_effect
        if self.stopping or not progress.inputs or useless < progress.inputs:
            return None
        return nothing_usable(progress, self.settings.flow.kind, letters)

    def _notes(self) -> tuple[str, ...]:
        """Return what was left, and why."""
        stopped = self.stopping and not self.reader.ended
        left = [lines for lines in self.lines if lines.unfinished_bytes]
        return (
            *self.said,
            *self._out_of_order(),
            *self._undecided(),
            *notes_of_skips(self.skips, self.progress().skipped),
            *(["stopped early, as asked: what was read is decided"] if stopped else []),
            *(
                f"{lines.path}: its last line has no newline yet, and is left for a later run"
                for lines in left
            ),
        )

    def _out_of_order(self) -> Iterator[str]:
        """How many inputs came behind others that happened later."""
        disorder = disorder_of(shard.state.clock for shard in self.shards)
        if disorder.behind:
            hint = "" if self.request.sort else ". --sort reads files in the order of event time"
            yield f"time order: {disorder.told(self.inputs, self.settings.time.allowed_lateness_days)}{hint}"

    def _undecided(self) -> Iterator[str]:
        """Yield that events came and none asked for a decision, as where a file is of another flow."""
        done, kind = self.progress(), self.settings.flow.kind
        used = done.decisions + done.duplicates + done.outcomes_matched
        if done.inputs > done.dead_letters and not used:
            wanted = " and ".join(f"{each}s" for each in self.kind.asked_by(self.settings))
            yield f"none of the {done.inputs:,} inputs asked for a decision: {kind} decides on {wanted}"

    def _changes(self) -> list[str]:
        now = provenance_now(self.settings, learn=self.request.learn)
        return changes([shard.before for shard in self.shards], now)

    def _went_on(self) -> str:
        if not any(shard.position for shard in self.shards) or not self.recovery_point.ordinal:
            return ""
        replayed = sum(shard.replayed for shard in self.shards)
        return (
            f"went on at input {self.recovery_point.ordinal:,}; {replayed:,} applied again from the journal"
        )


class _Logic:
    """A shard as the flow's operator sees it."""

    def __init__(self, run: _Run, shard: DurableShard) -> None:
        self._run, self._shard = run, shard

    def process(self, part: Any) -> Any:
        """Apply the shard's part of a batch."""
        batch, applied, failure = part.batch, Applied(), self._run.failure
        if failure.error is None:
            with failure.kept():
                applied = self._shard.process(batch, part.events, part.indices)
                lines = len(part.indices) if part.indices is not None else len(batch.payloads)
                self._run.applied(self._shard, applied, 0 if batch.flags else lines)
        return ShardOutput(
            shard=part.shard,
            ordinal=batch.ordinal,
            ordinal_next=batch.ordinal_next,
            decisions=applied.decisions,
            dead_letters=applied.dead_letters,
            accepted_ns=batch.accepted_ns,
        )
