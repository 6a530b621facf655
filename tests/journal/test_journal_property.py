"""What holds of any journal: it comes back, no changed byte passes, a cut is a torn tail or damage."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import JournalDamaged
from headrace.journal.batches import Mark
from headrace.journal.frames import GENESIS, Frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import OVERDUE, Kind, Record
from headrace.journal.segments import segment_path
from headrace.journal.verify import verify
from headrace.journal.writer import JournalWriter

pytestmark = pytest.mark.property

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
PAYLOAD = st.one_of(st.binary(max_size=40), st.integers(0, 90).map(bytes))
RECORD = st.builds(
    Record,
    kind=st.sampled_from([int(kind) for kind in Kind]),
    flags=st.integers(0, 31).map(lambda flags: flags * OVERDUE),
    source=st.integers(0, 0xFFFF),
    ordinal=U64,
    offset=U64,
    line=U64,
    input=PAYLOAD,
    output=PAYLOAD,
    detail=PAYLOAD,
)
MARK = st.builds(Mark, source=st.integers(0, 0xFFFF), offset=U64, line=U64, crc=U32)
FRAME = st.tuples(
    st.lists(RECORD, max_size=6),
    st.lists(MARK, max_size=3, unique_by=lambda mark: mark.source).map(tuple),
    st.integers(0, 5),
    st.integers(0, 5),
    U64,
    st.booleans(),
)
FRAMES = st.lists(FRAME, min_size=1, max_size=6)


@contextmanager
def journal(
    frames: list[tuple[list[Record], tuple[Mark, ...], int, int, int, bool]],
) -> Iterator[tuple[Path, JournalWriter]]:
    """A journal of the given frames; each may be followed by a new segment."""
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder), GENESIS, segment_bytes_max=1 << 30, fsync=False)
        for records, marks, skipped, covered, accepted_ms, roll in frames:
            first = writer.end.ordinal + skipped
            writer.append(
                records,
                ordinal_first=first,
                ordinal_next=first + covered,
                accepted_ms=accepted_ms,
                marks=marks,
                committed_ms=accepted_ms,
            )
            if roll:
                writer.roll()
        writer.close()
        yield Path(folder), writer


def owner_reads(directory: Path) -> tuple[JournalReader, list[Frame]]:
    reader = JournalReader(directory, GENESIS, cut_torn_tail=True)
    return reader, list(reader.frames())


@settings(deadline=None, max_examples=60)
@given(FRAMES)
def test_what_is_appended_comes_back(given_frames) -> None:
    with journal(given_frames) as (directory, writer):
        reader, frames = owner_reads(directory)
        assert [(frame.records, frame.head.marks, frame.head.committed_ms) for frame in frames] == [
            (records, marks, accepted_ms) for records, marks, _, _, accepted_ms, _ in given_frames
        ]
        assert reader.boundary == writer.end == verify(directory).end
        kept = {mark.source: mark for _, marks, *_ in given_frames for mark in marks}
        assert {mark.source: mark for mark in writer.end.marks} == kept
        decided = [each for records, *_ in given_frames for each in records if each.kind == Kind.DECIDED]
        assert writer.end.decisions_bytes == sum(len(each.output) for each in decided)


@settings(deadline=None, max_examples=120)
@given(FRAMES, st.data())
def test_any_changed_byte_is_found_and_named(given_frames, data) -> None:
    with journal(given_frames) as (directory, writer):
        segment = data.draw(st.integers(1, writer.end.segment), label="segment")
        path = segment_path(directory, segment)
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1), label="byte")
        heads = [frame.head for frame in owner_reads(directory)[1] if frame.head.segment == segment]
        starts = [0, *(head.position for head in heads)]
        content[at] ^= data.draw(st.integers(1, 255), label="change")
        path.write_bytes(content)
        with pytest.raises(JournalDamaged) as caught:
            owner_reads(directory)
        assert caught.value.file == str(path)
        near = max(start for start in starts if start <= at)
        assert near <= caught.value.byte <= at
        assert path.read_bytes() == content


def test_every_changed_byte_of_a_small_journal_is_found() -> None:
    frames = [
        ([Record(1, 0, 0, 0, 0, 1, b"in", b"out\n", b"d")], (Mark(0, 3, 1, 5),), 0, 1, 9, True),
        ([Record(4, 0, 0, 1, 3, 2, b"", b"", b"")], (), 0, 1, 9, False),
    ]
    with journal(frames) as (directory, _):
        for path in sorted(directory.iterdir()):
            content = path.read_bytes()
            for at in range(len(content)):
                for change in (0x01, 0xFF, content[at]):
                    changed = content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
                    if changed == content:
                        continue
                    path.write_bytes(changed)
                    with pytest.raises(JournalDamaged) as caught:
                        owner_reads(directory)
                    assert caught.value.file == str(path)
            path.write_bytes(content)
        verify(directory)


@settings(deadline=None, max_examples=60)
@given(FRAMES, st.data())
def test_a_cut_is_a_torn_tail_in_the_last_segment_and_damage_elsewhere(given_frames, data) -> None:
    with journal(given_frames) as (directory, writer):
        _, frames = owner_reads(directory)
        segment = data.draw(st.integers(1, writer.end.segment), label="segment")
        path = segment_path(directory, segment)
        size = data.draw(st.integers(0, path.stat().st_size - 1), label="size")
        with open(path, "r+b") as file:
            file.truncate(size)
        heads = [frame.head for frame in frames if frame.head.segment == segment]
        start = heads[0].position if heads else path.stat().st_size + 1
        if segment < writer.end.segment or size < start:
            with pytest.raises(JournalDamaged) as caught:
                owner_reads(directory)
            assert caught.value.file == str(path) or size in {head.position for head in heads}
            assert path.stat().st_size == size
            return
        reader, left = owner_reads(directory)
        whole = max([head.position_next for head in heads if head.position_next <= size], default=start)
        assert path.stat().st_size == reader.boundary.byte == whole
        assert left == frames[: len(left)]
        assert (reader.torn is None) == (whole == size)
        assert verify(directory).end == reader.boundary
