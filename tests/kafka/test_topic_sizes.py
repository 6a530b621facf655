"""Messages that are large, or are none: what comes of them on topics, and that the flow goes on."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

import pytest
from confluent_kafka import Producer
from topic_payments import payment, put
from topic_worlds import PATIENCE_S, World, inputs_in, journalled, messages

from headrace.journal.records import Kind

pytestmark = [pytest.mark.recovery, pytest.mark.broker, pytest.mark.slow]

LARGE = b"x" * 760_000


def test_trace_headers_go_on_and_others_by_configuration(world):
    """D-OUT-3."""
    producer = Producer({"bootstrap.servers": world.brokers, "log_level": 0})
    trace = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tenant", b"blue")]
    for value in (payment(1), b"no event"):
        producer.produce(world.source, value, headers=[*trace, ("secret", b"stays")])
    producer.produce(world.source, payment(2))
    assert producer.flush(PATIENCE_S) == 0
    world.run(3, "--set", 'kafka.pass_headers=["traceparent", "tenant"]')
    sent = [*messages(world.brokers, world.to), *messages(world.brokers, world.dead_letters)]
    passed = {
        each.id: [each for each in each.headers if each[0] in ("traceparent", "tenant", "secret")]
        for each in sent
    }
    assert passed == {"fraud:p1": trace, "fraud:p2": [], f"{world.source}/0/1": trace}


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path, partitions=1, shards=1)) as made:
        yield made


def test_a_dead_letter_that_is_too_large_goes_out_cut_and_the_flow_goes_on(world):
    """D-SIZE-1: also when it is owed, by a run that was killed or by one that could not send it."""
    put(world, [payment(1), LARGE, payment(2)])
    running = world.start()
    running.wait_for(lambda: inputs_in(world.state) >= 3, "three inputs")
    running.wait_for(lambda: len(messages(world.brokers, world.to)) >= 2, "decisions")
    assert running.stop() == 0, running.said.read_text()
    [sent] = messages(world.brokers, world.dead_letters)
    letter = json.loads(sent.value)
    assert len(sent.value) <= 1_000_000
    assert (letter["reason"], letter["payload_bytes"]) == ("line_too_long", len(LARGE))
    assert letter["payload_sha256"] == sha256(LARGE).hexdigest()
    assert LARGE.startswith(b64decode(letter["payload_base64"]))
    [kept] = journalled(world.state, Kind.DEAD)
    assert b64decode(json.loads(kept)["payload_base64"]) == LARGE
    # What is sent by a repair is the same.
    world.anew("second")
    running = world.start("--set", "kafka.output_offsets_seconds=3600")
    running.wait_for(lambda: inputs_in(world.state) >= 3, "three inputs")
    running.kill()
    running = world.start()
    running.wait_for(lambda: messages(world.brokers, world.dead_letters), "the dead letter")
    assert [each.value for each in messages(world.brokers, world.dead_letters)] == [sent.value]
    running.kill()


def test_a_topic_that_takes_less_than_the_client_cuts_them_too(world):
    """D-SIZE-1: batches of small messages are as small."""
    small = {"max_message_bytes": "65536", "retention_ms": "-1"}
    world.dead_letters = world.broker.create_topic(f"{world.dead_letters}-small", 1, **small)
    world.to = world.broker.create_topic(f"{world.to}-small", 1, **small)
    put(world, [b"y" * 60_000, *map(payment, range(1500))])
    world.run(1501, "--set", "kafka.linger_ms=50", "--set", "input.batch_lines_max=1500")
    [sent] = messages(world.brokers, world.dead_letters)
    assert json.loads(sent.value)["payload_bytes"] == 60_000
    assert len(sent.value) <= 65_536
    assert len(messages(world.brokers, world.to)) == 1500


def test_what_unpacks_to_hundreds_of_megabytes_is_a_dead_letter(world):
    """D-SIZE-3, D-FORM-1: where the client bounds what it unpacks, and where it doesn't."""
    zeros = bytes(100_000_000)
    packed = {"message.max.bytes": 1_000_000_000, "queue.buffering.max.kbytes": 2_000_000}
    put(world, [payment(1)])
    put(
        world,
        [bytes(5_000_000)] * 30,
        **packed,
        **{"compression.codec": "zstd", "batch.size": 500_000_000, "linger.ms": 1000},
    )
    put(world, [payment(2)])
    put(world, [zeros], **packed, **{"compression.codec": "gzip"})
    put(world, [None, b"\0\0\0\1\5xyz", payment(3)])
    world.run(7)
    letters = [json.loads(each.value) for each in messages(world.brokers, world.dead_letters)]
    assert [(each["reason"], each["offset"]) for each in letters] == [
        *(("unreadable", 30), ("line_too_long", 32), ("registry_framing", 34))
    ]
    assert letters[0]["message"].startswith("offsets 1 to 30 can't be read: Decompression")
    assert (letters[1]["payload_bytes"], letters[1]["payload_sha256"]) == (
        len(zeros),
        sha256(zeros).hexdigest(),
    )
    assert "schema id 261" in letters[2]["message"]
    assert len(messages(world.brokers, world.to)) == 3
    put(world, [payment(4)])
    world.run(8)  # nothing is read a second time
    assert len(messages(world.brokers, world.dead_letters)) == 3
    size = sum(path.stat().st_size for path in world.state.glob("shard-*/journal-*.seg"))
    assert size < 10_000_000


def test_the_end_of_the_run_may_be_asked_for_instead(world):
    """D-SIZE-3."""
    packed = {"message.max.bytes": 1_000_000_000, "queue.buffering.max.kbytes": 2_000_000}
    put(world, [bytes(150_000_000)], **packed, **{"compression.codec": "zstd"})
    running = world.start("--set", 'kafka.unreadable="stop"')
    assert running.process.wait(PATIENCE_S) == 12
    assert 'with kafka.unreadable = "dead_letter" it is passed over' in " ".join(
        running.said.read_text().split()
    )


@pytest.mark.parametrize(
    ("options", "topic_takes", "code", "said"),
    [
        (
            ("--set", "kafka.message_bytes_max=20000"),
            "1048588",
            2,
            "kafka.message_bytes_max: must be at least 24576",
        ),
        ((), "20000", 12, "max.message.bytes is 20000; what this flow sends needs 24576"),
    ],
)
def test_limits_that_a_decision_could_exceed_are_refused(world, options, topic_takes, code, said):
    """D-SIZE-2."""
    world.to = world.broker.create_topic(
        f"{world.to}-{code}", 1, max_message_bytes=topic_takes, retention_ms="-1"
    )
    running = world.start(*options)
    assert running.process.wait(PATIENCE_S) == code
    assert said in " ".join(running.said.read_text().split())
