"""Commands and dead letters' way back, as a person gives them to a flow that runs or not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest
from commands import headrace

pytestmark = pytest.mark.integration

START_MS = 1_700_000_000_000
PAYMENTS = 20_000  # more than a test waits for
NOTE = "x" * 300  # makes a line longer than the limit that is set by mistake


def payment(number: int, **changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "type": "payment",
        "event_id": f"p{number}",
        "event_time": START_MS + number * 60_000,
        "customer_id": f"c{number % 5}",
        "merchant_id": "m",
        "amount": 10.0 + number % 7,
        "currency": "EUR",
    }
    return fields | changes


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "headrace", *map(str, arguments)]


def run(folder: Path, *options: object) -> list[object]:
    switched = ("--set", 'policy.kill_switch.action="review"')
    return ["run", "fraud", "--to", folder / "d.jsonl", "--state", folder / "state", *switched, *options]


def decisions(folder: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (folder / "d.jsonl").read_bytes().splitlines()]


def more_than(decided: Path, size: int, process: subprocess.Popen[str]) -> None:
    """Wait until a flow has written more than so many bytes of decisions."""
    while not decided.exists() or decided.stat().st_size <= size:
        assert process.poll() is None
        time.sleep(0.01)


@pytest.fixture
def running(tmp_path):
    """A flow that runs for minutes, if it is let: payments, one a minute, at 6,000 times their speed."""
    events = write(tmp_path / "events.jsonl", [payment(number) for number in range(PAYMENTS)])
    options = ("--from", events, "--speed", 6000, "--set", "control.poll_seconds=0.1")
    process = subprocess.Popen(command(*run(tmp_path, *options)), stderr=subprocess.PIPE, text=True)
    decided = tmp_path / "d.jsonl"
    more_than(decided, 0, process)
    yield process
    process.kill()
    process.communicate()


def test_a_running_flow_takes_a_command_within_its_poll(tmp_path, running):
    state = tmp_path / "state"
    other = headrace("control", "kill-switch", "on", "--state", state, "--decision", "credit")
    assert (other.code, "no decision credit; known are fraud" in other.said) == (2, True), other.said
    on = headrace("control", "kill-switch", "on", "--state", state, "--decision", "fraud")
    assert (on.code, "Taken by the running flow." in on.said) == (0, True), on.said
    off = headrace("control", "kill-switch", "off", "--state", state)
    assert (off.code, "Taken" in off.said) == (0, True), off.said
    said = headrace("control", "status", "--state", state).text
    assert said == "the flow is running\n2 was the last command taken\n"
    # A decision more after the last command, at least two batches on.
    for _ in range(3):
        more_than(tmp_path / "d.jsonl", (tmp_path / "d.jsonl").stat().st_size, running)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 0
    actions = [decision["action"] for decision in decisions(tmp_path)]
    switched = [place for place, action in enumerate(actions) if action != actions[0]]
    assert switched
    assert switched == list(range(switched[0], switched[-1] + 1)), "not one stretch"
    assert 0 < switched[0] <= switched[-1] < len(actions) - 1
    # The same again from the journal: every decision stays as it was made.
    whole = (tmp_path / "d.jsonl").read_bytes()
    for checkpoint in state.glob("shard-*/*.ckpt"):
        checkpoint.unlink()
    (tmp_path / "d.jsonl").unlink()
    assert headrace(*run(tmp_path, "--from", tmp_path / "events.jsonl")).code == 0
    assert (tmp_path / "d.jsonl").read_bytes().startswith(whole)


def test_a_flow_that_is_not_running_takes_it_first_when_it_starts(tmp_path):
    events = write(tmp_path / "events.jsonl", [payment(1)])
    assert headrace(*run(tmp_path, "--from", events)).code == 0
    state = tmp_path / "state"
    ended = headrace("control", "kill-switch", "on", "--state", state)
    assert (ended.code, "at its next start" in ended.said) == (0, True), ended.said
    said = headrace("control", "status", "--state", state).text
    assert "the flow isn't running\n" in said
    assert "1 waits: kill switch on\n" in said
    write(events, [payment(1), payment(2)])
    assert headrace(*run(tmp_path, "--from", events)).code == 0
    first, second = decisions(tmp_path)
    assert first["action"] != second["action"]
    assert "waits" not in headrace("control", "status", "--state", state).text


def test_a_list_is_read_when_the_command_is_given(tmp_path):
    listed = tmp_path / "blocked.txt"
    listed.write_text("c1\n")
    config = tmp_path / "mine.toml"
    shipped = Path(__file__).parents[2] / "flows" / "fraud.toml"
    table = (
        '\n[policy.lists.blocked]\nfile = "blocked.txt"\nkey = "customer_id"\naction = "block"\n'
        'code = "on_list"\n'
    )
    texts = shipped.read_text().replace("[reasons.texts]", '[reasons.texts]\non_list = "On a list."')
    config.write_text(texts + table)
    events = write(tmp_path / "events.jsonl", [payment(1), payment(2)])
    again = run(tmp_path, "--from", events, "--config", config)
    assert headrace(*again).code == 0
    # The file's change has no effect before it is told to the flow.
    listed.write_text("c2\n")
    write(events, [payment(1), payment(2), payment(6), payment(7)])
    assert headrace(*again).code == 0
    state = ("--state", tmp_path / "state", "--config", config)
    assert headrace("control", "reload-list", "blocked", *state).code == 0
    listed.write_text("c3\n")
    write(events, [payment(number) for number in (1, 2, 6, 7, 11, 12, 13)])
    assert headrace(*again).code == 0
    blocked = [each["event_id"] for each in decisions(tmp_path) if each["action"] == "block"]
    assert blocked == ["p1", "p6", "p12"]
    unknown = headrace("control", "reload-list", "other", *state)
    assert (unknown.code, "no list other; known are blocked" in unknown.said) == (2, True), unknown.said


def test_where_there_is_no_state_nothing_is_made(tmp_path):
    for arguments in (
        ("control", "kill-switch", "on"),
        ("control", "status"),
        ("dead-letters", "list"),
        ("dead-letters", "retry", "--all"),
        ("state", "inspect"),
    ):
        ended = headrace(*arguments, "--state", tmp_path / "nothing")
        assert (ended.code, "there is no state here" in ended.said) == (6, True), ended.said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shards", [1, 3])
def test_after_a_mistake_in_a_limit_retried_letters_get_their_decisions_once(tmp_path, shards):
    events = [payment(number, **({"note": NOTE} if number % 4 == 0 else {})) for number in range(40)]
    file = write(tmp_path / "events.jsonl", events)
    options = ("--from", file, "--set", f"flow.shards={shards}")
    assert headrace(*run(tmp_path, *options, "--set", "input.line_bytes_max=256")).code == 0
    state = tmp_path / "state"
    listed = headrace("dead-letters", "list", "--state", state, "--reason", "line_too_long").text
    letters = [json.loads(line) for line in listed.splitlines()]
    assert len(letters) == 10
    shown = headrace("dead-letters", "show", letters[3]["number"], "--state", state).text
    assert "line 13," in shown
    assert '"event_id": "p12"' in shown
    first = headrace("dead-letters", "retry", "--state", state, "--event-id", "p12")
    assert (first.code, "retry of a dead letter" in first.said) == (0, True), first.said
    assert headrace(*run(tmp_path, *options)).code == 0
    assert len(headrace("dead-letters", "list", "--state", state).text.splitlines()) == 9
    # From the file of dead letters, which still holds the one that was decided: it is a duplicate now.
    dead = tmp_path / "d.dead-letters.jsonl"
    assert headrace("dead-letters", "retry", dead, "--state", state, "--all").code == 0
    assert headrace(*run(tmp_path, *options)).code == 0
    found = decisions(tmp_path)
    assert Counter(each["event_id"] for each in found) == Counter(f"p{number}" for number in range(40))
    retried = [each["event_id"] for each in found if each.get("retried")]
    assert retried == ["p12", *[f"p{number}" for number in range(0, 40, 4) if number != 12]]
    assert headrace("dead-letters", "list", "--state", state).text == ""
    assert (
        headrace("dead-letters", "retry", "--state", state, "--all").said == "There is no such dead letter.\n"
    )


def test_a_letter_can_be_tried_with_mended_bytes(tmp_path):
    file = write(tmp_path / "events.jsonl", [payment(1), payment(2, amount=-5.0)])
    assert headrace(*run(tmp_path, "--from", file)).code == 0
    state, mended = tmp_path / "state", tmp_path / "mended.json"
    mended.write_text(json.dumps(payment(2, amount=5.0)) + "\n")
    retry = ("dead-letters", "retry", "--state", state, "--payload", mended)
    assert headrace(*retry, "--all").code == 0
    assert headrace(*run(tmp_path, "--from", file)).code == 0
    assert [(each["event_id"], each.get("retried")) for each in decisions(tmp_path)] == [
        ("p1", None),
        ("p2", True),
    ]
    ended = headrace(*retry, "--reason", "no_such")
    assert (ended.code, "0 are chosen" in ended.said) == (2, True), ended.said


def test_inspect_tells_of_a_state(tmp_path):
    file = write(tmp_path / "events.jsonl", [payment(number) for number in range(20)])
    assert headrace(*run(tmp_path, "--from", file)).code == 0
    state = tmp_path / "state"
    found = json.loads(headrace("state", "inspect", "--state", state, "--json").text)
    shard = found["shards"]["shard-00"]
    assert (shard["position"], found["commands"]) == (20, {"taken": 0, "waiting": 0})
    assert shard["sources"] == [
        {"number": 0, "name": str(file), "bytes_read": file.stat().st_size, "lines_read": 20}
    ]
    memory = shard["memory"]
    assert (memory["pending"], memory["entities"], memory["ids"]["payment"]) == (
        20,
        {"customer": 5, "merchant": 1},
        20,
    )
    assert found["bytes"] >= shard["journal_bytes"] + sum(each["bytes"] for each in shard["checkpoints"])
    plain = headrace("state", "inspect", "--state", state).text
    assert "shard-00: at input 20" in plain
    assert "5 customers, 1 merchants, 20 pending" in plain


@pytest.mark.parametrize("shards", [1, 3])
def test_a_clock_that_was_led_astray_is_put_back(tmp_path, shards):
    """A whole day's customers speak from a year ahead; a command, and everybody is on time again."""
    before = [payment(number, customer_id=f"c{number % 40}") for number in range(200)]
    ahead = [
        payment(number, event_time=START_MS + 365 * 86_400_000 + number, customer_id=f"x{number}")
        for number in range(1000, 1400)
    ]
    after = [payment(number, customer_id=f"c{number % 40}") for number in range(200, 400)]
    events = write(tmp_path / "events.jsonl", [*before, *ahead, *after[:100]])
    options = ("--from", events, "--set", f"flow.shards={shards}")
    first = headrace(*run(tmp_path, *options))
    assert first.code == 0, first.said
    state = tmp_path / "state"

    def late() -> int:
        told = json.loads(headrace("state", "inspect", "--state", state, "--json").text)
        return sum(each["memory"]["counts"].get("payments_late", 0) for each in told["shards"].values())

    lates = late()
    assert lates > 50
    refused = headrace("control", "clock", "--to", "yesterday", "--state", state)
    assert (refused.code, "not an RFC 3339 time" in refused.said) == (2, True)
    put = headrace("control", "clock", "--to", "2023-11-15T01:30:00Z", "--state", state)
    assert (put.code, "clock to 2023-11-15T01:30:00" in put.said) == (0, True), put.said
    write(events, [*before, *ahead, *after])
    second = headrace(*run(tmp_path, *options))
    assert second.code == 0, second.said
    assert late() == lates
    assert len(decisions(tmp_path)) == 800
    verified = headrace("replay", "--state", state, "--verify")
    assert verified.code == 0, verified.said


def test_a_sender_with_many_customers_leads_no_clock_astray(tmp_path):
    before = [payment(number, customer_id=f"c{number % 100}") for number in range(400)]
    ahead = [
        payment(number, event_time=START_MS + 3 * 86_400_000 + number, customer_id=f"c{number % 60}")
        for number in range(1000, 1060)
    ]
    after = [payment(number, customer_id=f"c{number % 100}") for number in range(400, 1156)]
    events = write(tmp_path / "events.jsonl", [*before, *ahead, *after])
    ended = headrace(*run(tmp_path, "--from", events))
    assert ended.code == 0, ended.said
    told = json.loads(headrace("state", "inspect", "--state", tmp_path / "state", "--json").text)
    counts = told["shards"]["shard-00"]["memory"]["counts"]
    assert (counts.get("payments_late", 0), counts["payments_ahead"]) == (0, 62)
