"""Starts a flow on topics: brings state and topics together, then runs the processes that share the state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from headrace.config.addresses import topic_of
from headrace.config.flow_kinds import kind_names
from headrace.config.tables import RunSettings
from headrace.errors import (
    ConfigError,
    DiskFull,
    HeadraceError,
    Invalid,
    StateError,
    StateMismatch,
    TopicMismatch,
)
from headrace.journal.end import JournalEnd, journal_end, shard_folders
from headrace.journal.provenance import changes, provenance_now
from headrace.journal.writer import JournalWriter
from headrace.kafka.connection import Connection
from headrace.kafka.outlet import TopicOutlet, first_offsets, held_in, loss_of, tail_of
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.repair import Repaired, repair
from headrace.kafka.starts import Start, parse_start
from headrace.kafka.topics import Needed, check_topics
from headrace.runtime.interrupts import met_by, pause
from headrace.runtime.members import Member, Reporter
from headrace.runtime.places import clashes_on_topics
from headrace.runtime.running import locked, own_errors, warn_of_changes, warnings_to
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary
from headrace.runtime.skips import refuse_where_runs_died, skips_of
from headrace.runtime.supervisor import PROCESSES, Supervisor
from headrace.runtime.topic_run import TopicRun, outputs_of, sent_bytes_max
from headrace.shard.belonging import Seen, decisions_elsewhere, newest_of_flow, other_flow, other_topics
from headrace.shard.kinds import build_machine, kind_of
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, message_bytes_needed
from headrace.shard.positions import Plan, partitions_known, plan_of, topic_id_known

__all__ = ["load_program", "run_member", "run_on_topics"]

_log = logging.getLogger(__name__)
_OPTIONS: Final = {DECISIONS: "--to", DEAD_LETTERS: "--dead-letters"}
_PAUSE_S: Final = 1.0


def run_on_topics(request: RunRequest, observer: Observer) -> RunSummary:
    """Run a flow on topics until it is told to stop; when the disk is full, go on as soon as there is room.

    Raises
    ------
    ConfigError, StateError, BrokerError
        If the run can't begin, or can't go on.
    """
    start = _checked(request)
    assert request.state is not None
    with ExitStack() as stack:
        # Before anything is looked at: of two launchers, only one may find out what the journals lack and
        # send it.
        lock = stack.enter_context(locked(request.state))
        stack.enter_context(warnings_to(observer))
        connection = Connection.of(request.settings.kafka, request.file_of)
        if request.processes > 1:
            return Supervisor(request, observer, lambda: prepare(request, connection, start), lock).run()
        pause_s_max = request.settings.processes.backoff_seconds_max
        return _Patient(pause_s_max).run(partial(_alone, request, observer, connection, start))


def _alone(
    request: RunRequest,
    observer: Observer,
    connection: Connection,
    start: Start,
    patient: _Patient,
) -> RunSummary:
    plan = prepare(request, connection, start)
    run: TopicRun | None = None
    try:
        with own_errors(), ExitStack() as stack:
            run = TopicRun(request, observer, stack, connection, plan, first=patient.first)
            patient.first = patient.first or run.taken_up()
            run.stopping = run.stopping or patient.told
            with own_errors():
                return run.run()
    except DiskFull as error:
        if run is None or not run.stopping:
            raise
        return run.summary(error, None)


class _Patient:
    """Tries once more, from what the state holds, as long as the disk is full.

    Parameters
    ----------
    pause_s_max
        The longest pause between two tries, seconds.

    Attributes
    ----------
    told
        Whether the run was told to stop before a try began.
    first
        What the state had counted when the first try took it up; to be set by that one.
    """

    def __init__(self, pause_s_max: float) -> None:
        self._pause_s_max = pause_s_max
        self._full = self.told = False
        self.first: Progress | None = None

    def _stop(self) -> bool:
        # Once the disk was full, outputs may lack what is journalled: no moment to end with 0.
        self.told = self._full
        return self._full

    def run(self, attempt: Callable[[_Patient], RunSummary]) -> RunSummary:
        """Give what an attempt gives.

        Raises
        ------
        DiskFull
            If it is told to stop and there is no room.
        """
        pause_s = min(_PAUSE_S, self._pause_s_max)
        with met_by(self._stop):
            while True:
                began = time.monotonic()
                try:
                    return attempt(self)
                except DiskFull as error:
                    self._full = True
                    _log.warning(
                        "%s; nothing goes out until there is room; tried again in %g s", error, pause_s
                    )
                    pause(pause_s, lambda: self.told)
                    if self.told:
                        raise
                # An attempt that held for longer than the longest pause has found room; the next time begins
                # with short pauses.
                settled = time.monotonic() - began >= self._pause_s_max
                pause_s = min(_PAUSE_S if settled else 2 * pause_s, self._pause_s_max)


def load_program(settings: RunSettings) -> None:
    """Load what deciding needs, with its machine code, before it is known where to begin."""
    with suppress(HeadraceError):  # it is told once the state is opened
        build_machine(settings, shard=0, learn=False)


def run_member(request: RunRequest, observer: Reporter, member: Member, plan: Plan) -> RunSummary:
    """Run one process's part of a run; the launcher, which holds the state's lock, has prepared it.

    Raises
    ------
    StateError, BrokerError
        If the run can't begin, or can't go on.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings_to(observer))
        connection = Connection.of(request.settings.kafka, request.file_of)
        run = TopicRun(
            request,
            observer,
            stack,
            connection,
            plan,
            member,
            on_drain=observer.draining,
            pulse=observer.pulse,
            on_open=observer.opened,
            on_fail=observer.settle,
        )
        return run.run()


