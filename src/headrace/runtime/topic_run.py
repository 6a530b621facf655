"""Runs a flow on topics in one process: its shards, what it reads, what it sends, and how it ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from headrace.control.inbox import ControlInbox, control_folder, limits_of, put
from headrace.dataflow.engine import run_alone, run_as_member
from headrace.dataflow.failure import Failure
from headrace.dataflow.topic_reader import TopicCommands, TopicReader
from headrace.dataflow.topic_steps import TopicSink, TopicSource
from headrace.errors import HeadraceError, StateError
from headrace.flows import named
from headrace.journal.end import journal_end, shard_folders
from headrace.journal.records import CONTROL_SOURCE
from headrace.kafka.connection import Connection
from headrace.kafka.delivery import Delivery
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import end_offsets
from headrace.runtime.attempts import since, with_earlier
from headrace.runtime.delivery_notes import DeliveryNotes
from headrace.runtime.guarded import GuardedReading, GuardedSending, GuardedShard
from headrace.runtime.liveness import Pulse
from headrace.runtime.members import ALONE, Member, await_listening
from headrace.runtime.running import Tally, own_errors, state_left_alone_by_gc
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary, useless_state
from headrace.runtime.skips import notes_of_skips
from headrace.runtime.topic_reading import begin, open_reading, topic_reader
from headrace.shard.acknowledged import output_offsets_of
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, line_bytes_max
from headrace.shard.positions import Plan
from headrace.shard.topic_shard import TopicShard

__all__ = ["TopicRun", "outputs_of"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOOK_EVERY_S: Final = 0.1
# All workers reach an epoch's end together, so its length bounds how far one may run ahead.
_EPOCH: Final = timedelta(seconds=1)


def outputs_of(request: RunRequest) -> dict[str, str]:
    """Return the topic of each output."""
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
    on_fail
        Called when the process is about to end for an error, with which several take each other along.
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
        on_fail: Callable[[], None] = lambda: None,
        first: Progress | None = None,
    ) -> None:
        super().__init__(request, observer)
        self.pulse = pulse or Pulse()
        assert request.state is not None
        self.state: Path = request.state
        self.plan, self.member, self._connection = plan, member, connection
        self._closed_well, self._on_drain, self._on_fail = False, on_drain, on_fail
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
        self._notes = DeliveryNotes(
            self.delivery, self.parts, plan, request.settings.kafka.output_offsets_seconds
        )
        self.reading = open_reading(connection, plan, member, stack)
        commands = self._commands() if member.index == 0 else None
        self.reader = topic_reader(
            self.reading, self.settings, plan, member, self.shards, commands, self.small_batches
        )
        self.recovered = self._went_on()
        self._look_at = 0.0
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
                begin(shard, partition)
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

    def _ends(self, topics: Mapping[str, str]) -> dict[str, Mapping[int, int]]:
        """Where outputs may hold what is still to come: their ends, or where they were read back from."""
        if not self.plan.ahead:
            return {topic: end_offsets(self._connection, topic) for topic in topics.values()}
        # The repair has noted the same in every shard.
        notes = [output_offsets_of(note) for shard in self.shards for note in shard.sinks.values()]
        return {mark.topic: mark.ends for mark in notes}

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
        """Return the last file of commands that each shard has journalled, those of other processes too."""
        taken = []
        for number, folder in enumerate(shard_folders(self.state, self.settings.flow.shards)):
            part = self.parts.get(number)
            # Shards of other processes are read from their journals, which are the only thing that all of
            # them share.
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
        self._notes.settle()
        self._closed_well = True
        progress = self.progress()
        self.observer.progress(progress)
        dead_letters = self.request.dead_letters if progress.dead_letters else None
        notes = notes_of_skips(self.skips, progress.skipped)
        # Of several processes one may well have had nothing of use: their launcher evaluates them together.
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
            # Only those before it: each process connects to the lower ones, so that none waits for one that
            # waits for it.
            await_listening(self.member.addresses[: self.member.index], lambda: self.stopping)
            with _others_may_end():
                run_as_member(flow, self.member.addresses, self.member.index, epoch=_EPOCH)

    def _edges(self) -> named.Edges:
        count, telemetry = self.member.count, self.telemetry
        source = TopicSource(
            self.member.index,
            count,
            lambda: GuardedReading(self, self.reader),
            drain=self.drain,
            on_turn=self._turn,
            epoch_messages_max=self.settings.kafka.ahead_messages_max if count > 1 else None,
            telemetry=telemetry,
        )

        sink = TopicSink(
            GuardedSending(self, self.delivery),
            on_decisions=self.decisions_written,
            on_dead_letters=self.dead_letters_written,
            on_close=self._wait,
            telemetry=telemetry,
        )
        return named.Edges(
            source=source,
            telemetry=telemetry,
            attempt=self.attempt,
            shard=lambda number: GuardedShard(self, self._part(number)),
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
        """Return what a step of the flow gives; None after an error, which fails the run."""
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
            self._on_fail()
            os._exit(ours.exit_code)  # as good as being killed, which is allowed at any moment

    def drain(self) -> bool:
        """Whether nothing more is to be read."""
        return self.failure.error is not None or super().drain()

    def _turn(self) -> None:
        self.tried(self._between_batches)

    def _between_batches(self) -> None:
        """Do what is to be done now and then."""
        self.delivery.poll()
        if self.delivery.differing:
            self._notes.note_unlike()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        self._notes.look(now)
        for part in self.parts.values():
            part.tick(now)
        if self.reading is not None:
            self.reader.look()
            self.reading.commit({each: self.reading.position(each) for each in self.reading.partitions})
        self.report()

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
