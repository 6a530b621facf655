"""`headrace replay` on states that real runs have left."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import headrace, simulated
from ledgers import erase, flip
from worlds import DAY_MS, START_MS, outcome, payment, stream

from headrace.cli import app as cli
from headrace.config.loading import load
from headrace.control.dead_letters import letters_in_state, portions
from headrace.control.inbox import control_folder, limits_of, put
from headrace.journal.batches import Batch
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path
from headrace.journal.frames import GENESIS
from headrace.journal.reader import JournalReader
from headrace.journal.records import OVERDUE, Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path
from headrace.journal.writer import JournalWriter
from headrace.kinds.fraud.replay_changes import decide_again
from headrace.operators.events.decode import decode
from headrace.replay import verify as replay_verify
from headrace.replay.past import Past
from headrace.shard.commands import KillSwitch
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.integration

LINES = 1600
SMALL = ("--set", "input.batch_lines_max=32")
# Checkpoints only where a run ends, or often, all of them kept.
OFTEN = ("--set", "journal.checkpoint_inputs_max=200", "--set", "journal.checkpoints_max=100")
TINY = ("--warm-up-days", "0", "--horizon-days", "0", "--resamples", "20")
LOW, HIGH = 0.004, 0.012  # scores of a short world are low
THRESHOLDS = ("--set", f"policy.review_at={LOW}", "--set", f"policy.block_at={HIGH}")


@dataclass(frozen=True)
class State:
    """A state that runs have left, with what went in and out."""

    path: Path
    source: Path
    to: Path

    @property
    def decisions(self) -> list[dict]:
        return [json.loads(line) for line in self.to.read_text().splitlines()]

    @property
    def shard(self) -> Path:
        return self.path / "shard-00"

    def frames(self) -> list:
        return list(JournalReader(self.shard, first_boundary(self.shard), cut_torn_tail=False).frames())


def run(*arguments: object) -> None:
    ended = headrace("run", "fraud", *arguments)
    assert ended.code == 0, ended.said


def world() -> list[bytes]:
    return simulated(LINES)


def made(folder: Path, lines: list[bytes], *options: str) -> State:
    folder.mkdir(exist_ok=True)
    state = State(folder / "state", folder / "events.jsonl", folder / "decisions.jsonl")
    state.source.write_bytes(b"".join(line + b"\n" for line in lines))
    run("--from", state.source, "--to", state.to, "--state", state.path, *SMALL, *options)
    return state


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("plain"), world(), *THRESHOLDS)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("shards"), world(), *THRESHOLDS, "--set", "flow.shards=3")


@pytest.fixture(scope="module")
def segments(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("segments"), world(), *THRESHOLDS, *OFTEN)


@pytest.fixture
def copied(tmp_path) -> Callable[[State], State]:
    """A copy that may be damaged."""

    def copy(state: State) -> State:
        shutil.copytree(state.path, tmp_path / "state")
        return State(tmp_path / "state", state.source, state.to)

    return copy


@pytest.fixture
def replay(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    def call(state: State, *arguments):
        command = ["headrace", "replay", "--state", state.path, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


@pytest.fixture
def verified(replay) -> Callable[..., dict]:
    """What verifying says of the only shard; it must end with a code."""

    def call(state: State, *arguments, code: int = 0) -> dict:
        ended = replay(state, "--verify", "--json", *arguments)
        assert ended.code == code, ended.err
        (shard,) = json.loads(ended.out)["shards"]
        return shard

    return call


@pytest.fixture
def compared(replay) -> Callable[..., dict]:
    def call(state: State, *arguments) -> dict:
        ended = replay(state, "--json", *TINY, *arguments)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# -- verify


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


# -- what is gone


def retire(state: State, count: int) -> None:
    """Remove the oldest segments, and checkpoints that need them."""
    for number in segment_numbers(state.shard)[:count]:
        segment_path(state.shard, number).unlink()
        checkpoint_path(state.shard, number).unlink(missing_ok=True)


def test_where_the_beginning_is_gone_the_oldest_checkpoint_begins(segments, copied, verified):
    state = copied(segments)
    oldest = checkpoint_numbers(state.shard)[1]  # newest first; how many there are is a matter of time
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


def erased_at(state: State, place: int) -> int:
    """Erase a decision, the one at a place of all; tell its ordinal."""
    decided = [(f, n) for f in state.frames() for n, r in enumerate(f.records) if r.kind == Kind.DECIDED]
    frame, number = decided[place]
    erase(state.shard, frame, number)
    return frame.records[number].ordinal


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


# -- another configuration


def scores(past: State, *overrides: str):
    directories = sorted(past.path.glob("shard-*"))
    settings = Past(directories).configurations[-1].settings
    from headrace.config.loading import lay_over

    return decide_again(Past(directories), lay_over(settings, overrides, "recorded"))


@pytest.mark.parametrize("fixture", ["plain", "shards", "segments"])
def test_the_same_configuration_changes_nothing(fixture, request, compared):
    state = request.getfixturevalue(fixture)
    said = compared(state, "--set", "journal.fsync=true")
    assert said["payments"] == said["compared"] == len(state.decisions)
    assert said["changed"]["changed"] == 0
    assert said["quality"]["average_precision"]["difference"]["value"] == 0.0
    found = scores(state).payments
    assert (found.old_score == found.new_score).all()
    expected = sorted(each["score"] for each in state.decisions)
    assert sorted(found.new_score.tolist()) == expected


def test_another_policy_gives_the_changes_that_its_thresholds_say(plain, compared):
    def action(score: float, review_at: float, block_at: float) -> int:
        return 2 if score >= block_at else 1 if score >= review_at else 0

    payments = {
        json.loads(line)["event_id"]: json.loads(line) for line in plain.source.read_bytes().splitlines()
    }
    expected, amounts = Counter(), Counter()
    for each in plain.decisions:
        cell = action(each["score"], LOW, HIGH), action(each["score"], 0.003, 0.02)
        assert ("approve", "review", "block")[cell[0]] == each["action"]
        expected[cell] += 1
        amounts[cell] += payments[each["event_id"]]["amount"]
    said = compared(plain, "--set", "policy.review_at=0.003", "--set", "policy.block_at=0.02")
    matrix = said["changed"]
    for row in range(3):
        for column in range(3):
            assert matrix["payments"][row][column] == expected[row, column]
            assert matrix["amounts"][row][column] == pytest.approx(amounts[row, column])
    assert matrix["changed"] == sum(n for (row, column), n in expected.items() if row != column) > 10
    example = said["examples"]["amount"][0]
    assert example["amount"] == payments[example["event_id"]]["amount"]
    assert example["old"]["action"] != example["new"]["action"]


def test_quality_is_that_of_the_outcomes_in_the_journal(plain, compared):
    events = [json.loads(line) for line in plain.source.read_bytes().splitlines()]
    label = {event["about"]: event["label"] for event in events if event["type"] == "outcome"}
    known = [each for each in plain.decisions if each["event_id"] in label]
    said = compared(plain, "--set", "policy.block_at=0.02")
    assert said["evaluated"] == len(known)
    assert said["frauds"] == sum(label[each["event_id"]] for each in known)
    assert said["unknown"]["stopped"] + said["unknown"]["silent"] == len(plain.decisions) - len(known)
    flagged = [each for each in known if each["action"] != "approve"]
    precision = sum(label[each["event_id"]] for each in flagged) / len(flagged)
    assert said["quality"]["precision"]["old"]["value"] == pytest.approx(precision)


OTHER_MODEL = ("model.name=logistic_ftrl", "model.parameters={alpha=0.5}")
OTHER_FEATURES = (
    'features.merchant_payments={kind="count", entity="merchant"}',
    'bins.merchant={of="merchant_payments", edges=[5, 20]}',
    'crosses.merchant={of=["merchant"], code="high_amount"}',
)


@pytest.mark.parametrize("overrides", [OTHER_MODEL, OTHER_FEATURES, ("flow.shards=1",)])
@pytest.mark.parametrize("fixture", ["plain", "shards"])
def test_it_decides_what_a_run_would_have_decided(tmp_path, fixture, request, overrides):
    """With other features or another model, or shards, decisions are those of a run from the beginning."""
    state = request.getfixturevalue(fixture)
    found = scores(state, *overrides).payments
    count = ["flow.shards=3"] if fixture == "shards" and "flow.shards=1" not in overrides else []
    options = [part for each in (*overrides, *count) for part in ("--set", each)]
    fresh = made(tmp_path / "fresh", state.source.read_bytes().splitlines(), *THRESHOLDS, *options)
    by_time = sorted((each["event_time"], each["score"], each["action"]) for each in fresh.decisions)
    names = ("approve", "review", "block")
    columns = (
        found.time_ms.tolist(),
        found.new_score.tolist(),
        [names[a] for a in found.new_action.tolist()],
    )
    assert sorted(zip(*columns, strict=True)) == by_time


def test_another_currency_makes_dead_letters_of_all(plain, compared):
    said = compared(plain, "--set", "flow.currency=USD")
    assert said["payments"] == 0
    assert said["not_comparable"]["old_only"] == {"other_currency": len(plain.decisions)}


def test_an_erased_record_is_not_comparable(plain, copied, compared):
    state = copied(plain)
    erased_at(state, 20)
    said = compared(state, "--set", "policy.block_at=0.02")
    assert said["not_comparable"]["erased_decisions"] == 1
    assert said["payments"] == len(plain.decisions) - 1


def test_it_begins_with_the_oldest_input_that_is_kept(segments, copied, compared):
    state = copied(segments)
    retire(state, 2)
    first = first_boundary(state.shard).ordinal
    said = compared(state, "--set", "policy.block_at=0.02")
    assert (said["ordinal_first"], said["ordinal_next"]) == (first, LINES)
    assert said["inputs"] == LINES - first
    assert said["old"][0]["ordinal"] == first


def test_outcomes_that_the_configuration_of_the_time_withheld_are_not_used(tmp_path, compared):
    lines = [payment(number) for number in range(40)]
    lines += [outcome(number, after_ms=DAY_MS) for number in range(40)]
    # One that is blocked comes behind its outcome.
    lines.insert(30, outcome(40, after_ms=0))
    lines.insert(31, payment(40, amount=400.0))
    rule = (
        'policy.rules.high={when="amount > 300", action="block", code="high_amount"}',
        "outcomes.withhold_blocked=true",
    )
    state = made(tmp_path, lines, *(part for each in rule for part in ("--set", each)))
    blocked = sum(each["action"] == "block" for each in state.decisions)
    assert blocked > 3
    said = compared(state, "--set", "outcomes.withhold_blocked=false", "--set", "policy.rules={}")
    assert said["not_comparable"]["withheld"] == blocked
    assert (said["unknown"]["stopped"], said["evaluated"]) == (blocked, 41 - blocked)
    assert said["counts"]["outcomes_matched"] == 41 - blocked
    assert said["if_fraud"]["precision"]["old"]["value"] == 1.0
    assert said["if_legitimate"]["precision"]["old"]["value"] == 0.0


def test_a_list_is_as_journalled_or_as_its_new_file_says(tmp_path, compared):
    file, other = tmp_path / "stolen.txt", tmp_path / "other.txt"
    file.write_text("m1\n")
    other.write_text("m2\n")
    listed = f'policy.lists.stolen={{file="{file}", key="merchant_id", action="block", code="high_amount"}}'
    state = made(tmp_path / "made", [payment(number) for number in range(30)], "--set", listed)
    assert sum(each["action"] == "block" for each in state.decisions) == 10
    file.unlink()
    same = compared(state, "--set", "journal.fsync=true")
    assert (same["changed"]["changed"], same["commands"]["commands"]) == (0, 1)
    said = compared(state, "--set", f"policy.lists.stolen.file={other}")
    assert said["changed"]["payments"] == [[10, 0, 10], [0, 0, 0], [10, 0, 0]]
    assert said["commands"] == {"commands": 0, "commands_refused": 0, "lists_left_out": 1}


def test_shadow_mode_is_compared_by_what_would_have_been_done(plain, compared):
    said = compared(plain, "--set", "policy.shadow=true")
    assert said["new_shadow"] is True
    assert said["changed"]["changed"] == 0


def test_no_learning_leaves_the_scores_as_they_begin(plain, compared):
    said = compared(plain, "--no-learn")
    assert said["changed"] == compared(plain, "--set", "journal.fsync=true", "--no-learn")["changed"]
    new = said["examples"]["score"]
    assert [each["new"]["score"] for each in new] == pytest.approx([0.01] * 10)


# -- the command


def test_a_page_is_written_and_what_is_told_is_in_it(plain, replay, tmp_path):
    page = tmp_path / "report.html"
    ended = replay(plain, *TINY, "--set", "policy.block_at=0.02", "--html", page)
    assert ended.code == 0, ended.err
    said = ended.out.replace("\n", " ")
    assert "decided otherwise" in said
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "Decisions changed" in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_configuration_file_is_laid_over_nothing_recorded(plain, compared, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_bytes((Path(cli.__file__).parents[3] / "flows" / "fraud.toml").read_bytes())
    said = compared(plain, "--config", config)
    assert said["changed"]["payments"][0][1] == said["changed"]["payments"][0][2] == 0
    assert said["changed"]["changed"] > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give either --verify, or what is to be other: --config, --set, --no-learn"),
        (("--verify", "--set", "policy.block_at=0.9"), "give either --verify, or what is to be other"),
        (("--verify", "--no-learn"), "give either --verify, or what is to be other"),
        (
            ("--set", "policy.block_at=0.9", "--html", "{state}/report.html"),
            "must not be in the state's folder",
        ),
        (("--set", "policy.block_at=0.9", "--warm-up-days", "-1"), "--warm-up-days"),
        (("--set", "policy.block_at=0.9", "--review-cost", "nan"), "--review-cost"),
        (("--set", "policy.block_at=0.9", "--fraud-loss-share", "11"), "--fraud-loss-share"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(plain, replay, arguments, why):
    ended = replay(plain, *(each.format(state=plain.path) for each in arguments))
    assert ended.code == 2
    assert why in " ".join(ended.err.replace("│", " ").split())


def test_mistakes_in_the_configuration_are_told_all_at_once(plain, replay):
    ended = replay(plain, "--set", "policy.block_at=2", "--set", "model.name=nothing")
    assert ended.code == 2
    assert "--set: policy.block_at" in ended.err
    assert "--set: model.name" in ended.err


def test_there_must_be_a_state(replay, tmp_path):
    nothing = State(tmp_path / "nothing", tmp_path, tmp_path)
    assert replay(nothing, "--verify").code == 6
    assert replay(nothing, "--set", "policy.block_at=0.9").code == 6