def _checked(request: RunRequest) -> Start:
    """Where to begin in topics that the state doesn't know; options that topics don't support are refused."""
    wrong = []
    if request.state is None:
        wrong.append(Invalid("--state", "", "is required on topics: it says how far they were read"))
    if request.sort:
        wrong.append(Invalid("--sort", "", "not supported with topics: messages are merged by event time"))
    if request.speed is not None:
        wrong.append(Invalid("--speed", "", "not supported with topics"))
    if request.processes not in PROCESSES or request.processes > request.settings.flow.shards:
        allowed = ", ".join(str(each) for each in PROCESSES if each <= request.settings.flow.shards)
        wrong.append(Invalid("--processes", "", f"must be one of {allowed}: no more than there are shards"))
    if request.truth is not None and request.processes > 1:
        wrong.append(Invalid("--truth", "", "not supported with several processes"))
    try:
        start = parse_start(request.start)
    except ValueError as error:
        wrong.append(Invalid("--start", "", str(error)))
    wrong += clashes_on_topics(request)
    if wrong:
        raise ConfigError(wrong)
    return start


# -- before the flow


def prepare(request: RunRequest, connection: Connection, start: Start) -> Plan:
    """Check topics, bring them to what the journals say, and find out where to read.

    The state's lock is held, and none of its processes runs.

    Raises
    ------
    TopicMismatch, OffsetLost, BrokerUnreachable, BrokerRefused
        If topics are not as they are needed, or can't be read.
    StateError, StateMismatch
        If the state can't be used, or is of another flow.
    """
    assert request.state is not None
    refuse_where_runs_died(request.state, skips_of(request.skips, topics=True))
    with own_errors():
        return _prepared(request, connection, start)


def _prepared(request: RunRequest, connection: Connection, start: Start) -> Plan:
    ends = _ends(request)
    inputs = [topic for each in request.sources if (topic := topic_of(each)) is not None]
    outputs = outputs_of(request)
    # Told from the journals alone, before a broker is asked or a topic created.
    _not_swapped(ends, inputs, outputs)
    needed = [
        Needed(
            topic,
            partitions_min=max(1, partitions_known(ends, topic)),
            topic_id=topic_id_known(ends, topic),
        )
        for topic in inputs
    ]
    needed += [Needed(topic, written=True) for topic in outputs.values()]
    checked = check_topics(
        connection,
        needed,
        memory_days_max=request.settings.ids.memory_days_max,
        create=request.create_topics,
    )
    for warning in checked.warnings:
        _log.warning("%s", warning)
    _refuse_strangers(request, connection, ends, inputs, start)
    held = {topic: held_in(connection, topic) for topic in inputs}
    plan = plan_of(
        ends,
        held,
        lambda topic, new: first_offsets(connection, topic, new, start, held[topic]),
        loss_of,
        accept_lost=request.accept_lost,
        topic_ids=checked.topic_ids,
    )
    _within_limits(request, plan)
    _can_be_sent(request, checked.bytes_max)
    now = provenance_now(request.settings, learn=request.learn)
    # Said here, once: each process knows only its own shards.
    warn_of_changes(changes([end.provenance for end in ends], now))
    plan = replace(plan, bytes_max=checked.bytes_max)
    done = _repair(request, connection, ends, plan)
    return replace(plan, ahead=done.ahead, delivered=done.delivered)


