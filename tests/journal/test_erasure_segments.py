"""Erasing records from complete segments, clause by clause (docs/specs/journal.md, J-ERASE)."""

from __future__ import annotations

import pytest
from ledgers import Journal, decided, flip, note

from headrace.errors import JournalDamaged
from headrace.journal import erased_segments as erasure_segments
from headrace.journal.erased_records import erase_records
from headrace.journal.erased_segments import erase_segments
from headrace.journal.frame_reader import read_frame
from headrace.journal.segments import segment_path
from headrace.journal.verify import verify
from headrace.ledger.index import LedgerIndex, index_path


def always() -> bool:
    return True


@pytest.fixture
def journal(tmp_path) -> Journal:
    """Inputs 0 to 4 in segment 1, 5 to 7 in segment 2, a note at input 2; segment 3 is the present one."""
    made = Journal(tmp_path / "shard-00")
    made.append([decided("a"), decided("b")])
    made.writer.append([note(control="x")], ordinal_first=2, ordinal_next=2, accepted_ms=1, marks=())
    made.append([decided("c"), decided("d"), decided("e")])
    return made.roll().append([decided("f"), decided("g"), decided("h")]).roll().append([decided("i")])


def test_j_erase_1_only_what_is_meant_is_gone_and_the_chain_holds(journal):
    before, end = journal.frames(), verify(journal.directory).end
    sizes = [segment_path(journal.directory, number).stat().st_size for number in (1, 2, 3)]
    assert erase_segments(journal.directory, 3, [1, 2, 6], always) == [1, 2, 6]
    after = journal.frames()
    assert verify(journal.directory).end == end
    assert verify(journal.directory).erased == 3
    assert [segment_path(journal.directory, number).stat().st_size for number in (1, 2, 3)] == sizes
    for frame, was in zip(after, before, strict=True):
        assert frame.head == was.head
        for each, earlier in zip(frame.records, was.records, strict=True):
            if each.erased:
                assert set(each.input + each.output) == {0}
                assert each[:1] + each[2:6] == earlier[:1] + earlier[2:6]
            else:
                assert each == earlier
    everything = b"".join(segment_path(journal.directory, number).read_bytes() for number in (1, 2))
    assert b'"b"' not in everything
    assert b'"a"' in everything


def test_j_erase_3_the_segments_behind_are_left_alone(journal):
    present = segment_path(journal.directory, 3).read_bytes()
    assert erase_segments(journal.directory, 2, [0, 5, 8], always) == [0]
    assert erase_segments(journal.directory, 3, [0, 5, 8], always) == [0, 5]
    assert segment_path(journal.directory, 3).read_bytes() == present


def test_j_erase_4_a_segment_is_replaced_and_only_if_it_must_be(journal):
    inodes = [segment_path(journal.directory, number).stat().st_ino for number in (1, 2)]
    with open(segment_path(journal.directory, 1), "rb") as old:
        erase_segments(journal.directory, 3, [0], always)
        assert b'"a"' in old.read(), "it was changed in place"
    first, second = (segment_path(journal.directory, number).stat().st_ino for number in (1, 2))
    assert (first != inodes[0], second == inodes[1]) == (True, True)
    assert erase_segments(journal.directory, 3, [0], always) == [0]
    assert segment_path(journal.directory, 1).stat().st_ino == first


def test_a_note_is_no_input(journal):
    assert erase_segments(journal.directory, 3, [2], always) == [2]
    assert not journal.frames()[1].records[0].erased


def test_no_longer_wanted_it_leaves_everything_as_it_was(journal):
    before = segment_path(journal.directory, 1).read_bytes()
    with pytest.raises(InterruptedError):
        erase_segments(journal.directory, 3, [0], lambda: False)
    assert segment_path(journal.directory, 1).read_bytes() == before
    assert not list(journal.directory.glob("*.erasing"))


def test_what_a_kill_left_of_a_copy_goes(journal):
    left = segment_path(journal.directory, 2).with_suffix(".erasing")
    left.write_bytes(b"part of a copy")
    assert erase_segments(journal.directory, 3, [99], always) == []
    assert not left.exists()


def test_a_damaged_frame_is_not_rewritten(journal):
    frame = journal.frames()[0]
    flip(segment_path(journal.directory, 1), frame.head.position_next - 1)
    before = segment_path(journal.directory, 1).read_bytes()
    with pytest.raises(JournalDamaged, match="not what was written"):
        erase_segments(journal.directory, 3, [0], always)
    assert segment_path(journal.directory, 1).read_bytes() == before


def test_bytes_that_are_not_the_frame_are_refused(journal):
    frame = read_frame(journal.directory, 1, journal.frames()[0].head.position)
    other = bytearray(frame.head.position_next - frame.head.position)
    with pytest.raises(JournalDamaged):
        erase_records(frame, bytes(other), [0])


def test_the_index_of_an_erased_id_goes_and_others_stay(journal):
    LedgerIndex(journal.directory)
    assert [index_path(journal.directory, number).exists() for number in (1, 2)] == [True, True]
    erase_segments(journal.directory, 3, [0], always)
    assert [index_path(journal.directory, number).exists() for number in (1, 2)] == [False, True]
    # Made anew by a reader, it has no digest of the id; left over by one, it goes in the next pass.
    LedgerIndex(journal.directory)
    assert index_path(journal.directory, 1).exists()
    erase_segments(journal.directory, 3, [0], always)
    assert not index_path(journal.directory, 1).exists()


def test_an_index_made_of_a_segment_that_was_replaced_meanwhile_is_not_kept(journal, monkeypatch):
    from headrace.ledger import index as ledger_index

    scan = ledger_index._scan

    def scan_then_erase(directory, start, size, progress):
        scanned = scan(directory, start, size, progress)
        if start.segment == 1:
            erase_segments(directory, 3, [0], always)
        return scanned

    monkeypatch.setattr(ledger_index, "_scan", scan_then_erase)
    LedgerIndex(journal.directory)
    assert not index_path(journal.directory, 1).exists()


def test_copies_are_whole_however_they_are_cut(journal, monkeypatch):
    monkeypatch.setattr(erasure_segments, "_COPIED_BYTES", 7)
    end = verify(journal.directory).end
    assert erase_segments(journal.directory, 3, [1, 4, 7], always) == [1, 4, 7]
    assert verify(journal.directory).end == end
