"""The operator that decodes batches and splits them into the shards' parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from headrace.dataflow.shard_keys import shard_keys
from headrace.dataflow.shard_parts import ShardInput
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.journal.batches import Batch
from headrace.shard.attempts import Attempt

__all__ = ["by_shard"]


@operator
def by_shard(
    step_id: str,
    up: Stream[Batch],
    decoder: Callable[[Sequence[bytes], Sequence[int]], list[Any]],
    shards: int,
    shard_of: Callable[[Any], int | None],
    telemetry: Telemetry = SILENT,
    attempt: Attempt | None = None,
) -> KeyedStream[ShardInput]:
    """Decode the lines of batches, and split them into the shards' parts.

    Parameters
    ----------
    step_id
        Unique in the flow.
    up
        Batches.
    decoder
        Takes lines with their flags, gives for each an event or the reason why it is none.
    shards
        How many there are.
    shard_of
        Number of the shard that an event belongs to; None for every shard. Not asked when there is but one.
    telemetry
        Is told how long decoding takes.
    attempt
        Is told which line is decoded, as long as it is careful.

    Returns
    -------
    KeyedStream[ShardInput]
        For each batch one from every shard, in the order of the shards.
    """
    del step_id
    keys = shard_keys(shards)

    def decoded(batch: Batch) -> list[Any]:
        begun = time.perf_counter_ns()
        if attempt is not None and attempt.careful:
            events = attempt.decoded(batch, decoder)
        else:
            events = decoder(batch.payloads, batch.flags)
        telemetry.batch("decode", time.perf_counter_ns() - begun, len(events))
        telemetry.decoded(events)
        return events

    def split(batches: list[Batch]) -> list[tuple[str, ShardInput]]:
        found = []
        for batch in batches:
            events = decoded(batch)
            indices = [None] if shards == 1 else _indices(events, shards, shard_of)
            # Every shard gets a part, also an empty one: the sink waits for all of them to write a batch, and
            # a shard journals how far it has come.
            found += [(key, ShardInput(at, batch, events, indices[at])) for at, key in enumerate(keys)]
        return found

    # One step for both, as what a step costs is a large part of what a batch of one event costs.
    return op.flat_map_batch("split", up, split)


def _indices(events: list[Any], shards: int, shard_of: Callable[[Any], int | None]) -> list[list[int] | None]:
    indices: list[list[int]] = [[] for _ in range(shards)]
    for index, event in enumerate(events):
        number = shard_of(event)
        for chosen in indices if number is None else (indices[number],):
            chosen.append(index)
    return [*indices]
