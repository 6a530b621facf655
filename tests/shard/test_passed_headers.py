"""Headers that go on: which, how a journal keeps them, and that what is sent again has them."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config.loading import load
from headrace.errors import ConfigError
from headrace.journal.batches import Batch, Mark
from headrace.journal.erased_records import erase_records
from headrace.journal.passed_headers import DetailWithHeaders, chosen, with_headers
from headrace.journal.reader import JournalReader
from headrace.journal.records import HEADERS
from headrace.journal.scan import records_from
from headrace.journal.segments import first_boundary, segment_path
from headrace.journal.verify import verify
from headrace.kafka.partition_merge import PartitionMerge
from headrace.kinds.fraud.messages import payment_message
from headrace.operators.events.decode import decode
from headrace.shard.durable import DurableShard
from headrace.shard.outgoing import outgoing_of
from headrace.shard.topic_shard import TopicShard

SETTINGS = load(None, ())
TRACE = [("traceparent", b"00-ab-cd-01"), ("tracestate", None)]


def payment(number: int) -> bytes:
    fields = {"type": "payment", "event_id": f"p{number}", "event_time": 1_700_000_000_000 + number * 1000}
    more = {"customer_id": f"c{number % 5}", "merchant_id": "m", "amount": 10.0, "currency": "EUR"}
    return json.dumps(fields | more).encode()


def batch(payloads: list[bytes], headers) -> Batch:
    count = len(payloads)
    return Batch(
        accepted_ms=0,
        accepted_ns=time.perf_counter_ns(),
        ordinal=0,
        payloads=payloads,
        sources=[0] * count,
        offsets=list(range(count)),
        lines=[0] * count,
        marks=(Mark(0, count, 0, 0),),
        headers=headers,
    )


def test_wanted_ones_go_on_in_their_order_up_to_the_limits():
    headers = [("a", b"1"), ("b", b"22"), ("x", b"no"), ("a", None), ("a", b"4444")]
    assert chosen(headers, frozenset("ab"), 16, 100) == (
        [("a", b"1"), ("b", b"22"), ("a", None), ("a", b"4444")],
        0,
    )
    assert chosen(headers, frozenset("ab"), 2, 100) == ([("a", b"1"), ("b", b"22")], 2)
    assert chosen(headers, frozenset("ab"), 16, 6) == ([("a", b"1"), ("b", b"22"), ("a", None)], 1)


@given(st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
def test_a_detail_and_its_headers_are_told_apart(detail, headers):
    kept = with_headers(detail, headers)
    found = DetailWithHeaders.from_journal(kept)
    assert (found, found.headers, found.kept_bytes) == (detail, headers, len(kept))


def test_what_is_sent_again_has_the_headers_too(tmp_path):
    """D-OUT-3: the journal keeps those of what goes out, and of nothing else."""
    shard = DurableShard(tmp_path, SETTINGS)
    shard.register(0, "kafka:in/0")
    payloads = [payment(1), b"{", payment(1), payment(2)]
    headers = {place: [*TRACE, ("n", b"%d" % place)] for place in range(3)}
    part = TopicShard(shard)
    taken = part.process(batch(payloads, headers), decode(payloads), None)
    shard.close(with_checkpoint=False)
    assert [each.headers for each in taken.decisions] == [headers[0], []]
    assert [each.headers for each in taken.dead_letters] == [headers[1]]
    records = list(records_from(tmp_path, 0))
    assert [bool(record.flags & HEADERS) for record in records] == [True, True, False, False]
    again = [message for _, _, message in outgoing_of(records, 0, {0: "kafka:in/0"}, payment_message, 65_536)]
    assert again == [taken.decisions[0], taken.dead_letters[0], taken.decisions[1]]
    with closing(DurableShard(tmp_path, SETTINGS)) as opened:
        assert opened.replayed == 4


def test_a_shard_that_gets_some_lines_gets_their_headers(tmp_path):
    with closing(DurableShard(tmp_path, SETTINGS)) as shard:
        payloads = [payment(1), payment(2), payment(3)]
        taken = TopicShard(shard).process(batch(payloads, {2: TRACE}), decode(payloads), [0, 2])
        assert [each.headers for each in taken.decisions] == [[], TRACE]


def test_headers_are_erased_with_their_record(tmp_path):
    """D-OUT-3."""
    shard = DurableShard(tmp_path, SETTINGS)
    payloads = [payment(1), payment(2)]
    shard.process(batch(payloads, {0: TRACE, 1: TRACE}), decode(payloads), None)
    shard.close(with_checkpoint=False)
    frames = JournalReader(tmp_path, first_boundary(tmp_path), cut_torn_tail=False).frames()
    frame = next(each for each in frames if len(each.records) == 2)
    path = segment_path(tmp_path, frame.head.segment)
    written, here = path.read_bytes(), slice(frame.head.position, frame.head.position_next)
    path.write_bytes(written[: here.start] + erase_records(frame, written[here], {0}) + written[here.stop :])
    assert verify(tmp_path).erased == 1
    first, second = records_from(tmp_path, 0)
    assert (first.headers, second.headers) == ([], TRACE)
    assert b"traceparent" not in first.detail


def test_headers_stay_with_their_message_through_the_merge():
    merge = PartitionMerge(
        [0, 1],
        batch_messages_max=2,
        buffer_messages_max=10,
        wait_ms_max=0,
        future_skew_ms_max=1000,
        agree_messages=3,
    )
    merge.extend(0, [payment(5), payment(7)], [10, 11], headers={11: TRACE})
    merge.extend(1, [payment(6)], [3], headers={3: [("k", b"v")]})
    first, second = merge.next_batch(lambda _: False), merge.next_batch(lambda _: False)
    assert (first.headers, second.headers) == ({1: [("k", b"v")]}, {0: TRACE})
    merge.extend(0, [payment(8)], [12])
    assert merge.next_batch(lambda _: False).headers is None


def test_headers_that_are_written_anew_are_refused():
    with pytest.raises(ConfigError, match=r"kafka.pass_headers.*'ce_id' is a header that is written anew"):
        load(None, ('kafka.pass_headers=["ce_id"]',))