def _refuse_strangers(
    request: RunRequest, connection: Connection, ends: list[JournalEnd], inputs: list[str], start: Start
) -> None:
    """Refuse a state that was written for something else, and outputs that others have decided in."""
    kind, outputs = request.settings.flow.kind, outputs_of(request)
    wrong = list(other_flow(ends, kind))
    if not wrong and not request.again:
        wrong = list(other_topics(ends, inputs))
        topic = outputs[DECISIONS]
        if topic not in {end.sinks[DECISIONS]["topic"] for end in ends if DECISIONS in end.sinks}:
            tail = tail_of(connection, topic, request.settings.kafka.look_back_messages)
            names = kind_of(request.settings).names(request.settings)
            newest = newest_of_flow((Seen(*each[:3]) for each in tail), {*names, *kind_names()})
            latest = start.kind == "latest"
            wrong += decisions_elsewhere(ends, outputs, newest, names, from_now_on=latest)
    if wrong:
        raise StateMismatch(
            [each if each.startswith("kafka:") else f"{request.state}: {each}" for each in wrong]
        )


def _ends(request: RunRequest) -> list[JournalEnd]:
    state, count = request.state, request.settings.flow.shards
    assert state is not None
    kept = {path.name for path in state.glob("shard-*")}
    if len(kept) > count:
        raise StateMismatch([f"flow.shards: the state has {len(kept)}, the configuration {count}"])
    folders = shard_folders(state, count)
    # The lock is held, so nobody is writing: a torn tail is what a crash left, and may be cut off.
    ends = [journal_end(folder, number, cut_torn_tail=True) for number, folder in enumerate(folders)]
    # All are made in order before the first input: of a start that was cut short there are the first.
    for end in ends:
        if (
            kept
            and end.directory.name not in kept
            and (end.shard == 0 or any(each.boundary.ordinal for each in ends))
        ):
            raise StateError(f"{end.directory}: is missing")
    return ends


def _not_swapped(ends: list[JournalEnd], inputs: list[str], outputs: Mapping[str, str]) -> None:
    """Refuse to read what the state has written, or write what it has read: it would feed on itself."""
    written = {note["topic"]: output for end in ends for output, note in end.sinks.items()}
    wrong = [
        Invalid("--from", "", f"kafka:{topic}: the state has written its {written[topic]} there")
        for topic in inputs
        if topic in written
    ]
    wrong += [
        Invalid(_OPTIONS[output], "", f"kafka:{topic}: the state has read this topic")
        for output, topic in outputs.items()
        if partitions_known(ends, topic)
    ]
    if wrong:
        raise ConfigError(wrong)


def _within_limits(request: RunRequest, plan: Plan) -> None:
    limits = request.settings.input
    known = max((each.number + 1 for each in plan.partitions), default=0)
    wrong = [
        Invalid(request.file_of(key), key, f"is {most}; with this run it is {count}")
        for key, count, most in (
            ("kafka.partitions_max", len(plan.partitions), request.settings.kafka.partitions_max),
            ("input.sources_known_max", known, limits.sources_known_max),
        )
        if count > most
    ]
    if wrong:
        raise ConfigError(wrong)


def _can_be_sent(request: RunRequest, bytes_max: Mapping[str, int]) -> None:
    """Refuse limits that a decision could be too large for."""
    settings = request.settings
    needed, key = message_bytes_needed(settings), "kafka.message_bytes_max"
    if settings.kafka.message_bytes_max < needed:
        message = (
            f"must be at least {needed} for what this flow sends (is {settings.kafka.message_bytes_max})"
        )
        raise ConfigError([Invalid(request.file_of(key), key, message)])
    wrong = [
        f"{topic}: max.message.bytes is {most}; what this flow sends needs {needed}"
        for topic, most in bytes_max.items()
        if most < needed
    ]
    if wrong:
        raise TopicMismatch(wrong)


def _repair(request: RunRequest, connection: Connection, ends: list[JournalEnd], plan: Plan) -> Repaired:
    """Bring the outputs to what the journals say."""
    settings = request.settings
    # For the repair alone: the processes that decide make their own.
    producer = DecisionProducer(connection, batch_bytes_max=min(plan.bytes_max.values(), default=None))
    try:
        done = repair(
            ends,
            outputs_of(request),
            TopicOutlet(connection, producer, sent_bytes_max(request, plan)),
            quiet_ms=settings.kafka.settle_ms,
            message_of=kind_of(settings).message(settings),
            line_bytes_max=settings.input.line_bytes_max,
            open_writer=partial(_writer, request),
        )
    finally:
        producer.close()
    if any(done.sent.values()):
        _log.warning(
            "the outputs lacked %d decisions and %d dead letters that the journals have; they were sent",
            *(done.sent["decisions"], done.sent["dead_letters"]),
        )
    return done


def _writer(request: RunRequest, end: JournalEnd) -> JournalWriter:
    limits = request.settings.journal
    return JournalWriter(
        end.directory, end.boundary, segment_bytes_max=limits.segment_bytes_max, fsync=limits.fsync
    )
