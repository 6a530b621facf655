"""Several sources are merged by event time, at the pace that is asked for."""

from __future__ import annotations

import gzip

import pytest
from line_files import DAY_MS, LINES, T0, TEXT, batches, before, files, line, merged, name_of, put

from headrace.errors import TruncatedInput
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.pace import Pace


class TestMerging:
    def test_one_source_alone_keeps_its_order(self, tmp_path):
        lines = [line(T0 + 5, "a"), line(T0, "b"), b"broken", line(T0 + 1, "c")]
        assert merged(MergedReader(files(tmp_path, lines))) == ["a", "b", "broken", "c"]

    def test_by_event_time_then_order_of_arguments_then_line(self, tmp_path):
        first = [line(T0 + 1, "a1"), line(T0 + 1, "a2"), line("2020-09-13T12:26:40.004Z", "a4")]
        second = [line(T0, "b0"), line(T0 + 1, "b1"), line(T0 + 3, "b3"), line(T0 + 4, "b4")]
        assert merged(MergedReader(files(tmp_path, first, second))) == [
            "b0", "a1", "a2", "b1", "b3", "a4", "b4",
        ]  # fmt: skip

    def test_a_line_without_a_usable_time_comes_at_once(self, tmp_path):
        odd = [b"{", b'{"event_time":1e400}', line(-1, "1900"), line(1 << 70, "far"), line("noon", "noon")]
        first = [line(T0 + 2, "a2"), *odd, line(T0 + 8, "a8")]
        second = [b"first", line(T0 + 1, "b1"), line(T0 + 3, "b3")]
        assert merged(MergedReader(files(tmp_path, first, second))) == [
            "first", "b1", "a2", *map(name_of, odd), "b3", "a8",
        ]  # fmt: skip

    @pytest.mark.parametrize("block_bytes", [1, 50, 262_144])
    @pytest.mark.parametrize("broken", [1, 2])
    def test_a_broken_clock_does_not_hold_back_what_follows(self, tmp_path, broken, block_bytes):
        ahead = [line(T0 + 9000 * DAY_MS, f"ahead{n}") for n in range(broken)]
        first = [line(T0, "a0"), *ahead, b"broken", line(T0 + 2, "a2"), line(T0 + 4, "a4")]
        if broken == 2:
            first.remove(b"broken")
        second = [line(T0 + n, f"b{n}") for n in (1, 3, 5)]
        readers = files(tmp_path, first, second, block_bytes=block_bytes)
        found = merged(MergedReader(readers, future_skew_ms_max=DAY_MS, agree_lines=3))
        assert [name for name in found if name != "broken"] == [
            "a0", "b1", *map(name_of, ahead), "a2", "b3", "a4", "b5",
        ]  # fmt: skip

    def test_a_sender_ahead_for_fewer_lines_than_the_clock_accepts_holds_nothing_back(self, tmp_path):
        ahead = [line(T0 + 9000 * DAY_MS + n, f"ahead{n}") for n in range(15)]
        first = [line(T0, "a0"), *ahead, line(T0 + 2, "a2")]
        found = merged(MergedReader(files(tmp_path, first, [line(T0 + 1, "b1"), line(T0 + 3, "b3")])))
        assert found == ["a0", "b1", *map(name_of, ahead), "a2", "b3"]

    def test_so_many_lines_that_agree_are_accepted(self, tmp_path):
        later = T0 + 9000 * DAY_MS
        first = [line(T0, "a"), *[line(later, f"later{n}") for n in range(3)], line(T0 + 1, "c")]
        readers = files(tmp_path, first, [line(T0 + 2, "b")])
        assert merged(MergedReader(readers, future_skew_ms_max=DAY_MS, agree_lines=3))[:2] == ["a", "b"]

    def test_batches_have_a_limit_and_marks_of_the_sources_that_moved(self, tmp_path):
        readers = files(
            tmp_path, [line(T0 + n, "a") for n in range(4)], [line(T0 + 3, "b"), line(T0 + 4, "b")]
        )
        found = batches(MergedReader(readers, ordinal=70, batch_lines_max=2))
        assert [batch.ordinal for batch in found] == [70, 72, 74]
        assert [batch.sources for batch in found] == [[0, 0], [0, 0], [1, 1]]
        assert [[mark.source for mark in batch.marks] for batch in found] == [[0], [0], [1]]
        assert [batch.lines for batch in found] == [[1, 2], [3, 4], [1, 2]]
        assert found[1].marks[0].line == 4

    def test_a_cut_source_does_not_keep_the_others_from_their_end(self, tmp_path):
        cut = gzip.compress(TEXT)[:500]
        paths = [put(tmp_path / "a.gz", cut), put(tmp_path / "b.gz", cut), put(tmp_path / "c", TEXT)]
        readers = [LineReader(str(path), number=n) for n, path in enumerate(paths)]
        reader = MergedReader(readers, batch_lines_max=1)
        found = [reader.next_batch().sources[0] for _ in range(2 * len(before(cut)) + len(LINES))]
        with pytest.raises(TruncatedInput) as raised:
            reader.next_batch()
        assert raised.value.source == str(paths[0])
        assert found.count(2) == len(LINES)
        assert found.count(0) == found.count(1) == len(before(cut)) > 0
        assert reader.ended

    def test_no_source_at_all(self):
        reader = MergedReader([])
        assert reader.next_batch() is None
        assert reader.ended
        assert reader.progress.bytes_done == 0


class TestPace:
    def test_lines_come_when_they_are_due(self, tmp_path):
        now = [100.0]
        lines = [b"broken", *[line(T0 + ms, str(ms)) for ms in (0, 1000, 1500, 1400, 60_000)]]
        reader = MergedReader(files(tmp_path, lines), pace=Pace(10.0, lambda: now[0]))
        assert reader.next_batch().payloads == [b"broken"]
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["0"]
        assert reader.next_batch() is None
        assert not reader.ended
        assert reader.next_due_s() == pytest.approx(0.1)
        now[0] += 0.1501
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["1000", "1500", "1400"]
        assert reader.next_due_s() == pytest.approx(6.0 - 0.1501)
        now[0] += 5.9
        assert reader.next_due_s() is None
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["60000"]
        assert reader.next_batch() is None
        assert reader.ended

    def test_a_speed_is_positive(self):
        with pytest.raises(ValueError, match="positive"):
            Pace(0.0)
