"""`headrace run recommend` from the command line: what goes out, what is told, what is refused."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from commands import headrace, started_anew
from worlds import click, clicks, write_lines

pytestmark = pytest.mark.integration

LINES = 900


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("shop") / "clicks.jsonl", clicks(LINES))


@pytest.fixture(scope="module")
def ran(events, tmp_path_factory) -> Path:
    """A folder with decisions, dead letters and state of one run."""
    folder = tmp_path_factory.mktemp("ran")
    done = headrace(
        *("run", "recommend", "--from", events, "--to", folder / "d.jsonl", "--state", folder / "state"),
        *("--set", "journal.checkpoint_inputs_max=200"),
    )
    assert done.code == 0, done.said
    assert "against next clicks" in done.said
    return folder


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_click_gets_one_slate_and_nothing_else_does(events, ran):
    asked = {}
    for line in events.read_bytes().splitlines():
        if not line.endswith(b'\xff"}'):
            event = json.loads(line)
            if event["type"] == "click":
                asked[event["event_id"]] = event["item_id"]
    decisions = read(ran / "d.jsonl")
    assert [each["event_id"] for each in decisions] == list(asked)
    for each in decisions:
        items = [item["item_id"] for item in each["items"]]
        assert len(items) == len(set(items)) <= 20
        assert asked[each["event_id"]] not in items
        assert each["action"] == ("recommend" if items else "none")


def test_lines_of_no_use_are_dead_letters(ran):
    letters = read(ran / "d.dead-letters.jsonl")
    assert letters
    assert {each["reason"] for each in letters} == {"invalid_utf8"}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("learn_from", ["all", "own"])
def test_hash_seeds_and_batches_do_not_matter(events, tmp_path, shards, learn_from):
    outputs = []
    for seed, lines in ((1, 16), (2, 500)):
        to = tmp_path / f"{seed}.jsonl"
        done = started_anew(
            *("run", "recommend", "--from", events, "--to", to, "--set", f"input.batch_lines_max={lines}"),
            *("--set", f"flow.shards={shards}", "--set", f"flow.learn_from={learn_from}"),
            hash_seed=seed,
        )
        assert done.code == 0, done.said
        outputs.append(to.read_bytes())
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") > LINES // 2


def test_files_are_merged_by_event_time(tmp_path):
    lines = clicks(300)
    whole = write_lines(tmp_path / "whole.jsonl", lines)
    times = [0 if line.endswith(b'\xff"}') else json.loads(line)["event_time"] for line in lines]
    good = [line for time, line in zip(times, lines, strict=True) if time]
    good = list(dict.fromkeys(good))
    write_lines(whole, good)
    halves = [write_lines(tmp_path / f"{place}.jsonl", good[place::2]) for place in (0, 1)]
    zipped = tmp_path / "0.jsonl.gz"
    zipped.write_bytes(gzip.compress(halves[0].read_bytes()))
    one, both = tmp_path / "one.jsonl", tmp_path / "both.jsonl"
    assert headrace("run", "recommend", "--from", whole, "--to", one).code == 0
    assert headrace("run", "recommend", "--from", zipped, "--from", halves[1], "--to", both).code == 0
    assert one.read_bytes() == both.read_bytes()


def test_a_new_item_is_recommended_also_across_a_restart(tmp_path):
    first = write_lines(
        tmp_path / "first.jsonl",
        [click(number, number // 2, item) for number, item in enumerate([1, 2, 1, 2, 1, 2])],
    )
    further = write_lines(tmp_path / "further.jsonl", [click(10, 9, 1)])
    to, state = tmp_path / "d.jsonl", tmp_path / "state"
    run = ("run", "recommend", "--from", first, "--to", to, "--state", state)
    assert headrace(*run).code == 0
    assert headrace(*run, "--from", further).code == 0
    assert read(to)[-1]["event_id"] == "k10"
    assert read(to)[-1]["items"][0]["item_id"] == "i2"


# -- what can be asked of a state


def test_a_slate_is_explained_item_by_item(ran):
    decision = next(each for each in read(ran / "d.jsonl")[500:] if len(each["items"]) > 5)
    done = headrace("explain", decision["event_id"], "--state", ran / "state", "--json")
    assert done.code == 0, done.said
    said = json.loads(done.text)
    assert said["decision_id"] == decision["decision_id"]
    assert [(each["item_id"], each["source"]) for each in said["items"]] == [
        (each["item_id"], each["source"]) for each in decision["items"]
    ]
    neighbour = next(each for each in said["items"] if each["source"] == "neighbours")
    assert neighbour["text"].startswith(
        f"beside {neighbour['anchor']} in {neighbour['support']} recent session"
    )
    shown = headrace("explain", decision["decision_id"], "--state", ran / "state").text
    assert neighbour["text"] in " ".join(shown.split())


def test_what_the_session_did_next_is_told_with_its_place(tmp_path):
    walk = [click(number, number // 2, 1 + number % 2) for number in range(20)]
    bought = [{"item_id": item, "quantity": 1, "price": 1.0} for item in ("i2", "i9")]
    order = json.loads(click(32, 50, 2)) | {
        "type": "order",
        "order_id": "r",
        "customer_id": "c",
        "items": bought,
    }
    del order["item_id"]
    lines = [
        *walk,
        click(30, 50, 1),
        click(31, 50, 2, type="cart"),
        click(31, 51, 1),  # of another session
        json.dumps(order).encode(),
        click(33, 50, 7),
        click(34, 50, 2),
        click(900, 50, 2),  # hours later
    ]
    events, to, state = write_lines(tmp_path / "e.jsonl", lines), tmp_path / "d.jsonl", tmp_path / "state"
    run = ("run", "recommend", "--from", events, "--to", to, "--state", state)
    many_segments = ("--set", "input.batch_lines_max=2", "--set", "journal.checkpoint_inputs_max=3")
    assert headrace(*run, *many_segments).code == 0
    place = 1 + [each["item_id"] for each in read(to)[20]["items"]].index("i2")

    def followed(click_id: str) -> list[tuple[str, str, int]]:
        said = json.loads(headrace("explain", click_id, "--state", state, "--json").text)
        return [(each["kind"], each["item_id"], each["rank"]) for each in said["followed"]]

    assert followed("k30") == [
        ("cart", "i2", place),
        ("order", "i2", place),
        ("order", "i9", 0),
        ("click", "i7", 0),
    ]
    assert followed("k34") == []
    shown = " ".join(headrace("explain", "k30", "--state", state).text.split())
    assert f"put into the cart i2 place {place}" in shown
    assert "clicked i7 not on the slate" in shown


def test_the_ledger_is_whole_and_every_slate_is_derived_again(ran):
    assert headrace("ledger", "verify", "--state", ran / "state").code == 0
    done = headrace("replay", "--state", ran / "state", "--verify")
    assert done.code == 0, done.said
    assert "0 differences" in done.text


def test_a_state_is_inspected(ran):
    done = headrace("state", "inspect", "--state", ran / "state", "--json")
    memory = json.loads(done.text)["shards"]["shard-00"]["memory"]
    assert memory["entities"]["item"] > 50
    assert memory["counts"]["recommend"] > LINES // 2


def test_a_state_of_another_flow_is_refused(events, ran):
    done = headrace("run", "fraud", "--from", events, "--to", ran / "d.jsonl", "--state", ran / "state")
    assert done.code == 7
    said = done.said.splitlines()
    assert said[-1].endswith('flow.kind: the state has "recommend", the configuration "fraud"')
    assert len(said) == 1


def test_slates_are_exported_with_their_items(ran, tmp_path):
    done = headrace("ledger", "export", "--state", ran / "state", "--to", tmp_path / "x.csv")
    assert done.code == 0, done.said
    assert "with outcome" not in done.said
    with (tmp_path / "x.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    decisions = read(ran / "d.jsonl")
    assert [row["decision_id"] for row in rows] == [each["decision_id"] for each in decisions]
    for row, decision in zip(rows, decisions, strict=True):
        items = json.loads(row["items"])
        assert [each["item_id"] for each in items] == [each["item_id"] for each in decision["items"]]
        assert int(row["candidates"]) >= len(items)
        assert row["item_id"]
    assert "score" not in rows[0]


def test_the_kill_switch_is_turned_on_by_a_command(tmp_path):
    first = write_lines(tmp_path / "a.jsonl", [click(number, number, number % 3) for number in range(40)])
    further = write_lines(tmp_path / "b.jsonl", [click(50, 50, 1)])
    to, state = tmp_path / "d.jsonl", tmp_path / "state"
    run = ("run", "recommend", "--from", first, "--to", to, "--state", state)
    assert headrace(*run).code == 0
    assert headrace("control", "kill-switch", "on", "--state", state).code == 0
    assert headrace(*run, "--from", further).code == 0
    last = read(to)[-1]
    assert (last["event_id"], last["policy"]) == ("k50", "kill_switch")
    assert {each["source"] for each in last["items"]} == {"trending"}


def test_a_customers_sessions_are_erased(tmp_path):
    lines = [click(number, number // 3, number % 11, customer_id=f"c{number // 30}") for number in range(90)]
    events, to, state = write_lines(tmp_path / "a.jsonl", lines), tmp_path / "d.jsonl", tmp_path / "state"
    run = ("run", "recommend", "--from", events, "--to", to, "--state", state)
    assert headrace(*run).code == 0
    done = headrace("erase", "--customer", "c1", "--state", state)
    assert done.code == 0, done.said
    kept = b"".join(path.read_bytes() for path in sorted(state.rglob("shard-00/*")))
    assert b"k5" in kept
    assert b'"c1"' not in kept
    assert b'"k45"' not in kept
    assert headrace("ledger", "verify", "--state", state).code == 0
    assert headrace("explain", "k45", "--state", state).code == 9
    assert not json.loads(headrace("explain", "k5", "--state", state, "--json").text)["erased"]


# -- configurations


def test_every_mistake_of_a_configuration_is_told_at_once(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text(
        """
        [flow]
        kind = "recommend"
        learn_from = "some"
        [slate]
        items_max = 0
        leave_uot = "seen"
        [engine]
        candidates_max = "many"
        [model]
        name = "x"
        """
    )
    done = headrace("check", config)
    assert done.code == 2
    for said in (
        f"{config}: flow.learn_from: ",
        f"{config}: slate.items_max: ",
        f"{config}: slate.leave_uot: unknown key; did you mean leave_out?",
        f"{config}: engine.candidates_max: ",
        f"{config}: model: unknown key",
    ):
        assert said in done.said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("slate.items_max=60", "engine.candidates_max=50"), "slate.items_max: must be at most"),
        (("flow.kind=recomend",), "flow.kind: there is no flow recomend; did you mean recommend?"),
        (("flow.kind=fraud",), "flow.kind: is a configuration of fraud, and recommend was asked for"),
        (("flow.currency=EUR",), "flow.currency: unknown key"),
    ],
)
def test_settings_that_do_not_fit_together(tmp_path, overrides, said):
    options = [part for each in overrides for part in ("--set", each)]
    done = headrace("run", "recommend", "--from", "-", "--to", tmp_path / "d.jsonl", *options)
    assert done.code == 2
    assert said in done.said


def test_answers_to_judge_scores_by_are_refused(events, tmp_path):
    done = headrace("run", "recommend", "--from", events, "--to", tmp_path / "d.jsonl", "--truth", events)
    assert done.code == 2
    assert "--truth: not supported by recommend" in done.said
