"""Every decision is derived from the journal once more, and compared byte for byte."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ledgers import flip
from replayed_states import LINES, SMALL, THRESHOLDS, State, erased_at, made, retire, run, world
from worlds import START_MS, payment, stream

from headrace.config.loading import load
from headrace.control.dead_letters import letters_in_state, portions
from headrace.control.inbox import control_folder, limits_of, put
from headrace.journal.batches import Batch
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.frames import GENESIS
from headrace.journal.records import OVERDUE, Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path
from headrace.journal.writer import JournalWriter
from headrace.operators.events.decode import decode
from headrace.replay import verify as replay_verify
from headrace.replay.past import Past
from headrace.shard.commands import KillSwitch
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.integration


@pytest.fixture
def verified(replay) -> Callable[..., dict]:
    """What verifying says of the only shard; it must end with a code."""

    def call(state: State, *arguments, code: int = 0) -> dict:
        ended = replay(state, "--verify", "--json", *arguments)
        assert ended.code == code, ended.err
        (shard,) = json.loads(ended.out)["shards"]
        return shard

    return call


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_state_verifies_and_nothing_of_it_is_touched(plain, replay):
    before = contents(plain.path)
    with (plain.path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = replay(plain, "--verify")
    assert ended.code == 0, ended.err
    decisions = len(plain.decisions)
    assert "shard-00: the same" in ended.out
    assert f"{LINES:,} inputs applied again, {decisions:,} decisions compared, 0 differences" in ended.out
    assert contents(plain.path) == before
    assert {decision["action"] for decision in plain.decisions} == {"approve", "review", "block"}


def test_each_shard_is_verified(shards, replay):
    said = json.loads(replay(shards, "--verify", "--json").out)
    assert said["same"] is True
    assert [shard["shard"] for shard in said["shards"]] == ["shard-00", "shard-01", "shard-02"]
    assert sum(shard["decisions"] for shard in said["shards"]) == len(shards.decisions)


def rewritten(state: State, change: Callable) -> None:
    """Write the journal anew with changed records, its chain whole."""
    frames = state.frames()
    shutil.rmtree(state.shard)
    state.shard.mkdir()
    writer = JournalWriter(state.shard, GENESIS, segment_bytes_max=1 << 30, fsync=False)
    for frame in frames:
        writer.append(
            [change(record) for record in frame.records],
            ordinal_first=frame.head.ordinal_first,
            ordinal_next=frame.head.ordinal_next,
            accepted_ms=frame.head.accepted_ms,
            marks=frame.head.marks,
        )
    writer.close()


def test_a_flipped_decision_is_found_though_the_chain_is_whole(plain, copied, replay, verified):
    state = copied(plain)
    blocked = next(each for each in plain.decisions if each["action"] == "block")
    token = f'"{blocked["event_id"]}"'.encode()

    def flipped(record):
        if record.kind == Kind.DECIDED and token in record.output:
            return record._replace(output=record.output.replace(b'"block"', b'"approve"'))
        return record

    rewritten(state, flipped)
    found = verified(state, code=10)
    assert (found["differences"], found["same"]) == (1, False)
    first = found["first"]
    assert first["decision_id"] == blocked["decision_id"]
    assert first["unlike"] == [{"what": "line", "recorded": 'action "approve"', "derived": 'action "block"'}]
    (frame,) = (each for each in state.frames() if each.head.position == first["byte"])
    assert token in frame.records[first["record"]].output
    assert first["file"] == str(segment_path(state.shard, 1))
    ended = replay(state, "--verify")
    assert ended.code == 10
    assert f"byte {first['byte']}, record {first['record']}: {blocked['decision_id']}" in ended.err
    assert "shard-00: DIFFERENT" in ended.out


def test_a_changed_detail_is_found(plain, copied, verified):
    state = copied(plain)
    place = next(frame for frame in state.frames() if any(r.kind == Kind.DECIDED for r in frame.records))
    ordinal = next(record.ordinal for record in place.records if record.kind == Kind.DECIDED)

    def changed(record):
        return (
            record._replace(detail=b"\xff" + record.detail[1:])
            if record.ordinal == ordinal and record.detail
            else record
        )

    rewritten(state, changed)
    found = verified(state, code=10)
    assert [each["what"] for each in found["first"]["unlike"]] == ["detail"]
    assert found["first"]["ordinal"] == ordinal


def test_a_decision_on_an_input_that_leads_to_a_dead_letter_is_found(plain, copied, verified):
    state = copied(plain)
    ordinal = next(r.ordinal for f in state.frames() for r in f.records if r.kind == Kind.DECIDED)

    def changed(record):
        found = record.kind == Kind.DECIDED and record.ordinal == ordinal
        return record._replace(input=b"{}") if found else record

    rewritten(state, changed)
    found = verified(state, code=10)
    unlike = found["first"]["unlike"]
    assert unlike[0] == {"what": "kind", "recorded": "decided", "derived": "dead"}
    assert found["first"]["decision_id"] == plain.decisions[0]["decision_id"]


def test_a_broken_byte_is_damage(plain, copied, verified):
    state = copied(plain)
    frame = state.frames()[-3]
    flip(segment_path(state.shard, frame.head.segment), frame.head.position + 400)
    found = verified(state, code=6)
    assert f"byte {frame.head.position}" in found["damage"]
    assert found["inputs"] > 0


def test_a_torn_tail_is_told_and_left_as_it_is(plain, copied, verified):
    state = copied(plain)
    last = segment_path(state.shard, segment_numbers(state.shard)[-1])
    with last.open("ab") as file:
        file.write(b"HRF\x02")
    before = contents(state.path)
    found = verified(state)
    assert "4 bytes of an interrupted write" in found["torn"]
    assert found["inputs"] == LINES
    assert contents(state.path) == before


def test_configurations_hold_from_where_they_are_recorded(tmp_path, verified):
    lines = world()
    state = made(tmp_path, lines[:800], *THRESHOLDS)
    state.source.write_bytes(b"".join(line + b"\n" for line in lines))
    where = ["--from", state.source, "--to", state.to, "--state", state.path, *SMALL]
    run(*where, "--set", "policy.review_at=0.002", "--no-learn")
    assert verified(state)["inputs"] == len(lines)
    notes = [r for frame in state.frames() for r in frame.records if r.kind == Kind.CONTROL]
    assert sum(b'"config"' in record.input for record in notes) == 2


def test_commands_and_retried_letters_are_applied_as_such(tmp_path, verified, compared):
    lines = [*stream(20), *(payment(number, note="x" * 300) for number in range(30, 36))]
    state = made(tmp_path, lines, "--set", "input.line_bytes_max=256")
    letters = [each for each in letters_in_state(state.path) if each.letter.reason == "line_too_long"]
    for commands in ([KillSwitch(on=True)], *portions(letters, None, 4000), [KillSwitch(on=False)]):
        put(control_folder(state.path), commands, limits_of(load(None)), lambda: 0)
    state.source.write_bytes(b"".join(line + b"\n" for line in [*lines, *stream(10, first=50)]))
    run("--from", state.source, "--to", state.to, "--state", state.path, *SMALL)
    assert sum(bool(each.get("retried")) for each in state.decisions) == 6
    assert sum(each.get("policy") == "kill_switch" for each in state.decisions) == 6
    assert verified(state)["decisions"] == len(state.decisions)
    # With the higher limit from the start, these six are decided where they first came.
    said = compared(state, "--set", "policy.block_at=0.9")
    assert said["payments"] == len(state.decisions)
    assert said["commands"] == {"commands": 2, "commands_refused": 0, "lists_left_out": 0}
    assert said["not_comparable"]["new_only"] == 0
    assert said["not_comparable"]["old_only"] == {}


def test_what_was_overdue_is_so_again(tmp_path, verified):
    settings = load(None, ["policy.deadline.wait_ms_max=50", 'policy.deadline.action="review"'])
    shard = DurableShard(tmp_path / "state" / "shard-00", settings)
    for number in range(4):
        lines = [payment(4 * number + place) for place in range(4)]
        waited_ms = 500 if number % 2 else 0
        batch = Batch(
            accepted_ms=START_MS,
            accepted_ns=time.perf_counter_ns() - waited_ms * 1_000_000,
            ordinal=shard.position,
            payloads=lines,
            sources=[0] * 4,
            offsets=[0] * 4,
            lines=[1] * 4,
            marks=(),
        )
        shard.process(batch, decode(lines), None)
    shard.close()
    state = State(tmp_path / "state", tmp_path, tmp_path)
    flags = [
        record.flags for frame in state.frames() for record in frame.records if record.kind != Kind.CONTROL
    ]
    assert flags.count(OVERDUE) >= 8
    assert verified(state)["decisions"] == 16


def test_another_kernel_is_refused_by_name(plain, replay, monkeypatch):
    monkeypatch.setattr(replay_verify, "numeric_platform", lambda: "3.99.0 vax 1.0")
    ended = replay(plain, "--verify")
    assert ended.code == 7
    assert "was computed with 3.1" in ended.err
    assert "this is 3.99.0 vax 1.0" in ended.err
    assert replay(plain, "--verify", "--other-platform").code == 0


def test_another_kernel_is_known_where_the_beginning_is_gone(segments, copied, replay, monkeypatch):
    state = copied(segments)
    retire(state, 2)
    monkeypatch.setattr(replay_verify, "numeric_platform", lambda: "3.99.0 vax 1.0")
    assert replay(state, "--verify").code == 7


def test_a_new_kernel_is_journalled_when_a_run_goes_on_with_it(plain, copied, monkeypatch):
    state = copied(plain)
    from headrace.journal import provenance

    monkeypatch.setattr(provenance, "numeric_platform", lambda: "3.99.0 vax 1.0")
    settings = Past([state.shard]).configurations[-1].settings
    DurableShard(state.shard, settings).close()
    assert [each.platform for each in Past([state.shard]).configurations][-1] == "3.99.0 vax 1.0"
    assert len(Past([state.shard]).configurations) == 2
    DurableShard(state.shard, settings).close()
    assert len(Past([state.shard]).configurations) == 2


def test_where_the_beginning_is_gone_the_oldest_checkpoint_begins(segments, copied, verified):
    state = copied(segments)
    oldest = checkpoint_numbers(state.shard)[1]  # newest first
    retire(state, oldest - 1)
    found = verified(state)
    assert found["begins"] == checkpoint_path(state.shard, oldest).name
    assert 0 < found["ordinal_first"] == LINES - found["inputs"]
    assert found["gone"] == 0


def test_inputs_before_the_oldest_checkpoint_are_told(segments, copied, verified, replay):
    state = copied(segments)
    newest, older, oldest = checkpoint_numbers(state.shard)[:3]
    retire(state, oldest - 1)
    checkpoint_path(state.shard, oldest).unlink()
    flip(checkpoint_path(state.shard, older), 200)
    found = verified(state)
    assert found["begins"] == checkpoint_path(state.shard, newest).name
    first = first_boundary(state.shard).ordinal
    assert found["gone"] == found["ordinal_first"] - first > 0
    assert checkpoint_path(state.shard, older).name in found["passed_over"][0]
    said = replay(state, "--verify").out
    assert f"{found['gone']:,} inputs that are kept stand before the oldest checkpoint" in said.replace(
        "\n", " "
    )


def test_without_beginning_and_checkpoint_nothing_can_be_derived(segments, copied, replay):
    state = copied(segments)
    retire(state, 2)
    for number in checkpoint_numbers(state.shard):
        checkpoint_path(state.shard, number).unlink()
    ended = replay(state, "--verify")
    assert ended.code == 6
    assert "starts with segment 3" in ended.err


def test_behind_an_erased_record_the_next_checkpoint_goes_on(segments, copied, verified):
    state = copied(segments)
    ordinal = erased_at(state, 150)
    found = verified(state)
    assert (found["erased"], found["same"]) == (1, True)
    (resumed,) = found["resumed"]
    from_ordinal = next(
        frame.head.ordinal_first
        for frame in state.frames()
        if frame.head.segment == int(resumed.removeprefix("checkpoint-").removesuffix(".ckpt"))
    )
    assert found["unknown"] == from_ordinal - ordinal - 1 > 0
    assert found["inputs"] == LINES - 1 - found["unknown"]
    assert found["decisions"] == len(segments.decisions) - 1 - found["unknown_decisions"]


def test_behind_an_erased_record_without_checkpoint_the_rest_is_unknown(segments, copied, verified):
    state = copied(segments)
    ordinal = erased_at(state, 150)
    for number in checkpoint_numbers(state.shard):
        checkpoint_path(state.shard, number).unlink()
    found = verified(state)
    assert (found["inputs"], found["unknown"], found["resumed"]) == (ordinal, LINES - ordinal - 1, [])
