"""The source of files waits without polling, and ends when it is told to."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from small_flows import T0, Run

from headrace.dataflow.file_source import FileSource
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.pace import Pace

pytestmark = pytest.mark.operator


class TestFileSource:
    def test_paced_lines_are_awaited_not_polled(self, tmp_path):
        now = [0.0]
        (tmp_path / "in").write_bytes(b'{"event_time":%d}\n{"event_time":%d}\n' % (T0, T0 + 50))
        reader = MergedReader([LineReader(str(tmp_path / "in"))], pace=Pace(1.0, lambda: now[0]))
        part = FileSource(reader).build_part("source", "all", None)
        assert [len(each.payloads) for each in part.next_batch()] == [1]
        assert part.next_batch() == []
        before, awake, after = datetime.now(UTC), part.next_awake(), datetime.now(UTC)
        assert before + timedelta(milliseconds=49) < awake <= after + timedelta(milliseconds=50)
        now[0] = 0.051
        assert part.next_awake() is None
        assert len(part.next_batch()) == 1
        with pytest.raises(StopIteration):
            part.next_batch()

    def test_a_far_line_is_not_slept_for_at_once_so_that_a_drain_is_seen(self, tmp_path):
        (tmp_path / "in").write_bytes(b'{"event_time":%d}\n{"event_time":%d}\n' % (T0, T0 + 9_000_000))
        reader = MergedReader([LineReader(str(tmp_path / "in"))], pace=Pace(1.0))
        draining = []
        part = FileSource(reader, drain=lambda: bool(draining)).build_part("source", "all", None)
        part.next_batch()
        assert part.next_awake() - datetime.now(UTC) <= timedelta(milliseconds=100)
        draining.append(True)
        with pytest.raises(StopIteration):
            part.next_batch()

    def test_a_quiet_pipe_keeps_the_flow_alive(self, tmp_path):
        source, target = os.pipe()
        run = Run(tmp_path, 1)

        def feed() -> None:
            for number in range(3):
                while len(run.written) < number:
                    time.sleep(0.001)
                time.sleep(0.02)
                os.write(target, b"%d\n" % number)
            os.close(target)

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        run.run(MergedReader([LineReader(f"/dev/fd/{source}")]))
        feeding.join()
        os.close(source)
        assert run.decisions.read_bytes() == b"0\n1\n2\n"
        assert run.written == [1, 1, 1]
