"""The pending store and outcomes that came too early."""

from headrace.operators.decisions.pending import (
    ASSUMED,
    BLOCK_ROWS,
    FRAUD,
    UNLABELLED,
    Early,
    EarlyOutcomes,
    Held,
    Pending,
)

DAY = 86_400_000


def pending(rows_max: int = 100_000) -> Pending:
    return Pending(2, 3, "H", rows_max, 30 * DAY)


def add(store: Pending, event_id: str, time_ms: int, *, blocked: bool = False) -> None:
    store.add(event_id, time_ms, 5, (1, 2), 3, (7, 8, 9), 0.25, blocked)


def test_a_row_is_what_was_put_in() -> None:
    store = pending()
    add(store, "a", 10, blocked=True)
    row = store.row("a")
    assert row is not None
    assert row[:7] == (10, 5, (1, 2), 3, (7, 8, 9), 0.25, True)
    assert (row.label, row.labelled_ms) == (UNLABELLED, 0)
    store.label("a", FRAUD, 77)
    store.label("a", FRAUD, 99)
    labelled = store.row("a")
    assert labelled is not None
    assert (labelled.label, labelled.labelled_ms) == (FRAUD, 77)


def test_rows_expire_by_age_over_many_blocks() -> None:
    store = pending()
    for number in range(3 * BLOCK_ROWS):
        add(store, str(number), number)
    store.label("0", FRAUD, 1)
    now = 30 * DAY + 2 * BLOCK_ROWS
    for _ in range(3 * BLOCK_ROWS // 64 + 1):
        store.expire(now, DAY * 40)
    assert len(store) == BLOCK_ROWS
    assert store.row("0") is None
    assert store.expired_unlabelled == 2 * BLOCK_ROWS - 1
    kept = store.row(str(2 * BLOCK_ROWS))
    assert kept is not None
    assert kept.time_ms == 2 * BLOCK_ROWS


def test_a_row_from_far_ahead_does_not_hold_the_others_back() -> None:
    store = pending()
    add(store, "broken", 4_000_000_000_000)
    add(store, "old", 1_000_000_000_000)
    store.expire(1_000_000_000_000 + 31 * DAY, 3 * DAY)
    assert len(store) == 0


def test_the_oldest_goes_at_the_limit() -> None:
    store = pending(rows_max=2)
    for name in "abc":
        add(store, name, 1)
    assert store.row("a") is None
    assert store.dropped_by_limit == 1
    assert len(store) == 2


def test_due_rows_come_once_and_never_when_blocked_or_labelled() -> None:
    store = pending()
    add(store, "a", 0)
    add(store, "b", 0, blocked=True)
    add(store, "c", 0)
    add(store, "d", 5 * DAY)
    store.label("c", FRAUD, 1)
    assert store.take_due(7 * DAY, 7 * DAY) == ["a"]
    assert store.take_due(7 * DAY, 7 * DAY) == []
    assert store.take_due(12 * DAY, 7 * DAY) == ["d"]


def test_an_assumed_label_gives_way_to_the_first_outcomes_time() -> None:
    store = pending()
    add(store, "a", 0)
    store.label("a", ASSUMED, 50)
    row = store.row("a")
    assert row is not None
    assert row.label == ASSUMED


def test_saved_and_loaded_is_equal() -> None:
    store, other = pending(), pending()
    for number in range(BLOCK_ROWS + 10):
        add(store, str(number), number)
    store.label("5000" if "5000" in store.index else "17", FRAUD, 3)
    store.expire(30 * DAY + 20, DAY * 40)
    other.load(store.save())
    assert other.save() == store.save()
    assert other.index == store.index
    assert [other.row(key) for key in list(store.index)[:50]] == [
        store.row(key) for key in list(store.index)[:50]
    ]


def test_early_outcomes_wait_and_are_given_up() -> None:
    early = EarlyOutcomes(2, DAY)
    early.wait("a", Early(1, 5), 0)
    early.wait("b", Early(0, 5), 10)
    assert early.take("a") == Early(1, 5)
    assert early.take("a") is None
    early.expire(DAY + 11)
    assert (len(early), early.unmatched) == (0, 1)


def test_early_outcomes_have_a_limit() -> None:
    early = EarlyOutcomes(2, DAY)
    for name in "abc":
        early.wait(name, Early(1, 5), 0)
    assert early.take("a") is None
    assert early.unmatched == 1
    for number, time in enumerate((30, 10, 20)):
        early.hold(Held(time, number, "x", 1))
    assert early.unmatched == 2
    reached = [early.reached(100), early.reached(100), early.reached(100)]
    assert [held and held.event_time for held in reached] == [10, 20, None]


def test_held_outcomes_wait_for_their_time() -> None:
    early = EarlyOutcomes(5, DAY)
    early.hold(Held(50, 1, "x", 1))
    assert early.reached(49) is None
    other = EarlyOutcomes(5, DAY)
    other.load(early.save())
    assert other.reached(50) == Held(50, 1, "x", 1)
