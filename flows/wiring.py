"""The way of an event that all flows share: decoded, split by shard, decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from headrace.dataflow.by_shard import by_shard
from headrace.dataflow.shard import shard
from headrace.dataflow.shard_parts import ShardLogic
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.journal.batches import Batch
from headrace.shard.attempts import Attempt
from headrace.shard.commands import decode_flagged
from headrace.shard.routing import route_of

from ..config.tables import RunSettings
from ..operators.events.declared import contract_of

__all__ = ["Edges", "wire"]


@dataclass(frozen=True)
class Edges:
    """What the flow is wired to.

    Attributes
    ----------
    source
        Batches of lines.
    shard
        Builds a shard's logic from its number.
    sink
        Takes what the shards give out.
    workers
        How many share the shards.
    telemetry
        Is told how long decoding takes.
    attempt
        Is told which line is decoded, where care is due; None for nobody.
    """

    source: Source[Batch]
    shard: Callable[[int], ShardLogic]
    sink: Sink[Any]
    workers: int = 1
    telemetry: Telemetry = SILENT
    attempt: Attempt | None = None


def wire(name: str, settings: RunSettings, edges: Edges) -> Dataflow:
    """Wire a flow; it runs nothing."""
    contract, line_bytes_max = contract_of(settings.events), settings.input.line_bytes_max

    def decoder(payloads: Sequence[bytes], flags: Sequence[int]) -> list[Any]:
        if flags:
            return list(decode_flagged(payloads, flags, contract, line_bytes_max))
        return contract.decode(payloads, line_bytes_max)

    flow = Dataflow(name)
    batches = op.input("source", flow, edges.source)
    shards, route = settings.flow.shards, route_of(settings)
    parts = by_shard("by_shard", batches, decoder, shards, route, edges.telemetry, edges.attempt)
    op.output("out", shard("shard", parts, edges.shard, edges.workers), edges.sink)
    return flow
