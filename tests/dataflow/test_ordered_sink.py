"""What shards give out is written in the order of their inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.dataflow.ordered_sink import OrderedFile, OrderedSink
from headrace.dataflow.shard_parts import ShardOutput
from headrace.files.output_file import OutputFile

pytestmark = pytest.mark.operator


def given_out(shard: int, ordinal: int, decisions: list[Any], accepted_ns: int) -> ShardOutput:
    """What a shard gives out for its part of a batch, with a dead letter in place of an odd decision."""
    odd = [(at, b"x" + line) for at, line in decisions if at % 2]
    even = [(at, line) for at, line in decisions if not at % 2]
    return ShardOutput(shard, ordinal, ordinal + 1, even, odd, accepted_ns)


class TestOrderedSink:
    def write(self, tmp_path: Path, shards: int, *values: ShardOutput) -> list[tuple[bytes, list[Any]]]:
        """What is in each of the files then, and what was told of it."""
        paths, told = [tmp_path / "decisions", tmp_path / "dead"], ([], [])
        files = [
            OrderedFile(OutputFile(str(path)), lambda ns, count, told=each: told.append((ns, count)))
            for path, each in zip(paths, told, strict=True)
        ]
        sink = OrderedSink(*files, shards)
        part = sink.build_part("sink", *sink.list_parts(), None)
        for value in values:
            part.write_batch([value])
        assert part.snapshot() is None
        return list(zip([path.read_bytes() for path in paths], told, strict=True))

    def test_a_batch_waits_for_all_shards_and_is_merged_by_ordinal(self, tmp_path):
        early = [
            given_out(0, 0, [(0, b"0\n"), (3, b"3\n"), (4, b"4\n")], 50),
            given_out(0, 5, [(6, b"6\n")], 60),
        ]
        assert self.write(tmp_path, 2, *early) == [(b"", []), (b"", [])]
        late = [given_out(1, 0, [(1, b"1\n"), (2, b"2\n")], 50), given_out(1, 5, [(5, b"5\n")], 60)]
        assert self.write(tmp_path, 2, *early, late[0]) == [
            (b"0\n2\n4\n", [(50, 3)]),
            (b"x1\nx3\n", [(50, 2)]),
        ]
        assert self.write(tmp_path, 2, *early, *late) == [
            (b"0\n2\n4\n6\n", [(50, 3), (60, 1)]),
            (b"x1\nx3\nx5\n", [(50, 2), (60, 1)]),
        ]

    def test_one_shard_needs_no_waiting(self, tmp_path):
        values = [given_out(0, 0, [(0, b"0\n")], 50), given_out(0, 1, [], 60)]
        assert self.write(tmp_path, 1, *values) == [(b"0\n", [(50, 1), (60, 0)]), (b"", [(50, 0), (60, 0)])]

    def test_answers_to_one_input_stay_in_the_order_of_the_shards(self, tmp_path):
        values = [given_out(number, 0, [(0, b"%d\n" % number)], 0) for number in (2, 1, 0)]
        assert self.write(tmp_path, 3, *values)[0][0] == b"0\n1\n2\n"
