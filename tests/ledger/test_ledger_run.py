"""`headrace explain` and `headrace ledger` on states that real runs have left."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
from ledgers import SALT_BYTES, Journal, decided, end_of, erase, flip, note
from pyarrow import parquet

from headrace.cli import app as cli
from headrace.config.conditions import Condition
from headrace.config.loading import load
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary, segment_path
from headrace.ledger.export import Selection, export
from headrace.ledger.tables import open_table

pytestmark = pytest.mark.integration

NO_USE = b'{"type": "payment", "event_id": "cut off\n'
NEW_TEXT = "Another text from here on."
CHANGED = ["--set", f'reasons.texts.high_amount="{NEW_TEXT}"', "--set", "policy.review_at=0.0005"]
FIRST = 400
CROSSES = load(None).crosses


@dataclass(frozen=True)
class State:
    """A state that two runs have left, with what went in and out."""

    path: Path
    source: Path
    lines: list[bytes]
    decisions: list[dict]

    @property
    def inputs(self) -> dict[str, dict]:
        events = [json.loads(line) for line in self.lines if line != NO_USE]
        return {event["event_id"]: event for event in events}

    def outcomes(self, event_id: str) -> list[dict]:
        return [event for event in self.inputs.values() if event.get("about") == event_id]


def run(*arguments: object) -> None:
    ended = commands.headrace("run", "fraud", *arguments)
    assert ended.code == 0, ended.said


def made(folder: Path, *options: str) -> State:
    """A run, and another one with other texts and thresholds on the rest of the events."""
    from headrace.operators import simulator

    world = b"".join(simulator.event_blocks(simulator.simulate("tiny", 1))).splitlines(keepends=True)
    lines = [*world[:100], NO_USE, *world[100:1200]]
    source, to, state = folder / "events.jsonl", folder / "decisions.jsonl", folder / "state"
    where = ["--from", source, "--to", to, "--state", state, *options]
    source.write_bytes(b"".join(lines[:FIRST]))
    run(*where, "--set", "input.batch_lines_max=32")
    source.write_bytes(b"".join(lines))
    run(*where, *CHANGED)
    return State(state, source, lines, [json.loads(line) for line in to.read_text().splitlines()])


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("two"), "--set", "flow.shards=2")


@pytest.fixture
def copied(state, tmp_path) -> State:
    """A copy that may be damaged."""
    subprocess.run(["cp", "-r", state.path, tmp_path / "state"], check=True)
    return State(tmp_path / "state", state.source, state.lines, state.decisions)


@pytest.fixture
def headrace(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


@pytest.fixture
def explain(headrace) -> Callable[[State, str], dict]:
    def call(state, decision_id):
        ended = headrace("explain", decision_id, "--state", state.path, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call


# ---------------------------------------------------------------- explain


def check(state: State, decision: dict, said: dict) -> None:
    """What is told of a decision is what went in and out."""
    event = state.inputs[decision["event_id"]]
    number = state.lines.index(next(line for line in state.lines if decision["event_id"].encode() in line))
    assert said["decision"] == decision
    assert said["input"] == event
    assert said["features"]["amount"] == event["amount"]
    position = said["position"]
    assert (position["source"], position["line"]) == (str(state.source), number + 1)
    assert position["offset"] == sum(map(len, state.lines[:number]))
    assert position["ordinal"] == number
    assert said["committed_ms"] >= said["accepted_ms"] > 1_700_000_000_000
    assert [(one["event_id"], one["label"]) for one in said["outcomes"]] == [
        (one["event_id"], one["label"]) for one in state.outcomes(decision["event_id"])
    ]
    by_code = {"combination": sum(cross["contribution"] for cross in said["crosses"])}
    for cross in said["crosses"]:
        if all(met(condition, said["features"]) for condition in CROSSES[cross["name"]].report_if):
            by_code[cross["code"]] = by_code.get(cross["code"], 0.0) + cross["contribution"]
    for reason in said["reasons"]:
        assert reason["text"]
        assert reason["contribution"] == pytest.approx(by_code[reason["code"]], abs=1e-4)


def met(condition: Condition, features: dict) -> bool:
    value = features[condition.name]
    return value is not None and eval(f"{value!r} {condition.op} {condition.number!r}")


def test_every_kind_of_decision_is_explained(state, explain):
    told = [explain(state, decision["decision_id"]) for decision in state.decisions[::23]]
    for decision, said in zip(state.decisions[::23], told, strict=True):
        check(state, decision, said)
    assert any(said["outcomes"] for said in told)
    assert {said["decision"]["action"] for said in told} >= {"approve", "review"}


def test_every_shard_is_searched(shards, explain):
    told = [explain(shards, decision["decision_id"]) for decision in shards.decisions[::37]]
    for decision, said in zip(shards.decisions[::37], told, strict=True):
        check(shards, decision, said)
    assert {said["position"]["shard"] for said in told} == {"shard-00", "shard-01"}


def test_the_configuration_in_force_gives_the_texts(state, explain):
    before, after = explain(state, state.decisions[0]["decision_id"]), None
    for decision in state.decisions:
        if any(reason["code"] == "high_amount" for reason in decision["reasons"]):
            after = explain(state, decision["decision_id"])
    assert after is not None
    assert NEW_TEXT in {reason["text"] for reason in after["reasons"]}
    assert before["config"]["digest"] != after["config"]["digest"]
    assert (before["config"]["segment"], before["config"]["byte"]) < (after["config"]["segment"], 1 << 60)


def test_the_ranges_hold_the_values(state, explain):
    for decision in state.decisions[::31]:
        said = explain(state, decision["decision_id"])
        ranges = [one for cross in said["crosses"] for one in cross["ranges"]]
        assert len(ranges) > 8
        for one in ranges:
            assert said["features"][one["feature"]] == one["value"]
            if one["value"] is not None:
                assert one["low"] is None or one["low"] <= one["value"]
                assert one["high"] is None or one["value"] < one["high"]


def test_an_event_id_will_do(state, explain):
    decision = state.decisions[5]
    assert explain(state, decision["event_id"])["decision"] == decision


@pytest.mark.parametrize("width", [80, 120])
def test_for_people_it_fits_the_terminal(state, headrace, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    decision = max(state.decisions, key=lambda one: len(one["reasons"]))
    said = headrace("explain", decision["decision_id"], "--state", state.path)
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= width
    for wanted in (
        decision["decision_id"],
        decision["action"],
        f"score {decision['score']:.4f}",
        *(reason["code"] for reason in decision["reasons"]),
        "merchant_streak",
        "fraud_share_37d",
        decision["model"],
        "ms after it was accepted",
    ):
        assert wanted in said.out


def test_an_unknown_id_says_what_was_searched(shards, headrace):
    said = headrace("explain", "fraud:none", "--state", shards.path)
    assert said.code == 9
    assert said.out == ""
    count = f"{len(shards.decisions):,} decisions"
    assert said.err.startswith(f"error: {shards.path}: no decision fraud:none; searched shard-00, shard-01: ")
    assert count in said.err


def test_no_state_is_told(tmp_path, headrace):
    said = headrace("explain", "fraud:p", "--state", tmp_path / "none")
    assert said.code == 6
    assert "no state here" in said.err


def erase_decision(state: State, decision_id: str) -> None:
    directory = state.path / "shard-00"
    for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
        for place, record in enumerate(frame.records):
            if record.kind == Kind.DECIDED and f'"{decision_id}"'.encode() in record.output:
                erase(directory, frame, place)
                return
    raise AssertionError(decision_id)


def test_an_erased_decision_says_so(copied, headrace, explain):
    decision_id = copied.decisions[10]["decision_id"]
    place = explain(copied, decision_id)["position"]
    erase_decision(copied, decision_id)
    said = explain(copied, decision_id)
    assert said["erased"] is True
    assert said["position"] == place
    assert (said["decision"], said["input"], said["features"], said["outcomes"]) == (None, None, {}, [])
    assert "erased" in headrace("explain", decision_id, "--state", copied.path).out
    for index in copied.path.glob("shard-00/index-*.idx"):
        index.unlink()
    said = headrace("explain", decision_id, "--state", copied.path)
    assert said.code == 9
    assert "1 erased records have no id any more" in said.err


def test_damage_elsewhere_is_a_warning(copied, headrace):
    directory = copied.path / "shard-00"
    for index in directory.glob("index-*.idx"):
        index.unlink()
    heads = JournalReader(directory, first_boundary(directory), cut_torn_tail=False).heads()
    broken = next(head for head in heads if head.records > 1)
    flip(segment_path(directory, broken.segment), broken.position_next - 1)
    late = copied.decisions[-1]
    said = headrace("explain", late["decision_id"], "--state", copied.path, "--json")
    assert said.code == 0
    assert json.loads(said.out)["decision"] == late
    assert said.err.startswith("warning: ")
    assert f"byte {broken.position}" in said.err
    said = headrace("explain", copied.decisions[0]["decision_id"], "--state", copied.path)
    assert said.code == 6
    assert f"byte {broken.position}" in said.err.splitlines()[-1]


def test_damage_that_may_hide_the_configuration_is_an_error(copied, headrace):
    """The decision is found, but not what it was decided under."""
    directory = copied.path / "shard-00"
    journal = Journal(directory)
    journal.append([note(control="config", settings="{}", learn=True, code="0", kernel="")]).roll()
    frames = journal.frames()
    detail = next(record.detail for frame in frames for record in frame.records if record.detail)
    journal.append([decided("late", detail=detail)])
    hidden = next(frame.head for frame in reversed(frames) if frame.records)
    flip(segment_path(directory, hidden.segment), hidden.position_next - 1)
    said = headrace("explain", "fraud:late", "--state", copied.path)
    assert said.code == 6
    assert f"{segment_path(directory, hidden.segment)}: byte {hidden.position}" in said.err.splitlines()[-1]


def test_it_works_while_a_flow_runs(state, tmp_path, headrace):
    """The flow holds the lock and is in the middle of the events; all that was decided is found."""
    to, running = tmp_path / "decisions.jsonl", tmp_path / "state"
    command = [sys.executable, "-m", "headrace", "run", "fraud", "--from", str(state.source), "--to", str(to)]
    flow = subprocess.Popen(
        [*command, "--state", str(running), "--speed", "4000"],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "80"},
    )
    try:
        found = 0
        while found < 20:
            assert flow.poll() is None, "the flow ended before it was looked at"
            written = to.read_bytes().splitlines(keepends=True) if to.exists() else []
            whole = [line for line in written if line.endswith(b"\n")]
            if len(whole) < 5:
                time.sleep(0.02)
                continue
            decision = json.loads(whole[-1])
            said = headrace("explain", decision["decision_id"], "--state", running, "--json")
            assert said.code == 0, said.err
            assert json.loads(said.out)["decision"] == decision
            found += 1
        said = headrace("ledger", "verify", "--state", running, "--json")
        assert said.code == 0, said.err
    finally:
        flow.kill()
        flow.wait()


# ---------------------------------------------------------------- ledger index, verify


def test_ledger_index(copied, headrace):
    said = headrace("ledger", "index", "--state", copied.path)
    assert said.code == 0
    assert f"{len(copied.decisions):,} decisions" in said.out


def test_verify_a_whole_ledger(shards, headrace):
    said = headrace("ledger", "verify", "--state", shards.path)
    assert said.code == 0
    assert [line for line in said.out.splitlines() if line.endswith(": whole")] == [
        "shard-00: whole",
        "shard-01: whole",
    ]
    found = json.loads(headrace("ledger", "verify", "--state", shards.path, "--json").out)
    assert found["whole"] is True
    assert sum(shard["kinds"]["decided"] for shard in found["shards"]) == len(shards.decisions)


def test_verify_says_where_the_kept_journal_begins(state, headrace, tmp_path):
    options = ("--from", state.source, "--to", tmp_path / "d.jsonl", "--state", tmp_path / "state")
    run(*options, "--set", "journal.checkpoint_inputs_max=200", "--set", "input.batch_lines_max=32")
    directory = tmp_path / "state" / "shard-00"
    first = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert (first.code, "begins with" in first.out) == (0, False)
    gone = segment_path(directory, 1)
    gone.unlink()
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    (shard,) = json.loads(headrace("ledger", "verify", "--state", tmp_path / "state", "--json").out)["shards"]
    assert said.code == 0
    assert (shard["first_segment"], shard["first_sequence"] > 0) == (2, True)
    assert f"begins with segment 2; segments before it, with {shard['first_sequence']:,} records" in said.out
    assert shard["sequence"] == shard["first_sequence"] + shard["records"]


def test_a_start_reads_what_lies_behind_its_checkpoint_and_verify_all(state, headrace, tmp_path):
    options = ("--from", state.source, "--to", tmp_path / "d.jsonl", "--state", tmp_path / "state")
    run(*options, "--set", "journal.checkpoint_inputs_max=200", "--set", "input.batch_lines_max=32")
    path = segment_path(tmp_path / "state" / "shard-00", 1)
    flip(path, path.stat().st_size // 8)
    run(*options)
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert said.code == 6
    assert f"{path}: byte " in said.err


def test_verify_names_the_damage_of_each_shard(shards, headrace, tmp_path):
    subprocess.run(["cp", "-r", shards.path, tmp_path / "state"], check=True)
    path = segment_path(tmp_path / "state" / "shard-01", 1)
    flip(path, path.stat().st_size // 2)
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert said.code == 6
    assert "shard-00: whole" in said.out
    assert said.err.startswith(f"error: shard-01: {path}: byte ")
    found = json.loads(headrace("ledger", "verify", "--state", tmp_path / "state", "--json").out)
    assert found["whole"] is False
    assert [shard["whole"] for shard in found["shards"]] == [True, False]
    assert found["shards"][1]["damage"]["file"] == str(path)


def test_verify_tells_a_torn_tail(copied, headrace):
    directory = copied.path / "shard-00"
    path = segment_path(directory, end_of(directory).segment)
    with path.open("ab") as file:
        file.write(b"HRF\x02rest")
    said = headrace("ledger", "verify", "--state", copied.path)
    assert said.code == 6
    assert "interrupted write" in said.err
    assert str(path) in said.err


def test_verify_with_a_chain_value_noted_earlier(copied, headrace):
    chain = end_of(copied.path / "shard-00").chain.hex()
    said = headrace("ledger", "verify", "--state", copied.path, "--expect-chain", chain)
    assert said.code == 0
    assert "the expected chain value stands" in said.out
    said = headrace("ledger", "verify", "--state", copied.path, "--expect-chain", "ab" * 32)
    assert said.code == 6
    assert "occurs nowhere" in said.err
    assert headrace("ledger", "verify", "--state", copied.path, "--expect-chain", "ab").code == 2


# ---------------------------------------------------------------- ledger export


def rows_of(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_decision_is_a_row(shards, headrace, tmp_path):
    to = tmp_path / "decisions.parquet"
    said = headrace("ledger", "export", "--state", shards.path, "--to", to)
    assert said.code == 0
    assert f"{len(shards.decisions):,} decisions in {to}" in said.err
    rows = {row["decision_id"]: row for row in rows_of(to)}
    assert len(rows) == len(shards.decisions)
    for decision in shards.decisions:
        row, event = rows[decision["decision_id"]], shards.inputs[decision["event_id"]]
        assert row["event_time"].timestamp() * 1000 == decision["event_time"]
        for name in ("event_id", "action", "score", "model", "reasons"):
            assert row[name] == decision[name]
        for name in ("customer_id", "merchant_id", "currency"):
            assert row[name] == event[name]
        assert row["feature_amount"] == event["amount"]
        outcomes = shards.outcomes(decision["event_id"])
        assert row["outcomes"] == len(outcomes)
        assert row["label"] == (outcomes[-1]["label"] if outcomes else None)
        assert row["source"] == str(shards.source)
    assert {row["shard"] for row in rows.values()} == {"shard-00", "shard-01"}
    assert {row["label"] for row in rows.values()} == {0, 1, None}


def test_a_row_says_what_explain_says(state, headrace, explain, tmp_path):
    to = tmp_path / "decisions.jsonl"
    headrace("ledger", "export", "--state", state.path, "--to", to)
    rows = {row["decision_id"]: row for row in rows_of(to)}
    for decision in state.decisions[::41]:
        said, row = explain(state, decision["decision_id"]), rows[decision["decision_id"]]
        assert {name: row[f"feature_{name}"] for name in said["features"]} == said["features"]
        assert {name: row[f"contribution_{name}"] for name in said["contributions"]} == said["contributions"]
        for name in ("shard", "segment", "byte", "record", "sequence", "ordinal", "source", "offset", "line"):
            assert row[name] == said["position"][name]


def test_the_formats_hold_the_same(state, headrace, tmp_path):
    paths = [tmp_path / f"table.{ending}" for ending in ("parquet", "jsonl", "csv")]
    for path in paths:
        assert headrace("ledger", "export", "--state", state.path, "--to", path).code == 0
    columnar, lines, text = map(rows_of, paths)
    assert [list(row) for row in (columnar[0], lines[0], text[0])] == [list(columnar[0])] * 3
    for one, other, third in zip(columnar, lines, text, strict=True):
        for name, given in one.items():
            value = given
            if hasattr(given, "isoformat"):
                value = given.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            assert other[name] == value
            plain = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
            assert third[name] == ("" if plain is None else str(plain)), name


def test_a_part_can_be_exported(shards, headrace, tmp_path):
    to = tmp_path / "part.jsonl"
    times = sorted(decision["event_time"] for decision in shards.decisions)
    middle = times[len(times) // 2]
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(middle // 1000))
    day = text[:10]

    def exported(*options: object) -> list[dict]:
        assert headrace("ledger", "export", "--state", shards.path, "--to", to, *options).code == 0
        return rows_of(to)

    assert len(exported("--from", text)) == sum(one >= middle // 1000 * 1000 for one in times)
    assert len(exported("--until", text)) == sum(one < middle // 1000 * 1000 for one in times)
    assert {row["event_time"] < day for row in exported("--from", day)} == {False}
    assert {row["shard"] for row in exported("--shard", 1)} == {"shard-01"}
    assert exported("--until", "2001-01-01") == []
    for wrong in (["--from", "yesterday"], ["--until", "2026-13-01"], ["--shard", "2"]):
        assert headrace("ledger", "export", "--state", shards.path, "--to", to, *wrong).code == 2


def test_groups_of_rows_change_nothing(state, tmp_path):
    tables = []
    for rows in (1, 7, 100_000):
        path = tmp_path / f"{rows}.jsonl"
        with open_table(path) as to:
            done = export([state.path / "shard-00"], to, Selection(), group_rows=rows)
        assert done.rows == len(state.decisions)
        tables.append(path.read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_erased_decisions_are_left_out(copied, headrace, tmp_path):
    erase_decision(copied, copied.decisions[3]["decision_id"])
    to = tmp_path / "table.jsonl"
    said = headrace("ledger", "export", "--state", copied.path, "--to", to)
    assert "1 erased ones are left out" in said.err
    assert len(rows_of(to)) == len(copied.decisions) - 1


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_a_file_appears_when_it_is_complete_or_not_at_all(copied, headrace, tmp_path, ending):
    to = tmp_path / f"table.{ending}"
    path = segment_path(copied.path / "shard-00", 1)
    flip(path, path.stat().st_size - SALT_BYTES)
    assert headrace("ledger", "export", "--state", copied.path, "--to", to).code == 6
    assert list(tmp_path.glob("*table*")) == []
    to.write_text("before")
    assert headrace("ledger", "export", "--state", copied.path, "--to", to).code == 6
    assert to.read_text() == "before"


def test_a_folder_that_is_not_there_is_told(state, headrace, tmp_path):
    ended = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "none" / "t.csv")
    assert ended.code == 2
    assert ended.err == f"error: --to: {tmp_path}/none/t.csv: there is no folder {tmp_path}/none\n"


def test_another_ending_and_a_missing_library_are_told(state, headrace, tmp_path, monkeypatch):
    said = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "table.xlsx")
    assert said.code == 2
    assert ".parquet, .jsonl, .csv" in said.err
    monkeypatch.setattr("headrace.ledger.tables.find_spec", lambda _: None)
    said = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "table.parquet")
    assert said.code == 2
    assert "headrace[export]" in said.err
