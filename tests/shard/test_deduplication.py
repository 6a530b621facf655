"""The memory of event ids."""

from headrace.shard.deduplication import IdMemory, Known

MINUTE = 60_000


def test_tells_new_duplicate_and_conflict() -> None:
    memory = IdMemory(10, 10 * MINUTE)
    assert memory.known("a", 7) is Known.NEW
    memory.add("a", 7, 0)
    assert memory.known("a", 7) is Known.DUPLICATE
    assert memory.known("a", 8) is Known.CONFLICT


def test_forgets_by_age() -> None:
    memory = IdMemory(10, 10 * MINUTE)
    memory.add("a", 1, 0)
    memory.add("b", 1, 10 * MINUTE)
    assert memory.known("a", 1) is Known.DUPLICATE
    memory.add("c", 1, 11 * MINUTE)
    assert memory.known("a", 1) is Known.NEW
    assert memory.dropped_by_limit == 0


def test_forgets_the_oldest_at_the_limit_and_counts_it() -> None:
    memory = IdMemory(3, 10 * MINUTE)
    for number in range(5):
        memory.add(str(number), 1, 0)
    assert list(memory.ids) == ["2", "3", "4"]
    assert memory.dropped_by_limit == 2


def test_saved_and_loaded_drops_in_the_same_order() -> None:
    memory, other = IdMemory(3, 10 * MINUTE), IdMemory(3, 10 * MINUTE)
    for number in range(4):
        memory.add(str(number), number, 0)
    other.load(memory.save())
    for each in (memory, other):
        each.add("x", 5, 0)
    assert list(memory.ids) == list(other.ids) == ["2", "3", "x"]
    assert other.known("3", 3) is Known.DUPLICATE
