"""Applies the commands that wait to a state whose flow isn't running."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.config.addresses import partition_of
from headrace.config.canonical import restore
from headrace.config.tables import RunSettings
from headrace.control.inbox import ControlInbox, control_folder, limits_of
from headrace.control.reader import ControlledReader
from headrace.dataflow.topic_reader import TopicCommands
from headrace.errors import StateError
from headrace.files.merged_reader import MergedReader
from headrace.files.resume import commands_again, level_pipes, names_of, went_on_at
from headrace.journal.batches import Batch
from headrace.journal.checkpoint import newest_readable
from headrace.journal.records import CONTROL_SOURCE
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary, start_of
from headrace.shard.commands import decode_flagged
from headrace.shard.durable import DurableShard
from headrace.shard.routing import route_of
from headrace.shard.topic_shard import TopicShard

__all__ = ["apply_waiting", "configuration_of"]


def configuration_of(directory: Path) -> tuple[RunSettings, bool]:
    """Return the configuration that a shard was last run with, and whether its model learns.

    Raises
    ------
    StateError
        If nothing was ever journalled.
    """
    # The last note counts, and a checkpoint holds what was noted before it.
    checkpoint = newest_readable(directory)
    found = None if checkpoint is None else checkpoint.header
    start = first_boundary(directory) if checkpoint is None else start_of(directory, checkpoint.segment)
    for note in notes_of(directory, start):
        if note["control"] == "config":
            found = note
    if found is None:
        raise StateError(f"{directory}: nothing was ever journalled here")
    return restore(found["settings"].encode()), bool(found["learn"])


def apply_waiting(state: Path) -> int:
    """Apply what waits in the control folder, in order, and say how many commands that were.

    The caller holds the state's lock. The shards are opened with the configurations that they were last run
    with, and nothing is read from any source. What goes out for a command, such as the decision on a dead
    letter's input, is journalled, and written or sent by the next run.

    Raises
    ------
    StateError
        If the state can't be opened; or if a run on files was killed while some shards had applied inputs
        that others had not, so that these come first.
    """
    shards: list[DurableShard] = []
    well = False
    try:
        for number, directory in enumerate(sorted(state.glob("shard-*"))):
            settings, learn = configuration_of(directory)
            shards.append(DurableShard(directory, settings, shard=number, learn=learn))
        if not shards or len(shards) != shards[0].settings.flow.shards:
            raise StateError(f"{state}: not every shard is there")
        names = names_of(shards).values()
        topics = any(partition_of(name) is not None for name in names)
        applied = (_apply_on_topics if topics else _apply)(state, shards)
        well = True
    finally:
        for shard in shards:
            shard.close(with_checkpoint=well)
    return applied


def _apply(state: Path, shards: Sequence[DurableShard]) -> int:
    level_pipes(shards)
    recovery_point = went_on_at(shards)
    for shard in shards:
        shard.keep_outputs_from(recovery_point.ordinal)
    mark = recovery_point.marks.get(CONTROL_SOURCE)
    limits = limits_of(shards[0].settings)
    reader = ControlledReader(
        MergedReader([], ordinal=recovery_point.ordinal),
        ControlInbox(control_folder(state), limits, mark.offset if mark else 0),
        sources={name: number for number, name in names_of(shards).items()},
        reached=lambda: min(shard.position for shard in shards),
        owed=max(shard.position for shard in shards),
        again=commands_again(shards, recovery_point.ordinal),
    )
    while (batch := reader.next_batch()) is not None:
        _process(batch, shards, shards)
    reader.close()
    return reader.commands


def _apply_on_topics(state: Path, shards: Sequence[DurableShard]) -> int:
    """On topics no shard waits for another: each has a place of its own, also among the commands."""
    parts = [TopicShard(shard) for shard in shards]

    def reached() -> int:
        marks = [shard.marks.get(CONTROL_SOURCE) for shard in shards]
        return min(mark.offset if mark else 0 for mark in marks)

    inbox = ControlInbox(control_folder(state), limits_of(shards[0].settings), reached())
    sources = {name: number for number, name in names_of(shards).items()}
    commands, applied = TopicCommands(inbox, sources, reached), 0
    while (batch := commands.next_batch()) is not None:
        _process(batch, shards, parts)
        applied += len(batch.payloads)
    commands.settle()
    return applied


def _process(
    batch: Batch, shards: Sequence[DurableShard], parts: Sequence[DurableShard | TopicShard]
) -> None:
    line_bytes_max = shards[0].settings.input.line_bytes_max
    contract = shards[0].state.contract
    events: list[Any] = list(decode_flagged(batch.payloads, batch.flags, contract, line_bytes_max))
    belongs = list(map(route_of(shards[0].settings), events))
    for number, part in enumerate(parts):
        indices = [index for index, of in enumerate(belongs) if of is None or of == number]
        part.process(batch, events, None if len(shards) == 1 else indices)
