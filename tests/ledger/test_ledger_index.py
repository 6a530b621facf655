"""The index of a journal, by the clauses of docs/specs/index.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ledgers import SALT_BYTES, Journal, decided, erase, flip, note, outcome

from headrace.errors import JournalDamaged
from headrace.journal.frame_reader import read_frame
from headrace.journal.segments import segment_path
from headrace.ledger.index import LedgerIndex, index_path, unindexed_bytes
from headrace.ledger.keys import CONFIG_KEY, about_key, decision_key, source_key

ODD_IDS = ['a"b', "back\\slash", '","event_id":"', "naïve ☃ 😀", "tab\t", "x" * 128, "fraud:p"]


def found(index: LedgerIndex, event_id: str) -> list[bytes]:
    """Outputs of what stands under a decision's id."""
    places = index.find(decision_key(f"fraud:{event_id}"))
    return [read_frame(index.directory, at.segment, at.position).records[at.record].output for at in places]


def knows(index: LedgerIndex, *event_ids: str) -> bool:
    return all([decided(each).output] == found(index, each) for each in event_ids)


def read_records(directory: Path) -> tuple[LedgerIndex, int]:
    """An index, and how many records had to be read for it."""
    read: list[int] = []
    index = LedgerIndex(directory, lambda _, records: read.append(records))
    return index, sum(read)


@pytest.fixture
def journal(tmp_path) -> Journal:
    """Three segments: two sealed ones, and the newest."""
    made = Journal(tmp_path / "shard-00")
    made.append([note(control="config", settings="{}"), note(control="source", number=0, name="a")])
    made.append([decided("p-1"), decided("p-2")], [outcome("p-1", 0)]).roll()
    made.append([decided("p-3"), outcome("p-1", 1)], [decided("p-4")]).roll()
    return made.append([decided("p-5"), outcome("p-3")])


def test_ix_1_every_decision_outcome_and_note_is_found(journal):
    index = LedgerIndex(journal.directory)
    assert knows(index, "p-1", "p-2", "p-3", "p-4", "p-5")
    assert index.find(decision_key("fraud:p-6")) == []
    assert [at.segment for at in index.find(about_key("p-1"))] == [1, 2]
    assert len(index.find(CONFIG_KEY)) == len(index.find(source_key(0))) == 1
    assert index.find(source_key(1)) == []
    assert (index.segments, index.decisions, index.erased) == (3, 5, 0)
    assert index.accepted_ms == (1_700_000_000_000, 1_700_000_000_000 + 8)


def test_ix_1_ids_may_hold_any_character(tmp_path):
    journal = Journal(tmp_path).append(
        [decided(each) for each in ODD_IDS], [outcome(each) for each in ODD_IDS]
    )
    index = LedgerIndex(tmp_path)
    assert knows(index, *ODD_IDS)
    assert all(len(index.find(about_key(each))) == 1 for each in ODD_IDS)
    journal.roll().append([decided("last")])
    assert knows(LedgerIndex(tmp_path), *ODD_IDS, "last")


def test_ix_1_decisions_in_another_order_of_keys_are_found(tmp_path):
    line = b'{"event_id":"p","decision_id":"fraud:p","event_time":5}\n'
    Journal(tmp_path).append([decided("p")._replace(output=line)])
    assert found(LedgerIndex(tmp_path), "p") == [line]


def test_an_id_that_was_decided_twice_is_found_twice_in_order(tmp_path):
    Journal(tmp_path).append([decided("p"), decided("q")]).roll().append([decided("p")], [decided("p")])
    places = LedgerIndex(tmp_path).find(decision_key("fraud:p"))
    assert [(at.segment, at.record) for at in places] == [(1, 0), (2, 0), (2, 0)]
    assert places == sorted(places)


