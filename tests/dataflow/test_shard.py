"""Shards decide, each built once."""

from __future__ import annotations

from typing import Any

import pytest
from small_flows import Echo, batch, collect, decoder, number_mod

from headrace.dataflow.by_shard import by_shard
from headrace.dataflow.shard import shard
from headrace.dataflow.shard_keys import shard_keys
from headrace.dataflow.shard_parts import ShardOutput

pytestmark = pytest.mark.operator


class TestShard:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_gives_one_output_for_each_part_of_a_shard_that_is_built_once(self, workers):
        built = []

        def flow(up: Any) -> Any:
            parts = by_shard("by_shard", up, decoder, 2, number_mod(2))
            build = lambda number: built.append(number) or Echo(number)  # noqa: E731  # it also counts
            return shard("shard", parts, build, workers)

        found = collect(flow, [batch(0, b"1", b"x"), batch(2)])
        outputs = [
            ShardOutput(0, 0, 2, [], [(1, b"x\n")], 0),
            ShardOutput(1, 0, 2, [(0, b"1\n")], [], 0),
            ShardOutput(0, 2, 2, [], [], 2),
            ShardOutput(1, 2, 2, [], [], 2),
        ]
        assert sorted(found, key=lambda each: (each[1].ordinal, each[0])) == [
            (shard_keys(2)[output.shard], output) for output in outputs
        ]
        assert sorted(built) == [0, 1]
