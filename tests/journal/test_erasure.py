"""Work that is asked for, carried out, and taken up again; and what memory's parts forget."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from ledgers import Journal, decided, flip, note

from headrace.errors import CheckpointDamaged, StateError
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path, write_checkpoint
from headrace.journal.erasures import Erasures, Work, noted_ranges, work_files
from headrace.journal.verify import verify
from headrace.operators.decisions.pending import Early, EarlyOutcomes, Held, Pending
from headrace.shard.deduplication import IdMemory


def always() -> bool:
    return True


@pytest.fixture
def directory(tmp_path) -> Path:
    """Inputs 0 to 2 in segment 1, input 3 in segment 2, which has a checkpoint as segment 1 has."""
    journal = Journal(tmp_path / "shard-00").append([decided("a"), decided("b"), decided("c")])
    journal.roll().append([decided("d")])
    for number in (1, 2):
        write_checkpoint(checkpoint_path(journal.directory, number), {"of": number}, {})
    return journal.directory


def test_j_erase_5_work_is_a_file_of_ordinals(directory):
    Erasures(directory).ask(3, [7, 1, 2])
    ((ordinal, path),) = work_files(directory)
    assert (ordinal, path.name) == (3, "erasing-00000000000000000003.json")
    assert orjson.loads(path.read_bytes()) == {"version": 1, "ordinals": [[1, 3], [7, 7]]}


def test_j_erase_5_work_without_its_command_is_dropped(directory):
    asked = Erasures(directory)
    asked.ask(3, [0])
    asked.ask(4, [1])
    again = Erasures(directory)
    again.resume(4)
    assert again.waiting == [Work(3, (0, 3))]
    assert [ordinal for ordinal, _ in work_files(directory)] == [3]


def test_j_erase_6_it_is_carried_out_and_done(directory):
    erasures = Erasures(directory)
    erasures.ask(1, [0])
    erasures.ask(2, [99])
    (directory / "checkpoint-00000009.tmp").write_bytes(b"of a child that was killed")
    erasures.carry_out(2, always)
    assert verify(directory).erased == 3
    assert checkpoint_numbers(directory) == [2]
    assert not list(directory.glob("*.tmp"))
    assert work_files(directory) == []
    assert [ordinal for ordinal, _ in work_files(directory, "erased")] == [1, 2]
    # Of work that is done those are told that this shard had.
    assert list(erasures.done()) == [Work(1, (0, 1)), Work(2, (2,))]
    assert erasures.waiting == work_files(directory, "erased") == []


def test_j_erase_6_without_work_nothing_is_touched(directory):
    Erasures(directory).carry_out(2, always)
    assert checkpoint_numbers(directory) == [2, 1]


def test_j_erase_6_a_checkpoint_that_is_not_whole_takes_nothing_away(directory):
    erasures = Erasures(directory)
    erasures.ask(1, [0])
    flip(checkpoint_path(directory, 2), 40)
    with pytest.raises(CheckpointDamaged):
        erasures.carry_out(2, always)
    assert (checkpoint_numbers(directory), verify(directory).erased) == ([2, 1], 0)
    assert len(work_files(directory)) == 1


def test_j_erase_6_it_may_be_repeated_wherever_it_was_interrupted(directory):
    erasures = Erasures(directory)
    erasures.ask(1, [0])
    left = work_files(directory)[0][1].read_bytes()
    erasures.carry_out(2, always)
    erasures.carry_out(2, always)
    work_files(directory, "erased")[0][1].with_name("erasing-00000000000000000001.json").write_bytes(left)
    again = Erasures(directory)
    again.resume(4)
    assert (again.waiting, list(again.done())) == ([], [Work(1, (0, 1))])
    assert work_files(directory) == []


def test_j_erase_7_the_note_says_which_and_not_whose():
    said = Work(9, (1, 2, 3, 9)).note()
    assert said == {"control": "erased", "asked_at": 9, "records": 4, "ordinals": [[1, 3], [9, 9]]}
    assert noted_ranges(note(**said)) == [(1, 3), (9, 9)]
    assert noted_ranges(note(control="source")) == noted_ranges(decided("a")) == []


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"version":2,"ordinals":[]}', b'{"version":1,"ordinals":[1]}']
)
def test_work_that_can_not_be_read_is_named(directory, content):
    path = directory / "erasing-00000000000000000001.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match=path.name):
        Erasures(directory).resume(4)


# ---------------------------------------------------------------- memory


def filled(rows_max: int, count: int) -> Pending:
    pending = Pending(1, 1, "H", rows_max, 1000)
    for number in range(count):
        add(pending, number)
    return pending


def add(pending: Pending, number: int) -> None:
    pending.add(f"p{number}", number + 1, number, (1 + number % 2,), 0, (3,), 0.5, blocked=False)


def test_forgotten_payments_leave_zeros_and_make_room():
    pending = filled(4, 4)
    pending.forget({"p1": None, "unknown": None})
    assert list(pending.index) == ["p0", "p2", "p3"]
    assert b"p1" not in pending.save()["ids"]
    assert set(pending.fields(1)) == {0}
    for number in range(4, 9):
        add(pending, number)
        assert len(pending) <= 4
    assert list(pending.index) == ["p5", "p6", "p7", "p8"]


def test_forgotten_payments_are_never_due_nor_expired():
    pending = filled(100, 4)
    pending.forget({"p0": None, "p2": None})
    assert pending.take_due(10, 1) == ["p1", "p3"]
    pending.expire(2000, 1000)
    assert (pending.expired_unlabelled, len(pending)) == (2, 0)


def test_payments_are_found_by_their_entitys_row():
    pending = filled(100, 6)
    assert pending.ids_of(0, 1, 0) == ["p0", "p2", "p4"]
    assert pending.ids_of(0, 1, 3) == ["p4"]  # the row was another one's before input 3
    assert pending.ids_of(0, 7, 0) == []


def test_forgotten_ids_are_new_again_and_the_others_keep_their_order():
    memory = IdMemory(10, 600_000)
    for number in range(4):
        memory.add(f"e{number}", 7, 60_000 * number)
    memory.forget({"e1": None, "unknown": None})
    assert list(memory.ids) == ["e0", "e2", "e3"]
    before = memory.save()
    memory.forget({"unknown": None})
    assert memory.save() == before
    for number in range(4, 20):
        memory.add(f"e{number}", 7, 60_000 * number)  # drops the oldest, which must be there
    assert len(memory) == 10


def test_forgotten_outcomes_wait_no_longer():
    early = EarlyOutcomes(10, 1000)
    for number in range(3):
        early.wait(f"p{number}", Early(1, number), number)
        early.hold(Held(50 - number, number, f"q{number}", 0))
    early.forget({"p1": None, "q2": None})
    assert list(early.waiting) == ["p0", "p2"]
    assert [early.reached(100) for _ in range(3)] == [Held(49, 1, "q1", 0), Held(50, 0, "q0", 0), None]
    early.expire(2000)
    assert (early.unmatched, len(early)) == (2, 0)
