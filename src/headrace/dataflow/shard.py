"""The operator in which shards decide."""

from __future__ import annotations

from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic

from headrace.dataflow.shard_parts import ShardInput, ShardLogic, ShardOutput

__all__ = ["shard"]


class _ShardStep(StatefulBatchLogic[ShardInput, ShardOutput, None]):
    """A shard under its key. Bytewax keeps nothing of it, and its end is not the shard's end."""

    def __init__(self, build: Callable[[int], ShardLogic]) -> None:
        self._build = build
        self._logic: ShardLogic | None = None

    def on_batch(self, values: list[ShardInput]) -> tuple[list[ShardOutput], bool]:
        if self._logic is None:
            self._logic = self._build(values[0].shard)
        return list(map(self._logic.process, values)), StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        return None


class _Shards:
    """All shards, where there is but one worker."""

    def __init__(self, build: Callable[[int], ShardLogic]) -> None:
        self._build = build
        self._logics: dict[int, ShardLogic] = {}

    def __call__(self, parts: list[tuple[str, ShardInput]]) -> list[tuple[str, ShardOutput]]:
        return [(key, self._logic(part.shard).process(part)) for key, part in parts]

    def _logic(self, number: int) -> ShardLogic:
        logic = self._logics.get(number)
        if logic is None:
            logic = self._logics[number] = self._build(number)
        return logic


@operator
def shard(
    step_id: str, up: KeyedStream[ShardInput], build: Callable[[int], ShardLogic], workers: int = 1
) -> KeyedStream[ShardOutput]:
    """Let shards decide.

    Parameters
    ----------
    step_id
        Unique in the flow.
    up
        Parts of batches, under the keys of their shards.
    build
        Gives the logic of a shard by its number, at its first part.
    workers
        How many share the shards.

    Returns
    -------
    KeyedStream[ShardOutput]
        One from each shard for each batch, for an `OrderedSink` or a `TopicSink`.
    """
    del step_id
    if workers == 1:
        # Nothing is to be routed by the shards' keys, which would cost more than all other steps together.
        return op.flat_map_batch("apply", up, _Shards(build))
    return op.stateful_batch("apply", up, lambda _resumed: _ShardStep(build))
