"""A flow of declared decisions as its users meet it: run, killed, explained, exported, replayed, erased."""

from __future__ import annotations

import csv
import json
import random
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from commands import headrace, told
from declared_flows import HOUR, PARCELS, parcel_lines
from killing import chosen, killing, logged
from topic_worlds import World as TopicWorld
from topic_worlds import inputs_in, messages
from worlds import World, decided, overrides, write_lines

THEIRS = "customer-to-forget"
SMALL = overrides(input__batch_lines_max=8, journal__checkpoint_inputs_max=60)
PARCELS_SENT = 150


def stream(count: int = PARCELS_SENT) -> list[bytes]:
    """Events of the flow, some of a customer who wants to be forgotten, some that are no use."""
    lines = [line.replace(b'"c3"', f'"{THEIRS}"'.encode()) for line in parcel_lines(count, step_ms=2 * HOUR)]
    for at in range(20, len(lines), 40):
        lines.insert(at, b'{"type":"parcel","event_id":"cut')
        lines.insert(at, lines[at - 3])
    return lines


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "parcels.toml"
    path.write_text(PARCELS)
    return path


@pytest.fixture
def world(tmp_path: Path, flow: Path) -> World:
    source = write_lines(tmp_path / "events.jsonl", stream())
    return World(tmp_path / "world", (source,), SMALL, flow=str(flow))


@pytest.fixture
def ran(world: World) -> World:
    assert world.run() == 0, world.said
    return world


# -- on files


def test_each_parcel_gets_both_decided(ran):
    found = decided(ran)
    assert [each["decision_id"] for each in found] == [
        f"{name}:parcel-{number}" for number in range(PARCELS_SENT) for name in ("risk", "eta")
    ]
    said = ran.said
    assert "300 decisions" in said
    assert re.search(r"quality: .*eta: pinball .*, coverage 0\.\d+ of 0\.8", said)


def test_it_is_checked_and_its_mistakes_are_told_all_at_once(flow, tmp_path):
    assert "2 decisions" in told("check", flow)
    wrong = tmp_path / "wrong.toml"
    text = PARCELS.replace('value = "lost"', 'value = "lots"').replace("insure = 0.3", "ensure = 0.3")
    wrong.write_text(
        text.replace('"log_location_scale"', '"log_location"').replace('unit = "hours"', "unit = 3")
    )
    refused = headrace("check", wrong)
    assert refused.code == 2
    for said in (
        "decisions.risk.target.value: claim has no field lots; did you mean lost?",
        "decisions.risk.policy.thresholds.ensure: there is no action ensure; did you mean insure?",
        "decisions.eta.model.name: there is no estimator 'log_location'",
        "decisions.eta.unit: must be a text",
    ):
        assert said in refused.said, refused.said


