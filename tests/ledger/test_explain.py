"""Decisions of a run are explained from its ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from ledger_states import NEW_TEXT, State, erase_decision
from ledgers import Journal, decided, flip, note

from headrace.config.conditions import Condition
from headrace.config.loading import load
from headrace.journal.reader import JournalReader
from headrace.journal.segments import first_boundary, segment_path

pytestmark = pytest.mark.integration

CROSSES = load(None).crosses


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


def test_an_erased_decision_says_so(copied, headrace, explain):
    decision_id = copied.decisions[10]["decision_id"]
    place = explain(copied, decision_id)["position"]
    erase_decision(copied, decision_id)
    said = explain(copied, decision_id)
    assert said["erased"] is True
    assert said["position"] == place
    assert (said["decision"], said["input"], said["outcomes"]) == (None, None, [])
    assert "features" not in said
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
