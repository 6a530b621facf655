"""Verifying a ledger: whatever was changed is found, and named."""

from __future__ import annotations

import random
import threading

import pytest
from ledgers import Journal, decided, end_of, erase, flip, note, outcome

from headrace.journal.checkpoint import checkpoint_path
from headrace.journal.frames import Frame
from headrace.journal.segments import segment_path
from headrace.ledger.verify import VerifiedShard, journal_bytes, verify_shard

SEGMENT_HEAD_BYTES = 84
FLIPS = 20
SEED = 20260301


@pytest.fixture
def journal(tmp_path) -> Journal:
    made = Journal(tmp_path / "shard-00").append([note(control="config", settings="{}")])
    for segment in range(3):
        for frame in range(5):
            made.append([decided(f"p-{segment}-{frame}-{n}") for n in range(8)] + [outcome(f"p-{frame}")])
        if segment < 2:
            made.roll()
    return made


def verify(journal: Journal, **changed) -> VerifiedShard:
    return verify_shard(journal.directory, **{"settle_s": 0.0, **changed})


def test_a_whole_journal(journal):
    told: list[tuple[int, int]] = []
    found = verify(journal, progress=lambda *done: told.append(done))
    end = end_of(journal.directory)
    assert found.whole
    assert (found.shard, found.segments, found.frames, found.records) == ("shard-00", 3, 16, 136)
    assert dict(found.kinds) == {"control": 1, "decided": 120, "applied": 15}
    assert (found.chain, found.sequence) == (end.chain.hex(), 136)
    assert sum(records for _, records in told) == 136
    heads = 3 * SEGMENT_HEAD_BYTES
    assert sum(size for size, _ in told) == journal_bytes(journal.directory) - heads


def test_an_empty_journal_is_whole(tmp_path):
    found = verify_shard(tmp_path)
    assert found.whole
    assert (found.segments, found.records, found.chain) == (0, 0, "00" * 32)


def test_erased_records_are_counted_and_no_damage(journal):
    frames = journal.frames()
    erase(journal.directory, frames[2], 3)
    erase(journal.directory, frames[7], 0)
    found = verify(journal)
    assert found.whole
    assert (found.erased, found.records) == (2, 136)


def holds(frames: list[Frame], segment: int, byte: int) -> Frame | None:
    """The frame that a byte belongs to; None for a segment's head."""
    for frame in frames:
        if frame.head.segment == segment and frame.head.position <= byte < frame.head.position_next:
            return frame
    return None


def test_a_flipped_byte_anywhere_is_found_and_named(journal):
    """The same with a larger journal and more trials: benchmarks/tamper.py."""
    frames, drawn = journal.frames(), random.Random(SEED)
    for _ in range(FLIPS):
        segment = drawn.randint(1, 3)
        path = segment_path(journal.directory, segment)
        byte, bits = drawn.randrange(path.stat().st_size), 1 << drawn.randrange(8)
        flip(path, byte, bits)
        damage = verify(journal).damage
        flip(path, byte, bits)
        frame = holds(frames, segment, byte)
        assert damage is not None, f"seed {SEED}: segment {segment}, byte {byte}, bits {bits}"
        assert damage.file == str(path)
        if frame is None:
            assert damage.byte < SEGMENT_HEAD_BYTES
        else:
            assert damage.byte == frame.head.position
            assert damage.byte_end in {None, frame.head.position_next}
    assert verify(journal).whole


def test_every_byte_of_a_frame_is_guarded(journal):
    frame = journal.frames()[-1]
    path = segment_path(journal.directory, 3)
    for byte in range(frame.head.position, frame.head.position_next):
        flip(path, byte, 0x10)
        damage = verify(journal).damage
        flip(path, byte, 0x10)
        assert damage is not None, byte
        assert (damage.file, damage.byte) == (str(path), frame.head.position)


def test_damage_in_records_names_which_records_it_may_be(journal):
    frame = journal.frames()[6]
    flip(segment_path(journal.directory, 2), frame.head.position_next - 1)
    found = verify(journal)
    damage = found.damage
    assert damage is not None
    assert (damage.sequence_first, damage.sequence_last) == (frame.head.seq, frame.head.seq + 8)
    assert damage.byte_end == frame.head.position_next
    assert "one of its 9 records" in str(damage)
    assert (found.frames, found.sequence, found.segments) == (6, frame.head.seq, 2)


def test_damage_in_a_head_names_the_frame(journal):
    frame = journal.frames()[6]
    flip(segment_path(journal.directory, 2), frame.head.position + 20)
    damage = verify(journal).damage
    assert damage is not None
    assert (damage.byte, damage.byte_end, damage.sequence_first) == (frame.head.position, None, None)


def test_a_torn_tail_is_told_and_not_whole(journal):
    path = segment_path(journal.directory, 3)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 7)
    found = verify(journal)
    assert not found.whole
    assert found.damage is None
    assert found.torn is not None
    assert found.torn.file == str(path)
    assert found.torn.byte + found.torn.bytes_left == size - 7
    assert (found.frames, found.records) == (15, 127)


def test_a_frame_in_the_making_is_waited_for(journal):
    path = segment_path(journal.directory, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    threading.Timer(0.05, lambda: path.write_bytes(whole)).start()
    found = verify(journal, settle_s=0.2)
    assert found.whole
    assert (found.frames, found.records) == (16, 136)


def test_a_missing_segment_is_named(journal):
    segment_path(journal.directory, 2).unlink()
    damage = verify(journal).damage
    assert damage is not None
    assert damage.file == str(segment_path(journal.directory, 2))


def test_a_segment_that_only_a_checkpoint_tells_of_is_named(journal):
    checkpoint_path(journal.directory, 4).write_bytes(b"")
    damage = verify(journal).damage
    assert damage is not None
    assert damage.file == str(segment_path(journal.directory, 4))
    assert "checkpoint-00000004.ckpt" in damage.why


def test_every_chain_value_that_occurred_is_found(journal):
    for frame in journal.frames():
        expected = verify(journal, expected_chain=frame.head.chain).expected
        assert expected is not None
        assert (expected.segment, expected.byte) == (frame.head.segment, frame.head.position_next)
        assert expected.sequence == frame.head.seq + frame.head.records
    start = verify(journal, expected_chain=bytes(32)).expected
    assert start is not None
    assert start.sequence == 0


def test_a_chain_value_of_what_was_cut_off_is_not_found(journal):
    noted = end_of(journal.directory).chain
    last = journal.frames()[-1]
    with segment_path(journal.directory, 3).open("r+b") as file:
        file.truncate(last.head.position)
    found = verify(journal, expected_chain=noted)
    assert found.whole, "nothing in what is left tells of it"
    assert found.expected is None
