"""A shard with its journal: what it flags, what it applies again, and how it ends."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from headrace.config.loading import load
from headrace.control.reader import batch_of
from headrace.errors import JournalDamaged, StateMismatch
from headrace.journal import segments
from headrace.journal.batches import Batch, Mark
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.end import journal_end
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, OVERDUE, RETRIED, Kind, Record
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary, segment_path
from headrace.journal.writer import JournalWriter
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events import decode as codec
from headrace.operators.events.declared import BUILT_IN
from headrace.operators.events.decode import decode
from headrace.operators.policy import Policy, list_content
from headrace.shard import checkpoint_header
from headrace.shard.batch_applier import Applied
from headrace.shard.commands import (
    REFUSED,
    KillSwitch,
    ReloadList,
    decode_flagged,
    encode_command,
    retry_of,
)
from headrace.shard.durable import DurableShard

START_MS = 1_700_000_000_000
DEADLINE = ("policy.deadline.wait_ms_max=50", 'policy.deadline.action="review"')


def payment(number: int, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "type": "payment",
        "event_id": f"p{number}",
        "event_time": START_MS + number * 60_000,
        "customer_id": f"c{number % 5}",
        "merchant_id": "m",
        "amount": 10.0,
        "currency": "EUR",
    }
    return json.dumps(fields | changes).encode()


def batch(shard: DurableShard, lines: list[bytes], waited_ms: float = 0.0) -> Batch:
    count = len(lines)
    return Batch(
        accepted_ms=START_MS,
        accepted_ns=time.perf_counter_ns() - int(waited_ms * 1e6),
        ordinal=shard.position,
        payloads=lines,
        sources=[0] * count,
        offsets=[place * 10 for place in range(count)],
        lines=list(range(1, count + 1)),
        marks=(Mark(0, 10 * count, count, 7),),
    )


def process(shard: DurableShard, lines: list[bytes], waited_ms: float = 0.0) -> Applied:
    return shard.process(batch(shard, lines, waited_ms), decode(lines), None)


def control(shard: DurableShard, *commands: Any) -> Applied:
    given = batch_of(
        commands,
        [encode_command(command) for command in commands],
        ordinal=shard.position,
        number=1,
        marks=(Mark(CONTROL_SOURCE, 1, len(commands), 7),),
        sources={"/events": 0},
    )
    return shard.process(given, decode_flagged(given.payloads, given.flags, BUILT_IN, 65_536), None)


def records(directory: Path) -> list[Record]:
    frames = JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames()
    return [record for frame in frames for record in frame.records if record.kind != Kind.CONTROL]


@pytest.fixture
def overdue_seen(monkeypatch) -> list[bool]:
    """Which inputs a shard was told had waited too long."""
    seen: list[bool] = []
    apply = FraudShard.apply

    def noting(self, event, payload, position, *, overdue=False):
        seen.append(overdue)
        return apply(self, event, payload, position, overdue=overdue)

    monkeypatch.setattr(FraudShard, "apply", noting)
    return seen


class TestOverdue:
    def test_what_has_waited_longer_than_the_limit_is_flagged_and_stays_so(self, tmp_path, overdue_seen):
        settings = load(None, DEADLINE)
        shard = DurableShard(tmp_path, settings)
        process(
            shard, [payment(number) for number in range(3)], waited_ms=-1e6
        )  # however slow the machine is
        process(shard, [payment(number) for number in range(3, 6)], waited_ms=60)
        shard.close(with_checkpoint=False)
        assert overdue_seen == [False] * 3 + [True] * 3
        assert [record.flags for record in records(tmp_path)] == [0] * 3 + [OVERDUE] * 3
        overdue_seen.clear()
        # Applied again it is what it was, though nothing has waited, and even without a limit.
        again = DurableShard(tmp_path, load(None))
        assert (again.replayed, overdue_seen) == (6, [False] * 3 + [True] * 3)
        again.close(with_checkpoint=False)

    def test_the_limit_passes_within_a_batch(self, tmp_path, overdue_seen, monkeypatch):
        shard = DurableShard(tmp_path, load(None, DEADLINE))
        lines = [payment(number) for number in range(40)]
        given = batch(shard, lines)
        moments = iter([given.accepted_ns + ms * 1_000_000 for ms in (0, 49, 50, 51, 52, 53, 54)])
        monkeypatch.setattr(time, "perf_counter_ns", lambda: next(moments))
        shard.process(given, decode(lines), None)
        shard.close(with_checkpoint=False)
        assert overdue_seen == [False] * 32 + [True] * 8

    def test_without_a_limit_nothing_is_overdue(self, tmp_path, overdue_seen):
        shard = DurableShard(tmp_path, load(None))
        process(shard, [payment(1)], waited_ms=1e9)
        shard.close(with_checkpoint=False)
        assert overdue_seen == [False]
        assert records(tmp_path)[0].flags == 0


class TestControl:
    def test_a_retry_is_decided_as_of_now_marked_and_kept_under_its_place(self, tmp_path):
        shard = DurableShard(tmp_path, load(None))
        assert len(process(shard, [payment(9, currency="USD")]).dead_letters) == 1
        applied = control(
            shard, retry_of(payment(9), "/events", 70, 8), retry_of(payment(9), "/events", 70, 8)
        )
        [(ordinal, line)] = applied.decisions
        assert (ordinal, applied.dead_letters) == (1, [])
        decision = orjson.loads(line)
        assert (decision["event_id"], decision["retried"], line[-1:]) == ("p9", True, b"\n")
        shard.close(with_checkpoint=False)
        _, first, second = records(tmp_path)
        assert (first.kind, first.flags) == (Kind.DECIDED, RETRIED)
        assert (first.source, first.offset, first.line, first.input) == (0, 70, 8, payment(9))
        assert (first.output, second.kind, second.flags) == (line, Kind.DUPLICATE, RETRIED)
        again = DurableShard(tmp_path, load(None))
        assert again.replayed == 3
        again.close(with_checkpoint=False)

    def test_a_retry_of_an_unknown_source_has_its_place_in_the_channel(self, tmp_path):
        shard = DurableShard(tmp_path, load(None))
        [(_, letter)] = control(shard, retry_of(b"{", "/elsewhere", 70, 8)).dead_letters
        assert orjson.loads(letter)["source"] == "control"
        shard.close(with_checkpoint=False)
        assert records(tmp_path)[0][2:6] == (CONTROL_SOURCE, 0, 1, 1)

    def test_commands_reach_the_policy_and_one_that_it_refuses_is_a_dead_letter(self, tmp_path):
        file = tmp_path / "list.txt"
        file.write_text("c-1\n")
        declared = (
            f'policy.lists.blocked={{ file = "{file}", key = "customer_id", action = "block", code = "x" }}'
        )
        settings = load(None, (declared, "reasons.texts.x='X'"))
        shard = FraudShard(settings)
        policy = shard.policy = Policy(settings)  # type: ignore[attr-defined]
        content = list_content(["c-1", "c-2"])
        reload = ReloadList(name="blocked", entries=content.entries, digest=content.digest)
        for command in (reload, KillSwitch(on=True)):
            assert shard.command(command, b"", (CONTROL_SOURCE, 1, 1))[0] == Kind.APPLIED
        assert policy.kill_switch
        assert policy.digests["blocked"] == content.digest
        wrong = ReloadList(name="other", entries=(), digest=content.digest)
        kind, letter, _ = shard.command(wrong, encode_command(wrong), (CONTROL_SOURCE, 1, 1))
        assert (kind, orjson.loads(letter)["reason"]) == (Kind.DEAD, REFUSED)
        assert "no list other" in orjson.loads(letter)["message"]
        assert policy.digests["blocked"] == content.digest
        assert shard.counts["commands"] == 2

    def test_a_command_is_journalled_in_a_shard_that_has_nothing_of_its_batch(self, tmp_path):
        shard = DurableShard(tmp_path, load(None))
        commands = [retry_of(payment(1), "/events", 0, 1)]
        lines = [encode_command(command) for command in commands]
        mark = Mark(CONTROL_SOURCE, 4, 1, 7)
        given = batch_of(commands, lines, ordinal=0, number=4, marks=(mark,), sources={})
        shard.process(given, decode_flagged(given.payloads, given.flags, BUILT_IN, 65_536), [])
        shard.close(with_checkpoint=False)
        [frame] = [
            frame
            for frame in JournalReader(tmp_path, first_boundary(tmp_path), cut_torn_tail=False).frames()
            if frame.head.marks
        ]
        assert (frame.records, frame.head.marks, shard.position) == ([], (mark,), 1)


class TestEnd:
    def test_a_checkpoint_that_died_with_its_thread_is_written_again(self, tmp_path, monkeypatch):
        shard = DurableShard(tmp_path, load(None))
        process(shard, [payment(1)])
        save, parent = shard.state.save, os.getpid()

        def slowly():
            if slow and os.getpid() != parent:
                os.write(armed, b"x")
                time.sleep(600)
            return save()

        def begin():
            shard.checkpoint()
            os.read(begun, 1)  # by then the kernel knows whose end is the child's end too

        monkeypatch.setattr(shard.state, "save", slowly)
        slow, (begun, armed) = True, os.pipe()
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        slow = False
        shard.close()
        assert [finished.ok for finished in shard.checkpoints] == [False, True]
        assert checkpoint_numbers(tmp_path) == [3]
        os.close(begun)
        os.close(armed)

    def test_a_journal_is_closed_when_the_shard_can_not_be_opened(self, tmp_path, monkeypatch):
        def refused(*_args: Any, **_named: Any) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(JournalWriter, "append", refused)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="No space"):
            DurableShard(tmp_path, load(None))
        assert len(os.listdir("/proc/self/fd")) == before


class TestJournalEnd:
    """Read while another process writes on: what goes away in between is no damage, what was missing is."""

    @pytest.fixture
    def directory(self, tmp_path):
        with closing(DurableShard(tmp_path, load(None))) as shard:
            for number in range(4):
                process(shard, [payment(number)])
                shard.checkpoint()
                shard.wait_for_checkpoint()
        return tmp_path

    def test_old_segments_are_deleted_while_it_is_read(self, directory, monkeypatch):
        end = journal_end(directory, 0, cut_torn_tail=False)
        start_of, asked = segments.start_of, []

        def late(folder: Path, segment: int) -> Any:
            asked.append(segment)
            for number in range(1, end.boundary.segment):
                segment_path(folder, number).unlink(missing_ok=True)
            return start_of(folder, segment)

        monkeypatch.setattr(segments, "start_of", late)
        assert journal_end(directory, 0, cut_torn_tail=False) == end
        assert asked == [1, end.boundary.segment]

    def test_what_was_missing_before_is_told(self, directory):
        segment_path(directory, 2).unlink()
        with pytest.raises(JournalDamaged, match=r"journal-00000002\.seg: .* missing"):
            journal_end(directory, 0, cut_torn_tail=False)


def test_a_checkpoint_of_another_state_version_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_header, "STATE_VERSION", 1)
    shard = DurableShard(tmp_path, load(None))
    process(shard, [payment(1)])
    shard.close()
    monkeypatch.undo()
    with pytest.raises(StateMismatch, match=r"has state version 1, as Headrace .* wrote it; .* version 2"):
        DurableShard(tmp_path, load(None))


def test_the_id_of_a_topic_is_learned_by_a_state_that_has_none_and_noted_once(tmp_path):
    shard = DurableShard(tmp_path, load(None))
    shard.register(0, "kafka:events/0")
    shard.close()
    assert journal_end(tmp_path, 0, cut_torn_tail=False).topic_ids == {}
    for _ in range(3):
        shard = DurableShard(tmp_path, load(None))
        shard.register(0, "kafka:events/0", "id-1")
        shard.register(0, "kafka:events/0")
        shard.checkpoint()
        shard.close()
    end = journal_end(tmp_path, 0, cut_torn_tail=False)
    assert (end.names, end.topic_ids) == ({0: "kafka:events/0"}, {0: "id-1"})
    notes = [note for note in notes_of(tmp_path, first_boundary(tmp_path)) if note["control"] == "source"]
    assert [note.get("topic_id") for note in notes] == [None, "id-1"]
    for checkpoint in tmp_path.glob("*.ckpt"):
        checkpoint.unlink()
    assert journal_end(tmp_path, 0, cut_torn_tail=False) == end


def test_items_of_any_time_that_were_journalled_are_applied_again_as_then(tmp_path, monkeypatch):
    """Earlier versions took what a catalogue event says of its publication in any year."""
    settings = load(None, ("journal.checkpoint_seconds=3600",), flow="recommend")

    def item(number: int, published: object, price: float = 1.0) -> bytes:
        fields = {"type": "item", "event_id": f"i{number}", "event_time": START_MS + number, "item_id": "i"}
        return json.dumps(fields | {"published_at": published, "price": price}).encode()

    early = [
        item(1, 0),
        item(1, 0),
        item(1, 0, 2.0),
        item(2, "1970-01-01T00:00:00Z"),
        item(3, 1e30),
        item(4, 2**70),
    ]
    shard = DurableShard(tmp_path, settings)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "EVENT_TIME_MS_MIN", -1)
        process(shard, early)
    process(shard, early)
    shard.close(with_checkpoint=False)
    kinds = [record.kind for record in records(tmp_path)]
    taken = [Kind.APPLIED, Kind.DUPLICATE, Kind.DEAD, Kind.APPLIED, Kind.DEAD, Kind.DEAD]
    assert kinds == [*taken, *[Kind.DEAD] * 6]
    again = DurableShard(tmp_path, settings)
    assert again.replayed == 12
    again.close(with_checkpoint=False)
