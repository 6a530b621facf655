"""A contract that changes under a running state: what came before is known, and own types are remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import lay_over, load
from headrace.config.recommend_flow import RecommendSettings
from headrace.errors import StateError
from headrace.journal.batches import Batch
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary
from headrace.operators.events import decode, refusals
from headrace.operators.events.decode import Undecodable
from headrace.shard.deduplication import VERSIONS_MAX, IdMemory, Known
from headrace.shard.durable import DurableShard
from headrace.shard.id_versions import IdVersions

CLICKS = load(None, flow="recommend")
PLAIN = load(None)
FIELD = ['events.payment.fields.bin={type="text", pattern="[0-9]{6}"}']
OTHER = ['events.payment.fields.bin={type="text", path="card.bin"}']
SCANS = ['events.scan.fields.order_id={type="id", required=true}']
START_MS = 1_700_000_000_000
Settings = FraudSettings | RecommendSettings


def with_events(*overrides: str, base: Settings = PLAIN) -> Settings:
    return lay_over(base, overrides, "test")


def payment(number: int, **fields: object) -> bytes:
    said = {
        "type": "payment",
        "event_id": f"p{number}",
        "event_time": START_MS + number * 60_000,
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": 5.0,
        "currency": "EUR",
    }
    return json.dumps(said | fields).encode()


def scan(number: int, **fields: object) -> bytes:
    said = {"type": "scan", "event_id": f"s{number}", "event_time": START_MS + number * 60_000}
    return json.dumps(said | {"order_id": "o1"} | fields).encode()


class Shard:
    """A shard of a state on the disk, which is opened anew for each batch."""

    def __init__(self, directory: Path, *, checkpoint: bool) -> None:
        self.directory, self.checkpoint = directory, checkpoint
        self.line = 0

    def take(self, settings: Settings, *lines: bytes) -> list[tuple[str, str | None]]:
        """Kinds of records that became of lines, and reasons of dead letters."""
        shard = DurableShard(self.directory, settings)
        shard.register(0, "stream.jsonl")
        numbers = list(range(self.line + 1, self.line + 1 + len(lines)))
        batch = Batch(0, 0, self.line, list(lines), [0] * len(lines), [0] * len(lines), numbers, ())
        shard.process(batch, shard.state.contract.decode(lines), None)
        self.line += len(lines)
        shard.close(with_checkpoint=self.checkpoint)
        return self.kinds()[-len(lines) :]

    def letters(self) -> list[bytes]:
        """Lines of dead letters, as they are recorded."""
        reader = JournalReader(self.directory, first_boundary(self.directory), cut_torn_tail=False)
        records = [record for frame in reader.frames() for record in frame.records]
        return [record.output for record in records if record.kind == Kind.DEAD]

    def kinds(self) -> list[tuple[str, str | None]]:
        reader = JournalReader(self.directory, first_boundary(self.directory), cut_torn_tail=False)
        records = [record for frame in reader.frames() for record in frame.records]
        return [
            (
                Kind(each.kind).name.lower(),
                json.loads(each.output)["reason"] if each.kind == Kind.DEAD else None,
            )
            for each in records
            if each.kind != Kind.CONTROL
        ]


@pytest.fixture(params=[True, False], ids=["checkpoint", "journal"])
def shard(tmp_path, request):
    return Shard(tmp_path, checkpoint=request.param)


DUPLICATE, CONFLICT = ("duplicate", None), ("dead", "id_conflict")


def test_a_resend_after_a_field_was_declared_is_a_duplicate(shard):
    """C-CHG-1, C-CHG-2."""
    first = payment(1, bin="123456"), payment(2, bin="654321"), payment(3)
    assert shard.take(PLAIN, *first) == [("decided", None)] * 3
    assert shard.take(with_events(*FIELD), *first) == [DUPLICATE] * 3
    # Declared since, but nothing of it was known when it came first.
    assert shard.take(with_events(*FIELD), payment(1, bin="999999")) == [DUPLICATE]
    assert shard.take(with_events(*FIELD), payment(2, amount=6.0)) == [CONFLICT]
    assert shard.take(with_events(*FIELD), payment(4, bin="123456")) == [("decided", None)]
    assert shard.take(with_events(*FIELD), payment(4, bin="999999"), payment(4)) == [CONFLICT] * 2


def test_a_resend_after_a_field_was_taken_out_or_moved_is_a_duplicate(shard):
    line = payment(1, bin="123456", card={"bin": "777777"})
    assert shard.take(with_events(*FIELD), line) == [("decided", None)]
    assert shard.take(PLAIN, line, payment(1, bin="999999")) == [DUPLICATE, CONFLICT]
    assert shard.take(with_events(*OTHER), line, payment(1, bin="12")) == [DUPLICATE, CONFLICT]
    assert shard.take(with_events(*OTHER), payment(2, card={"bin": "x"})) == [("decided", None)]
    assert shard.take(with_events(*FIELD), line, payment(2, card={"bin": "x"})) == [DUPLICATE] * 2
    assert shard.take(with_events(*FIELD), payment(2, card={"bin": "y"})) == [CONFLICT]


@pytest.mark.parametrize("base", [PLAIN, CLICKS], ids=["fraud", "recommend"])
def test_own_types_are_decoded_and_remembered(shard, base):
    own = with_events(*SCANS, base=base)
    assert shard.take(own, scan(1), scan(1, note=1), scan(1, order_id="o2")) == [
        ("applied", None),
        DUPLICATE,
        CONFLICT,
    ]
    wrong = scan(2, order_id=None), scan(3).replace(b"order_id", b"order-id"), scan(4, type="scna")
    assert shard.take(own, *wrong) == [
        ("dead", "invalid_field"),
        ("dead", "missing_field"),
        ("dead", "unknown_type"),
    ]


def test_ids_of_a_type_that_was_taken_out_for_a_while_are_still_known(shard):
    """C-CHG-3."""
    own = with_events(*SCANS)
    assert shard.take(own, scan(1)) == [("applied", None)]
    assert shard.take(PLAIN, scan(1), payment(1)) == [("dead", "unknown_type"), ("decided", None)]
    assert shard.take(own, scan(1)) == [DUPLICATE]


def test_ids_of_a_type_that_is_no_longer_declared_go_in_the_end(tmp_path):
    shard = Shard(tmp_path, checkpoint=True)
    shard.take(with_events(*SCANS), scan(1), payment(1))
    days = 10 * 24 * 60
    shard.take(
        with_events("ids.memory_days_max=9"),
        *(payment(days + number, customer_id=f"c{number}") for number in range(2, 12)),
    )
    opened = DurableShard(tmp_path, with_events("ids.memory_days_max=8"))
    assert "scan" not in opened.state.ids
    opened.close(with_checkpoint=False)


def test_own_fields_do_not_change_what_fraud_decides(tmp_path):
    lines = [payment(number, amount=5.0 + number % 7 * 100, bin="123456") for number in range(60)]
    outputs = []
    for name, settings in (("plain", PLAIN), ("own", with_events(*FIELD, *SCANS))):
        shard = DurableShard(tmp_path / name, settings)
        shard.register(0, "stream.jsonl")
        batch = Batch(0, 0, 0, lines, [0] * 60, [0] * 60, list(range(1, 61)), ())
        outputs.append(shard.process(batch, shard.state.contract.decode(lines), None).decisions)
        shard.close(with_checkpoint=True)
    assert outputs[0] == outputs[1]


def test_payments_ahead_of_the_clock_are_kept_over_a_change_of_the_contract(shard):
    ahead = [
        payment(number, event_time=START_MS + 5 * 86_400_000, customer_id=f"c{number}", bin="1" * 6)
        for number in (70, 71)
    ]
    first = [payment(number, customer_id=f"c{number}") for number in range(20)]
    shard.take(PLAIN, *first)
    shard.take(with_events(*FIELD), *ahead)
    for settings in (with_events(*OTHER), PLAIN, with_events(*FIELD)):
        opened = DurableShard(shard.directory, settings)
        state: Any = opened.state
        assert [each.event_id for each in state._unmoved] == ["p70", "p71"]
        assert {each.__class__ for each in state._unmoved} == {opened.state.contract.types["payment"].cls}
        opened.close(with_checkpoint=shard.checkpoint)


def test_a_letter_may_be_put_in_other_words(tmp_path, monkeypatch):
    shard = Shard(tmp_path, checkpoint=False)
    own = with_events(*SCANS)
    assert shard.take(own, payment(1), scan(1, type="scna")) == [("decided", None), ("dead", "unknown_type")]
    monkeypatch.setattr(refusals, "_meant", lambda _given, _known: "; in other words")
    assert shard.take(own, scan(1, type="scna")) == [("dead", "unknown_type")]
    assert [b"in other words" in letter for letter in shard.letters()] == [False, True]
    # Another reason is another result, and no matter of words.
    wrong = Undecodable("invalid_field", "wrong", "type")
    monkeypatch.setattr(decode, "_invalid", lambda _message: wrong)
    with pytest.raises(StateError, match="gives another result than the recorded one"):
        shard.take(own, payment(2))


# -- numbers of versions


def test_versions_that_no_id_has_any_more_give_their_numbers_back():
    versions, memory = IdVersions(), IdMemory(1000, 10_000_000)
    for turn in range(100):
        memory.version = versions.number(f'{{"fields":{{"f{turn}":{{"type":"id"}}}}}}', memory)
        assert 0 < memory.version < VERSIONS_MAX - 1
    assert versions.number("", memory) == 0


def test_ids_of_the_oldest_version_are_duplicates_once_there_are_too_many():
    """C-CHG-2."""
    versions, memory = IdVersions(), IdMemory(1000, 10_000_000)
    for turn in range(VERSIONS_MAX + 3):
        memory.version = versions.number(f'{{"fields":{{"f{turn}":{{"type":"id"}}}}}}', memory)
        memory.add(f"p{turn}", turn, 60_000)
    assert [memory.known(f"p{turn}", turn) for turn in range(VERSIONS_MAX + 3)] == [Known.DUPLICATE] * 35
    gone = [versions.same(memory, f"p{turn}", payment(turn), "payment") for turn in range(VERSIONS_MAX + 3)]
    assert gone == [True] * 5 + [False] * (VERSIONS_MAX - 2)
    again = IdVersions()
    again.load(json.loads(json.dumps(versions.save())))
    assert again.save() == versions.save()


def test_a_version_is_kept_with_its_id():
    memory, again = IdMemory(3, 600_000), IdMemory(3, 600_000)
    memory.add("a", 7, 4_102_444_799_999)
    memory.version = VERSIONS_MAX - 1
    memory.add("b", 0xFFFFFFFF, 4_102_444_799_999)
    again.load(memory.save())
    assert [again.version_of("a"), again.version_of("b")] == [0, 31]
    assert again.known("b", 0xFFFFFFFF) is Known.DUPLICATE
    again.give_version(31, 5)
    assert again.versions() == {0, 5}
    assert not again.outlived(4_102_444_799_999 + 600_000)
    assert again.outlived(4_102_444_799_999 + 660_000)
