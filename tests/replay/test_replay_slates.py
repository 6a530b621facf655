"""`headrace replay` of slates under another configuration: what it says is what a run would have done."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from math import log2
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from commands import headrace, waiting_for_checkpoints
from worlds import World, click, clicks, overrides, write_lines

from headrace.cli import app as cli
from headrace.config.loading import lay_over
from headrace.journal.checkpoint import checkpoint_numbers
from headrace.journal.segments import first_boundary, segment_path
from headrace.kinds.recommend.replay_slates import slate_again
from headrace.operators.recommend.similarity import overlap
from headrace.replay.past import Past

pytestmark = pytest.mark.integration

LINES = 1500
WHOLE = ("--warm-up-days", "0", "--resamples", "20")
SHORT = overrides(
    input__batch_lines_max=50,
    journal__checkpoint_inputs_max=200,
    journal__checkpoints_max=1,
    journal__keep_bytes_max=500_000,
)
OTHER = ("engine.neighbours_max=4", "slate.leave_out=seen")


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return clicks(LINES)


@pytest.fixture(scope="module")
def made(tmp_path_factory, lines) -> Callable[..., World]:
    """A state of a run with some settings; each is made once."""
    worlds: dict[object, World] = {}

    def make(**settings: object) -> World:
        key = tuple(settings.items())
        if key not in worlds:
            folder = tmp_path_factory.mktemp("run")
            events = write_lines(folder / "clicks.jsonl", lines)
            worlds[key] = World(folder / "run", (events,), overrides(**settings), "recommend")
            assert worlds[key].run() == 0, worlds[key].said
        return worlds[key]

    return make


@pytest.fixture
def replay(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    def call(state: Path, *arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["headrace", "replay", "--state", str(state), *map(str, arguments)])
        capsys.readouterr()
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


@pytest.fixture
def compared(replay) -> Callable[..., dict]:
    def call(state: Path, *arguments: object) -> dict:
        ended = replay(state, "--json", *WHOLE, *arguments)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call


def decisions(world: World) -> dict[str, list[str]]:
    found = map(json.loads, world.decisions.read_bytes().splitlines())
    return {each["event_id"]: [item["item_id"] for item in each["items"]] for each in found}


def ranks(world: World, lines: list[bytes]) -> list[tuple[int, bool]]:
    """Where each session's next click stood in the last slate, and whether its item was new to it."""
    slates, last, seen, found = decisions(world), {}, {}, []
    for line in dict.fromkeys(lines):
        if line.endswith(b'\xff"}'):
            continue
        event = json.loads(line)
        if event["type"] == "click":
            session, item = event["session_id"], event["item_id"]
            if session in last:
                rank = last[session].index(item) + 1 if item in last[session] else 0
                found.append((rank, item not in seen[session]))
            last[session] = slates[event["event_id"]]
            seen.setdefault(session, set()).add(item)
    return found


@pytest.mark.parametrize(
    "settings",
    [{}, {"flow__shards": 3}, {"flow__shards": 3, "flow__learn_from": "own"}],
    ids=["one", "all", "own"],
)
def test_the_same_configuration_changes_nothing(made, compared, settings):
    world = made(**settings)
    said = compared(world.state, "--set", "journal.fsync=true")
    assert said["slates"] == said["compared"] == len(decisions(world))
    assert (said["changed"]["changed"], said["changed"]["overlap"], said["changed"]["similarity"]) == (
        0,
        1,
        1,
    )
    assert all(each["difference"]["value"] == 0.0 for each in said["quality"].values())
    assert said["examples"] == {"gained": [], "lost": []}
    assert said["not_comparable"] == {"erased": 0, "erased_decisions": 0, "old_only": {}, "new_only": 0}


def test_the_measures_are_those_of_the_slates_that_went_out(made, compared, lines):
    world = made()
    said, found = compared(world.state, "--set", "journal.fsync=true"), ranks(world, lines)
    fresh = [rank for rank, new in found if new]
    assert (said["evaluated"], said["evaluated_new"]) == (len(found), len(fresh))
    for prefix, of in (("", [rank for rank, _ in found]), ("new_", fresh)):
        expected = {
            "hit_rate": sum(rank > 0 for rank in of),
            "mrr": sum(1 / rank for rank in of if rank),
            "ndcg": sum(1 / log2(1 + rank) for rank in of if rank),
        }
        for name, total in expected.items():
            measured = said["quality"][prefix + name]["old"]
            assert measured["value"] == pytest.approx(total / len(of))
            assert measured["low"] <= measured["value"] <= measured["high"]


