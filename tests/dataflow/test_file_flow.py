"""A whole flow from files to files, run by Bytewax."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, ClassVar

import pytest
from small_flows import Run

from headrace.dataflow.failure import Failure
from headrace.dataflow.ordered_sink import OrderedFile, OrderedSink
from headrace.dataflow.shard_parts import ShardOutput
from headrace.errors import HeadraceError, TruncatedInput
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile

pytestmark = pytest.mark.operator


class TestWholeFlow:
    CONTENT: ClassVar = [b"%d" % number if number % 7 else b"x%d" % number for number in range(1000)]

    def reader(self, tmp_path: Path, **kwargs: Any) -> MergedReader:
        (tmp_path / "in").write_bytes(b"\n".join(self.CONTENT))
        return MergedReader([LineReader(str(tmp_path / "in"), block_bytes=700)], batch_lines_max=50, **kwargs)

    @pytest.mark.parametrize(("shards", "workers"), [(1, 1), (4, 1), (1, 2), (4, 2), (4, 4)])
    def test_every_line_comes_out_once_in_order(self, tmp_path, shards, workers):
        run = Run(tmp_path, shards, workers=workers, delay_s=0.001 if workers > 1 else 0.0)
        source = run.run(self.reader(tmp_path))
        assert source.error is None
        assert run.decisions.read_bytes() == b"".join(x + b"\n" for x in self.CONTENT if x.isdigit())
        assert run.dead_letters.read_bytes() == b"".join(x + b"\n" for x in self.CONTENT if not x.isdigit())
        assert sum(run.written) == run.decisions.read_bytes().count(b"\n")
        assert len(run.logics) == shards

    def test_a_truncated_input_is_told_after_all_before_it_was_written(self, tmp_path):
        whole = gzip.compress(b"".join(b"%d\n" % (number * number) for number in range(2000)))
        (tmp_path / "in.gz").write_bytes(whole[:-100])
        run = Run(tmp_path, 4)
        source = run.run(MergedReader([LineReader(str(tmp_path / "in.gz"))]))
        assert isinstance(source.error, TruncatedInput)
        assert source.error.byte == len(whole) - 100
        lines = run.decisions.read_bytes().splitlines()
        assert lines == [b"%d" % (number * number) for number in range(len(lines))]
        assert len(lines) > 1500

    def test_a_drain_ends_after_what_was_read_and_the_next_run_goes_on(self, tmp_path):
        reader = self.reader(tmp_path)
        run = Run(tmp_path, 4, drain=lambda: reader.ordinal >= 300)
        assert run.run(reader).error is None
        ordinal, [mark] = reader.ordinal, reader.marks
        assert 300 <= ordinal < 400
        first = [output.length for output in run.outputs]
        (tmp_path / "again").mkdir()
        again = Run(tmp_path / "again", 4)
        again.run(MergedReader([LineReader(str(tmp_path / "in"), start=mark)], ordinal=ordinal))
        together = run.decisions.read_bytes() + again.decisions.read_bytes()
        assert together == b"".join(x + b"\n" for x in self.CONTENT if x.isdigit())
        assert first[0] == run.decisions.stat().st_size

    def test_a_failure_that_is_kept_stops_all_writing(self, tmp_path):
        failure, written = Failure(), []
        files = [
            OrderedFile(OutputFile(path), lambda _ns, count: written.append(count))
            for path in (*[str(tmp_path / name) for name in "ab"], "/dev/full", str(tmp_path / "c"))
        ]
        for first in (0, 2):
            sink = OrderedSink(*files[first : first + 2], 1, failure=failure)
            sink.build_part("step", "all", None).write_batch(
                [ShardOutput(0, 7, 8, [(7, b"line\n")], [(7, b"other\n")], 0)]
            )
        assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"line\n", b"other\n", b""]
        assert (written, [file.reached for file in files]) == ([1, 1], [7, 7, 0, 0])
        with pytest.raises(HeadraceError, match="No space left"):
            failure.raise_again()

    def test_a_full_disk_ends_the_flow(self, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        run = Run(tmp_path, 1)
        run.outputs[0] = OutputFile("/dev/full")
        with pytest.raises(HeadraceError, match="No space left"):
            run.run(self.reader(tmp_path))
