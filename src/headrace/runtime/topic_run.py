"""Runs a flow on topics in one process: its shards, what it reads, what it sends, and how it ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from headrace.control.inbox import ControlInbox, control_folder, limits_of, put
from headrace.dataflow.engine import run_alone, run_as_member
from headrace.dataflow.failure import Failure
from headrace.dataflow.shard_parts import ShardInput, ShardOutput
from headrace.dataflow.topic_reader import TopicCommands, TopicReader
from headrace.dataflow.topic_steps import TopicSink, TopicSource
from headrace.errors import HeadraceError, StateError
from headrace.flows import named
from headrace.journal.batches import Batch
from headrace.journal.end import journal_end, shard_folders
from headrace.journal.records import CONTROL_SOURCE
from headrace.kafka.connection import Connection
from headrace.kafka.delivery import Delivery
from headrace.kafka.partition_merge import PartitionMerge
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import end_offsets
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import Partition, at_offset
from headrace.runtime.attempts import since, with_earlier
from headrace.runtime.liveness import Pulse
from headrace.runtime.members import ALONE, Member, await_listening
from headrace.runtime.running import Tally, own_errors, state_left_alone_by_gc
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary, useless_state
from headrace.runtime.skips import notes_of_skips
from headrace.shard.acknowledged import note_of, watermark_of
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, Outgoing, line_bytes_max
from headrace.shard.positions import Plan, PlannedPartition
from headrace.shard.topic_shard import Taken, TopicShard
from headrace.shard.waiting import MessageAges

__all__ = ["TopicRun", "outputs_of"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOOK_EVERY_S: Final = 0.1
# So long a turn waits for messages; meanwhile nothing can come from other workers, and signals aren't seen.
_WAIT_ALONE_MS: Final = 10
_WAIT_MS: Final = 1
_HOUR_MS: Final = 3_600_000
# All workers reach an epoch's end together, so its length bounds how far one may run ahead.
_EPOCH: Final = timedelta(seconds=1)


def outputs_of(request: RunRequest) -> dict[str, str]:
    """The topic of each output."""
    assert request.dead_letters is not None
    return {
        DECISIONS: request.to.removeprefix("kafka:"),
        DEAD_LETTERS: request.dead_letters.removeprefix("kafka:"),
    }


def sent_bytes_max(request: RunRequest, plan: Plan) -> int:
    """How long a line may be that is sent, with its newline, so that client and topics take it."""
    kafka = request.settings.kafka
    return line_bytes_max(min(kafka.message_bytes_max, *plan.bytes_max.values()), kafka)


class TopicRun(Tally):
    """One process's part of a run.

    Parameters
    ----------
    request
        What to run.
    observer
        Who is told of its progress.
    stack
        Closes what is opened here.
    connection
        To the brokers.
    plan
        What is read, and from where; outputs are as the journals say.
    member
        Which process this is.
    on_drain
        Called when nothing more is read.
    pulse
        Moves as long as the flow does.
    on_open
        Given what the state had counted when it was taken up.
    first
        That of the first attempt, where this one is a further one; None otherwise.
    """

    reader: TopicReader

    def __init__(
        self,
        request: RunRequest,
        observer: Observer,
        stack: ExitStack,
        connection: Connection,
        plan: Plan,
        member: Member = ALONE,
        on_drain: Callable[[], None] = lambda: None,
        pulse: Pulse | None = None,
        on_open: Callable[[Progress], None] = lambda _counted: None,
        first: Progress | None = None,
    ) -> None:
        super().__init__(request, observer)
        self.pulse = pulse or Pulse()
        assert request.state is not None
        self.state: Path = request.state
        self.plan, self.member, self._connection = plan, member, connection
        self._closed_well, self._on_drain = False, on_drain
        self.failure = Failure()
        stack.enter_context(self.stopping_on_signals(for_good=member.count > 1))
        self.telemetry.phase("recovering")
        self.parts: dict[int, TopicShard] = {}
        self.begin_attempt(request.state, stack, member.index)
        stack.callback(self._close_shards)
        self._open_shards()
        self.opened()
        self._earlier = since(first, self.taken_up()) if first else Progress()
        on_open(self.taken_up())
        producer = DecisionProducer(
            connection,
            waiting=self.pulse.move,
            batch_bytes_max=min(plan.bytes_max.values(), default=None),
        )
        stack.callback(producer.close)
        topics = outputs_of(request)
        source, ahead = request.settings.kafka.ce_source, plan.ahead
        limit = sent_bytes_max(request, plan)
        self.delivery = Delivery(producer, topics, self._ends(topics), source, ahead, limit, plan.delivered)
        self._catching_up, self._told_of_unlike = bool(ahead), False
        self.reading = self._open_reading(stack)
        self.reader = self._reader()
        self.recovered = self._went_on()
        self._look_at = self._watermark_at = 0.0
        self.telemetry.opened(self.shards, self.reader, self.delivery)

    # -- opening

    def _open_shards(self) -> None:
        folders = shard_folders(self.state, self.settings.flow.shards)
        opened: list[DurableShard] = []
        self.shards = opened
        for number, folder in enumerate(folders):
            if not self.member.has(number):
                continue
            shard = DurableShard(
                folder,
                self.settings,
                shard=number,
                learn=self.request.learn,
                telemetry=self.telemetry,
                needed=partial(self._needed, number),
                attempt=self.attempt,
            )
            opened.append(shard)
            for partition in self.plan.partitions:
                _begin(shard, partition)
            self.parts[number] = TopicShard(shard)
        self.know_sources({each.number: each.name for each in self.plan.partitions})

    def _needed(self, number: int) -> int:
        """Ordinal from which on a shard's outputs may have to be sent again: before it all is delivered."""
        part = self.parts.get(number)
        sinks = {} if part is None else part.durable.sinks
        return min(sinks[output]["ordinal"] if output in sinks else 0 for output in outputs_of(self.request))

    def _close_shards(self) -> None:
        for shard in self.shards:
            shard.close(with_checkpoint=self._closed_well)

    def _open_reading(self, stack: ExitStack) -> PartitionReader | None:
        starts = {
            Partition(each.topic, each.partition): at_offset(each.start)
            for each in self.plan.partitions
            if self.member.has(each.partition)
        }
        if not starts:
            return None
        wait_ms = _WAIT_ALONE_MS if self.member.count == 1 else _WAIT_MS
        reading = PartitionReader(self._connection, starts, wait_ms=wait_ms)
        stack.callback(reading.close)
        return reading

    def _reader(self) -> TopicReader:
        limits, times, kafka = self.settings.input, self.settings.time, self.settings.kafka
        own = [each for each in self.plan.partitions if self.member.has(each.partition)]
        merge = PartitionMerge(
            [each.number for each in own],
            batch_messages_max=limits.batch_lines_max,
            buffer_messages_max=kafka.merge_messages_max,
            wait_ms_max=kafka.merge_wait_ms_max,
            future_skew_ms_max=round(times.future_skew_hours_max * _HOUR_MS),
            agree_messages=max(times.quorum_min, times.quorum_alone_events),
        )
        self.small_batches(merge)
        numbers = {(each.topic, each.partition): each.number for each in own}
        ages = MessageAges(self._known_since_ms(), kafka.clock_skew_ms_max)
        commands = self._commands() if self.member.index == 0 else None
        silent = kafka.silent_seconds_max
        return TopicReader(
            self.reading,
            merge,
            numbers,
            commands,
            ages,
            silent_seconds_max=silent,
            kept_bytes_max=max(limits.line_kept_bytes_max, limits.line_bytes_max),
            head_bytes=limits.line_bytes_max + 1,
        )

    def _known_since_ms(self) -> dict[int, int]:
        """Since when the state knows the topic of each partition: what is older nobody waits for."""
        known = [shard.sources.known_since_ms() for shard in self.shards]
        return {
            each.number: min(since[each.number] for since in known) for each in self.plan.partitions if known
        }

    def _ends(self, topics: Mapping[str, str]) -> dict[str, Mapping[int, int]]:
        """Where outputs may hold what is still to come: their ends, or where they were read back from."""
        if not self.plan.ahead:
            return {topic: end_offsets(self._connection, topic) for topic in topics.values()}
        # The repair has noted the same in every shard.
        notes = [watermark_of(note) for shard in self.shards for note in shard.sinks.values()]
        return {mark.topic: mark.ends for mark in notes}

    def _caught_up(self) -> bool:
        """Whether all shards have passed where the partitions ended when the run began."""
        return all(
            part.reached(each.number) >= each.end
            for part in self.parts.values()
            for each in self.plan.partitions
        )

    # -- commands

    def _commands(self) -> TopicCommands:
        limits = limits_of(self.settings)
        inbox = ControlInbox(control_folder(self.state), limits, self.plan.control)
        first = self.first_commands(inbox)
        if first:
            put(inbox.directory, first, limits, self._taken_max)
        names = {each.name: each.number for each in self.plan.partitions}
        return TopicCommands(inbox, names, self._taken_by_all)

    def _taken(self) -> list[int]:
        """The last file of commands that each shard has journalled, those of other processes too."""
        taken = []
        for number, folder in enumerate(shard_folders(self.state, self.settings.flow.shards)):
            part = self.parts.get(number)
            marks = (
                journal_end(folder, number, cut_torn_tail=False).marks if part is None else part.durable.marks
            )
            mark = marks.get(CONTROL_SOURCE)
            taken.append(mark.offset if mark else 0)
        return taken

    def _taken_by_all(self) -> int:
        return min(self._taken())

    def _taken_max(self) -> int:
        return max(self._taken())

    # -- running

    def drained(self) -> None:
        """Nothing more is read from here on."""
        self.pulse.running = False
        if not self.draining:
            self._on_drain()
        super().drained()

    def progress(self) -> Progress:
        """How far the run has come, so that the launcher can put the processes' parts together."""
        progress = with_earlier(super().progress(), self._earlier)
        return progress if self.member.count == 1 else replace(progress, counted=self.quality.counted())

    def run(self) -> RunSummary:
        """Run until told to stop, and say how it went."""
        self.observer.started(self.request)
        with own_errors(), state_left_alone_by_gc():
            self.deciding = True
            self.telemetry.phase("running")
            self.pulse.running = True
            self._run_flow()
        self.drained()
        self._settle()
        self._closed_well = True
        progress = self.progress()
        self.observer.progress(progress)
        dead_letters = self.request.dead_letters if progress.dead_letters else None
        notes = notes_of_skips(self.skips, progress.skipped)
        # Of several processes one may well have had nothing of use: their launcher judges them together.
        alone = self.member.count == 1
        useless = useless_state(progress, self.settings.flow.kind, dead_letters) if alone else None
        summary = self.summary(useless, dead_letters, notes=notes)
        self.observer.finished(summary)
        return summary

    def _run_flow(self) -> None:
        flow = named.build(self.settings, self._edges())
        if self.member.count == 1:
            run_alone(flow)
            self.failure.raise_again()
        else:
            await_listening(self.member.addresses[: self.member.index], lambda: self.stopping)
            with _others_may_end():
                run_as_member(flow, self.member.addresses, self.member.index, epoch=_EPOCH)

    def _edges(self) -> named.Edges:
        count, telemetry = self.member.count, self.telemetry
        source = TopicSource(
            self.member.index,
            count,
            lambda: _Guarded(self),
            drain=self.drain,
            on_turn=self._turn,
            epoch_messages_max=self.settings.kafka.ahead_messages_max if count > 1 else None,
            telemetry=telemetry,
        )

        sink = TopicSink(
            _Guarded(self),
            on_decisions=self.decisions_written,
            on_dead_letters=self.dead_letters_written,
            on_close=self._wait,
            telemetry=telemetry,
        )
        return named.Edges(
            source=source,
            telemetry=telemetry,
            attempt=self.attempt,
            shard=lambda number: _Logic(self, self._part(number)),
            sink=sink,
            workers=count,
        )

    def _part(self, number: int) -> TopicShard:
        if number not in self.parts:
            raise StateError(f"shard {number} came to process {self.member.index}, which hasn't opened it")
        return self.parts[number]

    def _wait(self) -> None:
        # The checkpoint's child would not outlive the worker's thread, which ends now.
        for shard in self.shards:
            shard.wait_for_checkpoint()

    def tried(self, step: Callable[..., _T], *given: Any) -> _T | None:
        """What a step of the flow gives; None after an error, which fails the run."""
        self.pulse.enter()
        try:
            return step(*given)
        except (HeadraceError, OSError) as error:
            self._fail(error)
            return None
        finally:
            self.pulse.leave()

    def _fail(self, error: HeadraceError | OSError) -> None:
        """Keep an error, after which the flow only drains; with several processes it brings all down."""
        if self.member.count == 1:
            self.failure.error = error
            return
        try:
            with own_errors():
                raise error
        except HeadraceError as ours:
            # Bytewax would panic, and its exit code says nothing.
            self.observer.warning(str(ours))
            if self.attempt is not None:
                self.attempt.end()
            os._exit(ours.exit_code)  # as good as being killed, which is allowed at any moment

    def drain(self) -> bool:
        """Whether nothing more is to be read."""
        return self.failure.error is not None or super().drain()

    def _turn(self) -> None:
        self.tried(self._between_batches)

    def _between_batches(self) -> None:
        """What is to be done now and then."""
        self.delivery.poll()
        if self.delivery.differing:
            self._note_unlike()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        if now >= self._watermark_at:
            self._watermark_at = now + self.settings.kafka.watermark_seconds
            self.delivery.ask()
        if self._catching_up and self._caught_up():
            self._catching_up = False
            self.delivery.release()
        self._note_watermarks()
        for part in self.parts.values():
            part.tick(now)
        if self.reading is not None:
            self.reader.look()
            self.reading.commit({each: self.reading.position(each) for each in self.reading.partitions})
        self.report()

    def _note_unlike(self) -> None:
        """Journal which decisions consumers have in another form than the journals."""
        for shard, decision_id, delivered in self.delivery.unlike():
            self.parts[shard].durable.note_delivered(decision_id, delivered)
            if not self._told_of_unlike:
                self._told_of_unlike = True
                _log.warning(
                    "decisions come out otherwise than they were delivered before the state lost its end, %s"
                    " first; consumers keep what was delivered, `headrace explain` shows both, and"
                    " headrace_decisions_differing_total counts them",
                    decision_id,
                )

    def _note_watermarks(self) -> None:
        for number, watermark in self.delivery.watermarks():
            durable, note = self.parts[number].durable, note_of(watermark)
            if durable.sinks.get(watermark.output) != note:
                durable.note_sink(note)

    def _settle(self) -> None:
        """Leave nothing that the next start would have to look for."""
        self._note_unlike()
        for part in self.parts.values():
            part.note_marks()
        self.delivery.flush()
        self._note_watermarks()  # else one that was asked for before would stand in the way
        self.delivery.ask()
        self._note_watermarks()

    def _went_on(self) -> str:
        positions = [shard.position for shard in self.shards]
        if not any(positions):
            return ""
        replayed = sum(shard.replayed for shard in self.shards)
        return f"went on behind {sum(positions):,} inputs; {replayed:,} applied again from the journal"


