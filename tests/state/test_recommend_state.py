"""What is done to a state of slates between two runs, and while one goes on: copied, asked, told, stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import headrace
from worlds import World, click, clicks, overrides, stream, write_lines

pytestmark = pytest.mark.integration

LINES = 800
DRAIN_SECONDS_MAX = 600


@pytest.fixture
def halves(tmp_path) -> tuple[Path, Path]:
    lines = clicks(LINES)
    return tuple(
        write_lines(tmp_path / f"{name}.jsonl", part)
        for name, part in (("a", lines[: LINES // 2]), ("b", lines[LINES // 2 :]))
    )


def ran(folder: Path, *sources: Path, flow: str = "recommend", **settings: object) -> World:
    world = World(folder, sources, overrides(**settings), flow)
    assert world.run() == 0, world.said
    return world


def decisions(world: World) -> list[dict]:
    return [json.loads(line) for line in world.decisions.read_bytes().splitlines()]


def test_a_restored_state_goes_on_to_the_same_slates(tmp_path, halves):
    first, further = halves
    world = ran(tmp_path / "run", first)
    (tmp_path / "other").mkdir()
    for made in (
        headrace("state", "backup", "--state", world.state, "--to", tmp_path / "b.tar"),
        headrace("state", "restore", "--from", tmp_path / "b.tar", "--state", tmp_path / "other" / "state"),
    ):
        assert made.code == 0, made.said
    went_on = ran(world.folder, first, further)
    restored = ran(tmp_path / "other", first, further)
    assert restored.outputs() == went_on.outputs()
    assert headrace("ledger", "verify", "--state", restored.state).code == 0


def test_a_dead_letter_is_tried_again_and_gets_its_list(tmp_path, halves):
    world = ran(tmp_path / "run", halves[0])
    letters = headrace("dead-letters", "list", "--state", world.state).text.splitlines()
    number = json.loads(letters[0])["number"]
    mended = write_lines(tmp_path / "mended.json", [click(LINES, 5000, 5)])
    told = headrace("dead-letters", "retry", "--number", number, "--payload", mended, "--state", world.state)
    assert told.code == 0, told.said
    ran(world.folder, halves[0])
    last = decisions(world)[-1]
    assert (last["event_id"], last["retried"], last["action"]) == (f"k{LINES}", True, "recommend")
    shown = headrace("explain", f"k{LINES}", "--state", world.state).text
    assert "bytes replaced" in shown
    verified = headrace("replay", "--verify", "--state", world.state)
    assert "0 differences" in verified.text, verified.said


def test_another_configuration_is_told_and_holds_from_there(tmp_path, halves):
    world = ran(tmp_path / "run", halves[0])
    before = len(decisions(world))
    went_on = ran(tmp_path / "run", *halves, slate__items_max=5, engine__neighbours_max=20)
    for said in ("slate.items_max: 20 → 5", "engine.neighbours_max: 64 → 20"):
        assert f"changed since the last run: {said}" in went_on.said
    lengths = [len(each["items"]) for each in decisions(went_on)]
    assert max(lengths[:before]) == 20
    assert max(lengths[before:]) == 5
    verified = headrace("replay", "--verify", "--state", world.state)
    assert "0 differences" in verified.text, verified.said


@pytest.mark.parametrize(
    ("overriding", "said"),
    [
        ({"flow__shards": 2}, "flow.shards: the state has 1, the configuration 2"),
        ({"flow__learn_from": "own"}, 'flow.learn_from: the state has "all", the configuration "own"'),
    ],
)
def test_what_is_fixed_for_a_state_is_refused_by_name(tmp_path, halves, overriding, said):
    world = ran(tmp_path / "run", halves[0])
    written = world.outputs()
    other = World(world.folder, halves, overrides(**overriding), "recommend")
    assert other.run() == 7
    assert said in other.said
    assert world.outputs() == written


def test_a_state_of_payments_is_refused(tmp_path, halves):
    payments = write_lines(tmp_path / "p.jsonl", stream(20))
    world = ran(tmp_path / "run", payments, flow="fraud")
    written = world.outputs()
    other = World(world.folder, (halves[0],), (), "recommend")
    assert other.run() == 7
    assert 'flow.kind: the state has "fraud", the configuration "recommend"' in other.said
    assert world.outputs() == written


def test_a_run_that_is_told_to_stop_decides_what_it_has_read(tmp_path):
    to, state = tmp_path / "d.jsonl", tmp_path / "state"
    command = [
        sys.executable,
        "-m",
        "headrace",
        "run",
        "recommend",
        "--from",
        "-",
        "--to",
        to,
        "--state",
        state,
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"".join(click(number, number // 5, number % 17) + b"\n" for number in range(100)))
    process.stdin.flush()
    while not (to.exists() and to.read_bytes().count(b"\n") == 100):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(DRAIN_SECONDS_MAX) == 0  # its standard input is still open
    _, said = process.communicate()
    assert b"stopped early, as asked" in said
    inspected = headrace("state", "inspect", "--state", state, "--json")
    assert json.loads(inspected.text)["shards"]["shard-00"]["memory"]["counts"]["recommend"] == 99