def test_ix_2_many_records_fill_several_blocks(tmp_path):
    ids = [f"p-{number}" for number in range(5000)]
    journal = Journal(tmp_path)
    for at in range(0, 5000, 250):
        journal.append([decided(each) for each in ids[at : at + 250]])
    for _ in range(700):
        journal.append([outcome("p-7")])
    assert read_records(tmp_path)[1] == 5700
    index, read = read_records(tmp_path)
    assert read == 0
    assert knows(index, *ids[::7])
    places = index.find(about_key("p-7"))
    assert len(places) == len(set(places)) == 700
    assert places == sorted(places)


def test_sealed_segments_are_read_once(journal):
    before = unindexed_bytes(journal.directory)
    assert read_records(journal.directory)[1] == 10
    index, read = read_records(journal.directory)
    assert read == 2, "only the newest segment's"
    assert knows(index, "p-1", "p-3", "p-5")
    journal.roll()
    read_records(journal.directory)
    assert read_records(journal.directory)[1] == 0
    assert unindexed_bytes(journal.directory) < before / 2


def test_ix_4_the_newest_segment_is_indexed_as_it_grows(tmp_path):
    journal = Journal(tmp_path).append([decided(f"p-{number}") for number in range(1500)])
    assert read_records(tmp_path)[1] == 1500
    assert read_records(tmp_path)[1] == 0
    journal.append([decided("new")])
    index, read = read_records(tmp_path)
    assert read == 1
    assert knows(index, "new", "p-3")
    journal.append([decided(f"q-{number}") for number in range(1500)])
    read_records(tmp_path)
    index, read = read_records(tmp_path)
    assert read == 0
    assert knows(index, "new", "p-3", "q-1499")
    assert index.decisions == 3001


def test_a_frame_in_the_making_is_passed_over(journal):
    path = segment_path(journal.directory, 3)
    whole = path.read_bytes()
    journal.append([decided("later")])
    frame = path.read_bytes()[len(whole) :]
    for length in (1, 100, 170, len(frame) - 1):
        path.write_bytes(whole + frame[:length])
        index = LedgerIndex(journal.directory)
        assert index.damage == {}
        assert knows(index, "p-5")
        assert found(index, "later") == []
    path.write_bytes(whole + frame)
    assert knows(LedgerIndex(journal.directory), "later")


def test_ix_3_a_flipped_byte_anywhere_in_an_index_is_made_good(tmp_path):
    ids = [f"p-{number}" for number in range(20)]
    Journal(tmp_path).append([decided(each) for each in ids]).roll()
    LedgerIndex(tmp_path)
    path = index_path(tmp_path, 1)
    good = path.read_bytes()
    for at in range(len(good)):
        flip(path, at)
        assert knows(LedgerIndex(tmp_path), *ids), f"byte {at}"
        assert path.read_bytes() == good, f"byte {at}"


@pytest.mark.parametrize("length", [0, 3, 12, 200, -1])
def test_ix_3_an_index_cut_short_is_made_good(tmp_path, length):
    Journal(tmp_path).append([decided("p")]).roll()
    LedgerIndex(tmp_path)
    path = index_path(tmp_path, 1)
    good = path.read_bytes()
    path.write_bytes(good[:length])
    assert knows(LedgerIndex(tmp_path), "p")
    assert path.read_bytes() == good


def test_a_block_that_is_damaged_while_the_ledger_is_open_is_made_good(tmp_path):
    Journal(tmp_path).append([decided("p"), decided("q")]).roll()
    index = LedgerIndex(tmp_path)
    path = index_path(tmp_path, 1)
    flip(path, path.stat().st_size - 1)
    assert knows(index, "p", "q")
    path.unlink()
    assert knows(index, "p", "q")