@contextmanager
def _others_may_end() -> Iterator[None]:
    """Say it in our words when Bytewax gives up because another process is gone."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise HeadraceError("another process of this run has ended") from error
        raise


def _begin(shard: DurableShard, partition: PlannedPartition) -> None:
    """Let a shard know a partition, and where it begins."""
    shard.register(partition.number, partition.name, partition.topic_id)
    mark = shard.marks.get(partition.number)
    if mark is None:
        shard.note_marks([partition.mark])
    elif partition.lost and mark.offset < partition.start:
        shard.note_lost(partition.name, mark.offset, partition.start)
        shard.note_marks([partition.mark])


class _Guarded:
    """Reads and sends for a run as long as nothing has failed in it."""

    def __init__(self, run: TopicRun) -> None:
        self._run = run

    def next_batch(self) -> Batch | None:
        """The next messages or commands; None when there are none now."""
        return self._run.tried(self._run.reader.next_batch)

    def close(self) -> None:
        """Read no more."""
        self._run.reader.close()

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way."""
        if self._run.failure.error is None:
            self._run.tried(self._run.delivery.send, output, messages)

    def reached(self, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over, for all outputs."""
        if self._run.failure.error is None:
            self._run.delivery.reached(shard, ordinal_next)


class _Logic:
    """A shard as the flow's operator sees it."""

    def __init__(self, run: TopicRun, part: TopicShard) -> None:
        self._run, self._part = run, part

    def process(self, part: ShardInput) -> ShardOutput:
        """Apply the shard's part of a batch."""
        taken = None
        if self._run.failure.error is None:
            taken = self._run.tried(self._take, part.batch, part.events, part.places)
        if taken is None:
            taken = self._part.nothing()
        return ShardOutput(
            part.shard,
            taken.ordinal,
            taken.ordinal_next,
            taken.decisions,
            taken.dead_letters,
            part.batch.accepted_ns,
            taken.since_ms,
        )

    def _take(self, batch: Batch, events: Sequence[Any], places: Sequence[int] | None) -> Taken:
        taken = self._part.process(batch, events, places)
        self._run.applied(self._part.durable, taken.applied, 0 if batch.flags else taken.inputs)
        return taken
