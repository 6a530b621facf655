"""Where a partition ends: what of its past is still to be read, and since when a message can be in it."""

from __future__ import annotations

from headrace.kafka.ends import PartitionEnd, PartitionFigures


class Partition:
    """One that is looked at each second; its broker answers unless told otherwise."""

    def __init__(self, readable: int = 0) -> None:
        self.end = PartitionEnd(readable)
        self.answers, self.now_s = 0, 1000

    def look(
        self, stable: int, position: int, *, high: int | None = None, queued: int = 0, answers=10, seconds=1
    ):
        self.now_s += seconds
        self.answers += answers
        figures = PartitionFigures(
            fetchq_cnt=queued,
            next_offset=position + queued,
            hi_offset=stable if high is None else high,
            ls_offset=stable,
        )
        self.end.look(figures, self.answers, self.now_s * 1000, position)


def test_what_could_be_read_at_the_start_is_the_past():
    """D-ORDER-1."""
    end = PartitionEnd(10)
    assert [end.behind(position) for position in (0, 9, 10)] == [True, True, False]
    end.reached()
    assert not end.behind(0)


def test_an_open_transaction_leaves_nothing_behind():
    """D-ORDER-4: what it holds back isn't readable yet, however much that is."""
    partition = Partition()
    for second in range(5):
        partition.look(stable=100, position=100, high=200 + second)
        assert not partition.end.behind(100)


def test_what_is_unread_from_one_look_to_the_next_is_a_past_again():
    """D-ORDER-1: also within a run, when it or the brokers were stalled."""
    partition = Partition()
    partition.look(stable=100, position=100)
    partition.look(stable=900, position=100)
    assert not partition.end.behind(100)  # it has just come
    partition.look(stable=1000, position=300)
    assert partition.end.behind(999)
    partition.look(stable=1010, position=1005)
    assert not partition.end.behind(1010)


def test_a_message_was_not_appended_before_the_end_was_seen_in_front_of_it():
    partition = Partition()
    assert partition.end.appended_after_ms(5) == 0
    partition.look(stable=5, position=5)
    partition.look(stable=8, position=8)
    partition.look(stable=8, position=8)
    assert [partition.end.appended_after_ms(offset) for offset in (4, 5, 7, 8, 99)] == [
        *(0, 1_001_000, 1_001_000, 1_003_000, 1_003_000)
    ]


def test_with_messages_on_their_way_nothing_is_said_of_when_others_were_appended():
    partition = Partition()
    partition.look(stable=5, position=2, queued=3)
    partition.look(stable=50, position=40)
    assert partition.end.appended_after_ms(50) == 0


def test_what_waited_in_its_producer_for_a_silent_broker_may_be_old():
    partition = Partition()
    partition.look(stable=5, position=5)
    for _ in range(100):
        partition.look(stable=5, position=5, answers=0)
    assert partition.end.appended_after_ms(5) == 1_001_000
    for _ in range(30):
        partition.look(stable=5, position=5)
        assert partition.end.appended_after_ms(5) == 1_001_000
    partition.look(stable=5, position=5)
    assert partition.end.appended_after_ms(5) == 1_132_000


def test_of_a_partition_that_is_paused_nothing_is_known():
    """Its end moves on meanwhile, and the client doesn't see it."""
    partition = Partition()
    partition.look(stable=5, position=5)
    for _ in range(3):
        partition.end.not_asked()
        partition.look(stable=5, position=5)
    partition.look(stable=5, position=5)
    assert partition.end.appended_after_ms(5) == 1_001_000
    partition.look(stable=9, position=9)
    assert (partition.end.appended_after_ms(5), partition.end.appended_after_ms(9)) == (1_001_000, 1_006_000)


def test_figures_that_are_not_known_yet_say_nothing():
    partition = Partition(readable=10)
    partition.look(stable=-1001, position=0)
    assert partition.end.behind(9)
    assert partition.end.appended_after_ms(99) == 0