def test_it_makes_the_slates_that_a_run_would_have_made(made, compared, lines):
    old, new = made(), made(engine__neighbours_max=4, slate__leave_out="seen")
    said = compared(old.state, *(part for each in OTHER for part in ("--set", each)))
    before, after = decisions(old), decisions(new)
    assert said["changed"]["changed"] == sum(before[each] != after[each] for each in before)
    assert said["changed"]["other_first"] == sum(before[each][:1] != after[each][:1] for each in before)
    mean = sum(overlap(before[each], after[each]) for each in before) / len(before)
    assert said["changed"]["overlap"] == pytest.approx(mean, abs=1e-6)
    assert said["changed"]["similarity"] < 1.0
    hits = [rank for rank, _ in ranks(new, lines)]
    assert said["quality"]["mrr"]["new"]["value"] == pytest.approx(
        sum(1 / rank for rank in hits if rank) / len(hits)
    )
    gained = said["examples"]["gained"][0]
    assert [item["item_id"] for item in gained["new"]] == after[gained["event_id"]]
    assert [item["item_id"] for item in gained["old"]] == before[gained["event_id"]]
    assert after[gained["event_id"]][gained["new_rank"] - 1] == gained["next_clicked"]
    assert all(item["text"] for item in gained["new"])


def test_carts_and_orders_are_evaluated_by_their_sessions_last_list(tmp_path, compared):
    walk = [click(number, number // 2, 1 + number % 2) for number in range(20)]
    bought = [{"item_id": "i2", "quantity": 1, "price": 1.0}, {"item_id": "i9", "quantity": 1, "price": 1.0}]
    asks = click(30, 50, 1)  # its slate has the item 2, and never one that nobody clicked
    cart = click(31, 50, 2, type="cart")
    order = json.loads(click(32, 50, 2)) | {
        "type": "order",
        "order_id": "r",
        "customer_id": "c",
        "items": bought,
    }
    del order["item_id"]
    other = click(33, 51, 2, type="cart")  # its session saw no slate
    events = write_lines(tmp_path / "e.jsonl", [*walk, asks, cart, json.dumps(order).encode(), other])
    world = World(tmp_path / "run", (events,), (), "recommend")
    assert world.run() == 0, world.said
    said = compared(world.state, "--set", "slate.items_max=10")
    assert said["followed"] == {"cart": 1, "order": 2}
    assert said["quality"]["carts_on_list"]["old"]["value"] == 1.0
    assert said["quality"]["orders_on_list"]["new"]["value"] == 0.5


def test_without_learning_the_ranker_stays_as_it_began(made, compared):
    world = made()
    said = compared(world.state, "--set", "journal.fsync=true", "--no-learn")
    assert said["changed"]["changed"] > 0
    assert said["changed"]["other_items"] < said["changed"]["changed"]
    assert not said["new"]["learn"]
    assert "The new ranker did not learn (--no-learn)." in said["limits"]


def test_days_of_warm_up_are_left_out_of_everything(made, compared):
    world = made()
    said = compared(world.state, "--set", OTHER[0], "--warm-up-days", "1")
    assert 0 <= said["compared"] < said["slates"]
    assert said["period"]["warm_up_days"] == 1
    assert all(each["event_time"] >= said["period"]["from_ms"] for each in said["examples"]["gained"])


def test_the_kill_switch_is_on_where_it_was(tmp_path, lines, replay, compared):
    first = write_lines(tmp_path / "first.jsonl", lines[:300])
    further = write_lines(tmp_path / "further.jsonl", lines[300:400])
    world = World(tmp_path / "run", (first,), (), "recommend")
    assert world.run() == 0, world.said
    assert headrace("control", "kill-switch", "on", "--state", world.state).code == 0
    world = World(world.folder, (first, further), (), "recommend")
    assert world.run() == 0, world.said
    said = compared(world.state, "--set", "policy.kill_switch=nothing")
    assert said["commands"] == {"commands": 1, "commands_refused": 0}
    asked = [each for each in world.decisions.read_bytes().splitlines() if b"kill_switch" in each]
    assert said["changed"]["changed"] == len(asked) > 0


def test_it_begins_with_the_oldest_input_that_is_kept(tmp_path, lines, compared):
    events = write_lines(tmp_path / "e.jsonl", lines)
    world = World(tmp_path / "run", (events,), SHORT, "recommend")
    assert world.run() == 0, world.said
    begins = first_boundary(world.shards()[0]).ordinal
    assert begins > 0
    said = compared(world.state, "--set", "slate.items_max=20")
    assert said["ordinal_first"] == begins
    assert 0 < said["slates"] < len(decisions(world))


def test_the_kill_switch_is_on_also_where_its_command_is_gone(tmp_path, lines, compared):
    options = overrides(
        input__batch_lines_max=50, journal__checkpoint_inputs_max=200, journal__checkpoints_max=100
    )
    first = write_lines(tmp_path / "first.jsonl", lines[:50])
    further = write_lines(tmp_path / "further.jsonl", lines[50:])
    world = World(tmp_path / "run", (first,), options, "recommend")
    assert world.run(waiting_for_checkpoints) == 0, world.said
    assert headrace("control", "kill-switch", "on", "--state", world.state).code == 0
    world = World(world.folder, (first, further), options, "recommend")
    assert world.run(waiting_for_checkpoints) == 0, world.said
    (shard,) = world.shards()
    kept = checkpoint_numbers(shard)[1]  # newest first; the last one is of the end
    for number in range(1, kept):
        segment_path(shard, number).unlink()
    said = compared(world.state, "--set", "policy.kill_switch=nothing")
    assert said["commands"]["commands"] == 0
    # What came twice is a new click where the first one is gone.
    answered = said["slates"] + said["not_comparable"]["new_only"]
    assert said["counts"]["empty_kill_switch"] == answered > 0


def test_an_erased_customer_is_not_comparable(tmp_path, compared):
    lines = [click(number, number // 3, number % 11, customer_id=f"c{number // 30}") for number in range(90)]
    events = write_lines(tmp_path / "e.jsonl", lines)
    world = World(tmp_path / "run", (events,), (), "recommend")
    assert world.run() == 0, world.said
    assert headrace("erase", "--customer", "c1", "--state", world.state).code == 0
    said = compared(world.state, "--set", "slate.items_max=10")
    assert said["not_comparable"]["erased_decisions"] == 30
    assert said["slates"] == 60


def test_what_events_hold_is_told_as_it_is_and_the_page_runs_nothing(tmp_path, replay):
    lines = [
        click(number, number // 5, 0, item_id=("<b>a&b</b>", "[red]x", "c", "d")[number * number % 7 % 4])
        for number in range(60)
    ]
    world = World(tmp_path / "run", (write_lines(tmp_path / "e.jsonl", lines),), (), "recommend")
    assert world.run() == 0, world.said
    page = tmp_path / "report.html"
    ended = replay(world.state, *WHOLE, "--set", "slate.items_max=1", "--html", page)
    assert ended.code == 0, ended.err
    assert "[red]x" in ended.out
    text = page.read_text()
    assert "<b>a" not in text
    assert "&lt;b&gt;a&amp;b" in text
    assert "<script" not in text
    body = text.split("<body>")[1].removesuffix("</body></html>\n").replace("<br>", "<br/>")
    root = ET.fromstring(f"<body>{body}</body>")
    assert {part.tag for part in root.iter()} >= {"h1", "h2", "table", "svg"}
    (chart,) = root.iter("svg")
    assert sum(part.tag == "line" and part.get("class") == "old" for part in chart.iter()) > 4
    for said in ("hit rate", "biased towards the old", "Next clicks that stand lower now"):
        assert said in text
        assert said in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "slate.items_max=9", "--horizon-days", "3"), "not supported for slates"),
        (("--set", "slate.items_max=9", "--review-cost", "3"), "not supported for slates"),
        (("--set", "engine.neighbours=9"), "engine.neighbours: unknown key; did you mean neighbours_max?"),
        (("--set", "flow.kind=fraud"), "flow.kind"),
    ],
)
def test_what_makes_no_sense_for_slates_is_refused(made, replay, arguments, said):
    ended = replay(made().state, *arguments)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())


def test_a_configuration_of_another_flow_is_refused(made, replay, tmp_path):
    config = tmp_path / "fraud.toml"
    config.write_text('[flow]\nkind = "fraud"\n')
    ended = replay(made().state, "--config", config)
    assert ended.code == 2
    assert "is a configuration of fraud, and recommend was asked for" in " ".join(ended.err.split())


def test_a_past_of_nothing_is_told_without_failing(tmp_path, replay):
    world = World(tmp_path / "run", (write_lines(tmp_path / "e.jsonl", []),), (), "recommend")
    assert world.run() == 0, world.said
    for form in ((), ("--json",)):
        ended = replay(world.state, *form, "--set", "slate.items_max=9")
        assert ended.code == 0, ended.err
    settings = Past(world.shards()).configurations[-1].settings
    assert slate_again(Past(world.shards()), lay_over(settings, (), "it")).slates.time_ms.size == 0