@pytest.mark.recovery
def test_killed_at_any_moment_it_ends_as_if_it_was_not(world, tmp_path):
    every = logged(world)
    expected = world.outputs()
    for number, moment in enumerate(chosen(every, max(1, len(every) // 10))):
        killed = replace(world, folder=tmp_path / f"killed-{number}")
        killed.run(killing(moment))
        assert killed.run() == 0, (moment, killed.said)
        assert killed.outputs() == expected, moment


def test_several_shards_divide_the_customers(world):
    world = replace(world, options=(*SMALL, "--set", "flow.shards=3"))
    assert world.run() == 0, world.said
    assert len(decided(world)) == 2 * PARCELS_SENT
    assert len(world.shards()) == 3


def test_what_is_added_to_a_running_state_starts_empty(ran, flow):
    flow.write_text(
        PARCELS
        + """
[decisions.heavy]
kind = "score"
on = "parcel"
actions = ["no", "yes"]
crosses = ["weight"]
reasons.texts = { weight = "Heavy." }
"""
    )
    later = [line for line in parcel_lines(200, step_ms=2 * HOUR) if b'"type":"parcel"' in line]
    write_lines(ran.sources[0], [*stream(), *later[PARCELS_SENT:]])
    assert ran.run() == 0, ran.said
    assert {each["kind"] for each in decided(ran)[-30:]} == {"risk", "eta", "heavy"}
    assert "0 differences" in told("replay", "--state", ran.state, "--verify")
    flow.write_text(PARCELS.replace("edges = [1, 5, 20]", "edges = [1, 5]"))
    assert ran.run() != 0
    assert "decisions.eta.crosses.weight" in ran.said


# -- what the ledger says


def test_each_decision_is_explained(ran):
    text = told("explain", "risk:parcel-140", "--state", ran.state)
    assert text.startswith("risk:parcel-140")
    assert re.search(r"[+-]\d\.\d{3} +depot +depot '(north|south|west)'", text)
    assert "the log-odds of the model's score" in text
    assert "eta:parcel-140" in text
    plain = json.loads(told("explain", "eta:parcel-9", "--state", ran.state, "--json"))
    assert plain["decision"]["unit"] == "hours"
    assert plain["beside"] == ["risk:parcel-9"]
    assert {each["name"] for each in plain["inputs"]} == {"depot", "weight"}


def test_each_decision_is_a_row(ran, tmp_path):
    table = tmp_path / "table.csv"
    told("ledger", "export", "--state", ran.state, "--to", table)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["decision_id"] for row in rows] == [each["decision_id"] for each in decided(ran)]
    assert [row["score"] != "" for row in rows] == [True, False] * PARCELS_SENT
    assert json.loads(rows[1]["quantiles"]) == decided(ran)[1]["quantiles"]
    assert float(rows[18]["feature_weight"]) >= 0
    assert rows[280]["contribution_history"] != ""
    assert rows[281]["contribution_history"] == ""


def test_it_is_derived_again_to_the_byte_and_replayed_with_another_configuration(ran, tmp_path):
    assert "300 decisions compared, 0 differences" in told("replay", "--state", ran.state, "--verify")
    other = ("replay", "--state", ran.state, "--set", "decisions.risk.model.parameters.lr=0.01")
    text = told(*other, "--warm-up-days", "0")
    assert "Decision risk" in text
    assert "pinball loss" in text
    plain = json.loads(told(*other, "--json", "--warm-up-days", "0"))
    assert plain["decisions"]["eta"]["changed"] == 0
    assert plain["decisions"]["risk"]["changed"] > 50
    assert plain["decisions"]["risk"]["evaluated"] > 5
    page = tmp_path / "page.html"
    told(*other, "--html", page)
    assert "Decision risk" in page.read_text()


def test_an_event_that_was_no_use_is_given_once_more(ran, tmp_path):
    mended = write_lines(tmp_path / "mended", [next(iter(parcel_lines(1))).replace(b"-0", b"-7777")])
    first = json.loads(told("dead-letters", "list", "--state", ran.state).splitlines()[0])
    told("dead-letters", "retry", "--number", first["number"], "--state", ran.state, "--payload", mended)
    assert ran.run() == 0, ran.said
    retried = [each for each in decided(ran) if each.get("retried")]
    assert [each["decision_id"] for each in retried] == ["risk:parcel-7777", "eta:parcel-7777"]


def test_a_customer_is_forgotten_everywhere(ran):
    assert any(each["customer_id"] == THEIRS for each in decided(ran))
    told("erase", "--customer", THEIRS, "--state", ran.state)
    held = b"".join(path.read_bytes() for path in ran.state.rglob("*") if path.is_file())
    assert THEIRS.encode() not in held
    assert " 0 differences" in told("replay", "--state", ran.state, "--verify")
    told("ledger", "verify", "--state", ran.state)


def test_the_state_is_inspected(ran):
    text = told("state", "inspect", "--state", ran.state)
    assert re.search(r"customer +\d+|\d+ customer", text)
    assert "pending" in text


# -- on topics


class ParcelTopics(TopicWorld):
    """Events of the flow on topics."""

    flow: ClassVar[str] = ""


@pytest.fixture
def topics(broker, tmp_path, flow) -> Iterator[ParcelTopics]:
    ParcelTopics.flow = str(flow)
    made = ParcelTopics(broker, tmp_path, partitions=2, shards=2)
    yield made
    made.close()


@pytest.mark.broker
@pytest.mark.recovery
def test_on_topics_each_decision_is_one_message_whenever_it_is_killed(topics):
    lines, draws = stream(300), random.Random(7)
    topics.send(lines)
    for part in range(1, 5):
        running = topics.start()
        reached = len(lines) * part // 6 + draws.randrange(20)
        running.wait_for(lambda reached=reached: inputs_in(topics.state) >= reached, "some inputs")
        running.kill()
    # What names no customer goes to both shards.
    to_both = sum(b'"type":"scan"' in line or b'"type":"claim"' in line for line in lines)
    topics.run(len(lines) + to_both)
    topics.check()
    found = messages(topics.brokers, topics.to)
    assert len(found) == 600
    assert {each.id for each in found} == {
        f"{name}:parcel-{number}" for name in ("risk", "eta") for number in range(300)
    }
    assert all(each.key.decode() == json.loads(each.value)["customer_id"] for each in found)
    assert "0 differences" in told("replay", "--state", topics.state, "--verify")


@pytest.mark.broker
def test_a_running_flow_is_scraped(topics):
    topics.send(stream(100))
    running = topics.start("--metrics-port", "0")
    running.wait_for(lambda: inputs_in(topics.state) >= 150, "inputs")
    url = re.search(r"metrics: (\S+)", running.said.read_text())
    assert url is not None
    with urllib.request.urlopen(url[1]) as answer:
        text = answer.read().decode()
    assert running.stop() == 0
    for pattern in (
        r'headrace_decision_actions_total\{action="send",decision="risk",flow="decisions"\} [1-9]',
        r'headrace_decision_targets_total\{decision="eta",flow="decisions",result="matched"\} [1-9]',
        r'headrace_decision_pinball\{decision="eta",flow="decisions"\} \d',
        r'headrace_decision_waiting\{decision="risk",flow="decisions"\} [1-9]',
    ):
        assert re.search("^" + pattern, text, re.MULTILINE), pattern