def test_ix_3_an_index_of_another_journal_is_not_used(tmp_path):
    one, other = (Journal(tmp_path / name).append([decided("p"), decided("q")]) for name in ("a", "b"))
    for journal in (one, other):
        journal.roll()
        LedgerIndex(journal.directory)
    shutil.copy(index_path(one.directory, 1), index_path(other.directory, 1))
    index, read = read_records(other.directory)
    assert read == 2
    assert knows(index, "p", "q")
    shutil.copy(index_path(one.directory, 1), index_path(one.directory, 2))
    one.append([decided("r")])
    assert knows(LedgerIndex(one.directory), "p", "q", "r")


def test_ix_3_an_index_that_goes_further_than_the_journal_is_not_used(tmp_path):
    journal = Journal(tmp_path).append([decided("p")])
    shorter = segment_path(tmp_path, 1).read_bytes()
    journal.append([decided("gone")], [decided("q")]).roll()
    LedgerIndex(tmp_path)
    segment_path(tmp_path, 2).unlink()
    segment_path(tmp_path, 1).write_bytes(shorter)
    index = LedgerIndex(tmp_path)
    assert knows(index, "p")
    assert found(index, "gone") == []


def test_ix_5_without_a_place_for_the_index_it_stays_in_memory(journal):
    for number in (1, 2):
        index_path(journal.directory, number).mkdir()  # nothing can be renamed to it
    for _ in range(2):
        index, read = read_records(journal.directory)
        assert read == 10
        assert isinstance(index.unkept, OSError)
        assert knows(index, "p-1", "p-2", "p-3", "p-4", "p-5")
        assert index.decisions == 5
    assert not list(journal.directory.glob("*.tmp"))


def test_ix_6_an_erased_record_is_found_by_the_index_made_before(journal):
    LedgerIndex(journal.directory)
    frame = next(frame for frame in journal.frames() if b"p-4" in frame.records[0].output)
    erase(journal.directory, frame, 0)
    index, read = read_records(journal.directory)
    assert read == 2, "an erasure leaves the chain as it was, and the index with it"
    (place,) = index.find(decision_key("fraud:p-4"))
    assert read_frame(journal.directory, place.segment, place.position).records[place.record].erased
    index_path(journal.directory, 2).unlink()
    again = LedgerIndex(journal.directory)
    assert again.find(decision_key("fraud:p-4")) == []
    assert again.erased == 1
    assert knows(again, "p-1", "p-2", "p-3", "p-5")


def test_a_damaged_segment_leaves_the_others_readable(journal):
    frame = journal.frames()[3]
    flip(segment_path(journal.directory, 2), frame.head.position_next - SALT_BYTES)
    index = LedgerIndex(journal.directory)
    assert {segment: damage.file for segment, damage in index.damage.items()} == {
        2: str(segment_path(journal.directory, 2))
    }
    assert knows(index, "p-1", "p-2", "p-5")
    assert found(index, "p-3") == []


def test_a_missing_segment_is_damage(journal):
    segment_path(journal.directory, 2).unlink()
    with pytest.raises(JournalDamaged, match="missing"):
        LedgerIndex(journal.directory)


def test_finding_in_a_kept_index_needs_no_numpy(journal):
    """What costs a tenth of a second to import is needed for sorting only."""
    journal.roll()
    LedgerIndex(journal.directory)
    code = (
        "import sys; from pathlib import Path; from headrace.ledger.index import LedgerIndex\n"
        f"index = LedgerIndex(Path({str(journal.directory)!r})); print(len(index.find({about_key('p-1')})))\n"
        "sys.exit('numpy' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "2"), ended.stderr


def test_an_index_that_another_reader_has_replaced_is_read_anew(tmp_path):
    journal = Journal(tmp_path).append([decided(f"p-{number}") for number in range(1500)])
    LedgerIndex(tmp_path)
    index, _ = read_records(tmp_path)
    read: list[int] = []
    index._progress = lambda _, records: read.append(records)
    journal.append([decided(f"q-{number}") for number in range(1500)])
    LedgerIndex(tmp_path)
    assert knows(index, "p-3", "p-1499", "q-7")
    assert read == []
