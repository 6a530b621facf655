"""Which segments may go, clause by clause (docs/specs/journal.md, J-RET)."""

from __future__ import annotations

import pytest
from ledgers import Journal, decided, note

from headrace.config.tables import JournalSettings
from headrace.journal.checkpoint import checkpoint_path, write_checkpoint
from headrace.journal.retention import Retired, keeps_all, retirable, retire
from headrace.journal.segments import segment_numbers, segment_path
from headrace.journal.verify import verify
from headrace.ledger.index import index_path

DAY_MS = 86_400_000
ALL = 1 << 40
SIX_OF_ONE_BYTE = JournalSettings(keep_bytes_max=1024)


def segment(journal: Journal, number: int, *, tells: bool = True) -> None:
    """Fill the present segment with two inputs that were written on its day."""
    at = journal.writer.end.ordinal
    day_ms = number * DAY_MS
    if tells:
        config = [note(control="config", settings="{}", learn=True)]
        journal.writer.append(
            config, ordinal_first=at, ordinal_next=at, accepted_ms=day_ms, marks=(), committed_ms=day_ms
        )
    records = [decided(f"{number}-{place}", at + place, detail=bytes(600)) for place in range(2)]
    journal.writer.append(
        records,
        ordinal_first=at,
        ordinal_next=at + 2,
        accepted_ms=day_ms,
        marks=(),
        committed_ms=day_ms + 1000,
    )


@pytest.fixture
def journal(tmp_path) -> Journal:
    """Six segments of two inputs each, segment N of day N, with checkpoints 5 and 6."""
    made = Journal(tmp_path / "shard-00")
    for number in range(1, 7):
        if number > 1:
            made.roll()
        segment(made, number)
    for number in (5, 6):
        write_checkpoint(checkpoint_path(made.directory, number), {}, {})
    return made


def sizes(journal: Journal) -> dict[int, int]:
    numbers = segment_numbers(journal.directory)
    return {number: segment_path(journal.directory, number).stat().st_size for number in numbers}


def test_j_ret_1_by_default_nothing_goes(journal):
    assert keeps_all(JournalSettings())
    assert retirable(journal.directory, JournalSettings(), ALL, 10_000 * DAY_MS) == []


def test_j_ret_2_what_is_older_goes_from_the_front(journal):
    limits = JournalSettings(keep_days_max=10.0)
    assert not keeps_all(limits)
    # Segment 1 ends where segment 2 begins, on day 2.
    assert retirable(journal.directory, limits, ALL, 12 * DAY_MS) == []
    assert retirable(journal.directory, limits, ALL, 12 * DAY_MS + 1) == [1]
    assert retirable(journal.directory, limits, ALL, 14 * DAY_MS + 1) == [1, 2, 3]


def test_j_ret_2_what_is_too_much_goes_from_the_front(journal):
    by_number = sizes(journal)
    total = sum(by_number.values())
    for gone in range(5):
        limits = JournalSettings(keep_bytes_max=total - sum(by_number[each] for each in range(1, gone + 1)))
        assert retirable(journal.directory, limits, ALL, 0) == [*range(1, gone + 1)]


def test_j_ret_3_what_a_kept_checkpoint_replays_stays(journal):
    assert retirable(journal.directory, SIX_OF_ONE_BYTE, ALL, 0) == [1, 2, 3, 4]
    checkpoint_path(journal.directory, 5).unlink()
    assert retirable(journal.directory, SIX_OF_ONE_BYTE, ALL, 0) == [1, 2, 3, 4, 5]
    checkpoint_path(journal.directory, 6).unlink()
    assert retirable(journal.directory, SIX_OF_ONE_BYTE, ALL, 0) == []


@pytest.mark.parametrize(
    ("needed", "gone"), [(0, []), (1, []), (2, [1]), (3, [1]), (5, [1, 2]), (8, [1, 2, 3, 4])]
)
def test_j_ret_3_what_another_shard_or_an_output_lacks_stays(journal, needed, gone):
    assert retirable(journal.directory, SIX_OF_ONE_BYTE, needed, 0) == gone


def test_j_ret_4_the_first_segment_tells_the_configuration(tmp_path):
    made = Journal(tmp_path / "shard-00")
    for number, tells in enumerate([True, False, True, False, True], start=1):
        if number > 1:
            made.roll()
        segment(made, number, tells=tells)
    write_checkpoint(checkpoint_path(made.directory, 4), {}, {})
    # Segment 4 tells nothing, so that 3 can't go, though nothing else needs it.
    assert retirable(made.directory, SIX_OF_ONE_BYTE, ALL, 0) == [1, 2]


def test_what_goes_is_counted_and_takes_its_index_along(journal):
    by_number = sizes(journal)
    for number in (1, 5):
        index_path(journal.directory, number).write_bytes(b"x")
    chain = verify(journal.directory).end.chain
    retired = retire(journal.directory, SIX_OF_ONE_BYTE, ALL, 0)
    assert retired == Retired(4, sum(by_number[number] for number in range(1, 5)))
    assert segment_numbers(journal.directory) == [5, 6]
    assert [index_path(journal.directory, number).exists() for number in (1, 5)] == [False, True]
    assert verify(journal.directory).end.chain == chain
    assert retire(journal.directory, SIX_OF_ONE_BYTE, ALL, 0) == Retired()
