"""A kind that is registered from outside runs, is explained, replayed, erased, scraped: nothing knows it.

It stands in `tests/toy_kind`, and decides twice on each order: whether it is checked, whether it is wrapped.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import toy_kind
from commands import headrace, told
from killing import chosen, killing, logged
from rich.console import Console
from topic_worlds import World as TopicWorld
from topic_worlds import inputs_in, messages
from worlds import World, decided, overrides, write_lines

from headrace.cli.live import LivePanel
from headrace.config import flow_kinds
from headrace.config.loading import load
from headrace.replay.verify import rederive
from headrace.runtime.runs import Progress, RunRequest
from headrace.shard import kinds

START_MS = 1_700_000_000_000
CUSTOMERS = 7
THEIRS = "customer-to-forget"
SMALL = overrides(input__batch_lines_max=8, journal__checkpoint_inputs_max=60, checks__check_at=0.4)


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """The kind is known to these tests, and to the commands that they fork, only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "_LOADERS", dict(kinds._LOADERS))
        patch.setattr(flow_kinds, "_KINDS", dict(flow_kinds._KINDS))
        toy_kind.make_known()
        yield


def customer(number: int) -> str:
    return THEIRS if number % CUSTOMERS == 0 else f"c{number % CUSTOMERS}"


def order(number: int, **changes: object) -> bytes:
    fields = {
        "type": "order",
        "event_id": f"o{number}",
        "event_time": START_MS + number * 60_000,
        "order_id": f"r{number}",
        "customer_id": customer(number),
        "session_id": f"s-{customer(number)}",
        "items": [{"item_id": "i1", "quantity": 1, "price": 2.5}],
    }
    return json.dumps(fields | changes).encode()


def outcome(about: int) -> bytes:
    fields = {"type": "outcome", "event_id": f"t{about}", "event_time": START_MS + (about + 2) * 60_000}
    label = {"about": f"o{about}", "label": int(about % 3 == 0), "customer_id": customer(about)}
    return json.dumps(fields | label).encode()


def stream(orders: int) -> list[bytes]:
    """Orders, each with its outcome two later, some twice, some that are no use."""
    lines = []
    for number in range(orders):
        lines += [order(number), *([outcome(number - 2)] if number >= 2 else [])]
        lines += [order(number)] if number % 9 == 4 else []
        lines += [b'{"type": "order", "event_id": "cut'] if number % 13 == 5 else []
    return lines


@pytest.fixture
def world(tmp_path: Path) -> World:
    source = write_lines(tmp_path / "orders.jsonl", stream(60))
    return World(tmp_path / "world", (source,), SMALL, flow="returns")


@pytest.fixture
def ran(world: World) -> World:
    assert world.run() == 0, world.said
    return world


# -- on files


def test_each_order_gets_both_decisions_each_a_line_of_its_own(ran):
    found = decided(ran)
    assert [each["decision_id"] for each in found] == [
        f"{name}:o{number}" for number in range(60) for name in ("return", "wrap")
    ]
    assert {each["action"] for each in found} == {"ship", "check", "wrap", "plain"}


def test_the_run_is_told_in_its_own_words(ran):
    said = ran.said.splitlines()
    counted = next(line for line in said if "120 decisions" in line)
    assert re.search(r"\d+ ship, \d+ check, 20 wrap, 40 plain", counted) or "wrap" in counted
    assert "58 outcomes came, 2 orders wait" in said
    assert f"{CUSTOMERS} customers are known" in said
    assert any(re.fullmatch(r"quality: Brier 0\.\d{3} against outcomes \(58 orders\)", line) for line in said)


def test_a_running_flow_is_shown_in_a_panel():
    where = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    request = RunRequest(
        flow="returns",
        sources=("orders.jsonl",),
        to="decisions.jsonl",
        dead_letters=None,
        state=None,
        settings=load(None, flow="returns"),
        config_file=None,
        speed=None,
        learn=True,
    )
    counts = {"ship": 7, "check": 3, "wrap": 2, "plain": 8}
    progress = Progress(decisions=20, by_action=counts, quality={"brier": 0.125, "orders": 8}, pending=2)
    with LivePanel(where) as panel:
        panel.started(request)
        panel.progress(replace(progress, elapsed_s=1.0))
    assert isinstance(where.file, io.StringIO)
    drawn = where.file.getvalue()
    for text in (
        "headrace returns",
        "check",
        "3   15.0%",
        "Brier",
        "0.125",
        "orders, pending",
        "against outcomes",
    ):
        assert text in drawn


def test_its_configuration_is_checked_and_its_mistakes_are_told(tmp_path):
    assert "every order 3 wrapped" in told("check", "returns")
    own = tmp_path / "own.toml"
    own.write_text('[flow]\nkind = "returns"\n[checks]\ncheck_at = 2.0\nwrap_evry = 1\n')
    refused = headrace("check", own)
    assert refused.code == 2
    assert "checks.check_at" in refused.said
    assert "unknown key; did you mean wrap_every?" in refused.said


@pytest.mark.recovery
def test_killed_at_any_moment_it_ends_as_if_it_was_not(world, tmp_path):
    every = logged(world)
    expected = world.outputs()
    moments = chosen(every, max(1, len(every) // 12))
    for number, moment in enumerate(moments):
        killed = replace(world, folder=tmp_path / f"killed-{number}")
        killed.run(killing(moment))
        assert killed.run() == 0, (moment, killed.said)
        assert killed.outputs() == expected, moment


def test_several_shards_divide_the_orders(world):
    world = replace(world, options=(*SMALL, "--set", "flow.shards=3"))
    assert world.run() == 0, world.said
    assert [each["event_id"] for each in decided(world)][::2] == [f"o{number}" for number in range(60)]
    assert all(shard.stat() for shard in world.shards())
    assert len(world.shards()) == 3


# -- what the ledger says


def test_each_decision_is_explained_by_its_id_and_both_by_the_events(ran):
    for name, other in (("return", "wrap"), ("wrap", "return")):
        text = told("explain", f"{name}:o9", "--state", ran.state)
        assert text.startswith(f"{name}:o9")
        assert f"{other}:o9" in text
        assert "sent back" in text
        plain = json.loads(told("explain", f"{name}:o9", "--state", ran.state, "--json"))
        assert plain["decision"]["decision_id"] == plain["decision_id"] == f"{name}:o9"
        assert plain["beside"] == [f"{other}:o9"]
        assert plain["orders"] == 2
        assert [each["label"] for each in plain["outcomes"]] == [1]
    assert told("explain", "o9", "--state", ran.state).startswith("return:o9")
    assert "120 decisions" in told("ledger", "index", "--state", ran.state)


def test_each_decision_is_a_row(ran, tmp_path):
    table = tmp_path / "table.csv"
    told("ledger", "export", "--state", ran.state, "--to", table)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["decision_id"] for row in rows] == [each["decision_id"] for each in decided(ran)]
    assert [row["score"] != "" for row in rows] == [True, False] * 60
    assert rows[18]["orders"] == rows[19]["orders"] == "2"
    assert rows[18]["label"] == "1"
    assert "policy_trace" not in rows[0]


def test_it_is_derived_again_to_the_byte_and_replayed_with_another_configuration(ran, tmp_path):
    assert "120 decisions compared, 0 differences" in told("replay", "--state", ran.state, "--verify")
    other = ("replay", "--state", ran.state, "--set", "checks.check_at=1.0")
    assert re.search(r"[1-9]\d* of 120 decisions are others", told(*other))
    assert json.loads(told(*other, "--json"))["compared"] == 120
    page = tmp_path / "page.html"
    told(*other, "--html", page)
    assert "of 120 decisions are others" in page.read_text()
    refused = headrace(*other, "--horizon-days", 3)
    assert refused.code == 2
    assert "not supported for returns" in refused.said


def test_of_several_lines_the_one_that_differs_is_named(ran, monkeypatch):
    from toy_kind.machine import ReturnsShard

    was = ReturnsShard._line
    swapped = {"wrap": "plain", "plain": "wrap"}
    monkeypatch.setattr(
        ReturnsShard,
        "_line",
        lambda self, order, name, action, *score: was(self, order, name, swapped.get(action, action), *score),
    )
    found = rederive(ran.shards()[0], shard=0)
    assert found.differences == 60
    assert found.first is not None
    assert found.first.decision_id == "wrap:o0"
    assert 'action "plain", now action "wrap"' in str(found.first)


def test_an_order_that_was_no_use_is_given_once_more_and_both_decisions_say_so(ran, tmp_path):
    mended = write_lines(tmp_path / "mended", [order(1_000)])
    first = json.loads(told("dead-letters", "list", "--state", ran.state).splitlines()[0])
    told("dead-letters", "retry", "--number", first["number"], "--state", ran.state, "--payload", mended)
    assert ran.run() == 0, ran.said
    retried = [each for each in decided(ran) if each.get("retried")]
    assert [each["decision_id"] for each in retried] == ["return:o1000", "wrap:o1000"]
    assert "bytes replaced" in told("explain", "wrap:o1000", "--state", ran.state)


def test_a_customer_is_forgotten_everywhere(ran):
    theirs = sum(each["customer_id"] == THEIRS for each in decided(ran))
    assert theirs == 18
    told("erase", "--customer", THEIRS, "--state", ran.state)
    held = b"".join(path.read_bytes() for path in ran.state.rglob("*") if path.is_file())
    assert THEIRS.encode() not in held
    verified = told("replay", "--state", ran.state, "--verify")
    assert " 0 differences" in verified
    told("ledger", "verify", "--state", ran.state)


# -- on topics


PROGRAM = """
import headrace.flows.kinds, toy_kind
toy_kind.make_known()
from headrace.cli.app import main
raise SystemExit(main())
"""


class ToyWorld(TopicWorld):
    """Orders on topics."""

    flow = "returns"
    program = (sys.executable, "-c", PROGRAM)


@pytest.fixture
def topics(broker, tmp_path, monkeypatch) -> Iterator[ToyWorld]:
    monkeypatch.setenv("PYTHONPATH", str(Path(toy_kind.__file__).parents[1]))
    made = ToyWorld(broker, tmp_path, partitions=2, shards=2)
    yield made
    made.close()


@pytest.mark.broker
@pytest.mark.recovery
def test_on_topics_each_decision_is_one_message_whenever_it_is_killed(topics):
    """D-OUT-4."""
    lines, draws = stream(400), random.Random(7)
    topics.send(lines[:-20])
    expected = len({line for line in lines if b'"event_id": "o' in line})
    for part in range(1, 5):
        running = topics.start("--set", "checks.check_at=0.4")
        reached = (len(lines) - 40) * part // 6 + draws.randrange(20)
        running.wait_for(lambda reached=reached: inputs_in(topics.state) >= reached, "some inputs")
        running.kill()
    topics.send(lines[-20:])  # so that the last run has something to do before it is stopped
    topics.run(len(lines), "--set", "checks.check_at=0.4")
    topics.check()
    found = messages(topics.brokers, topics.to)
    assert len(found) == 2 * expected
    assert all(each.id == json.loads(each.value)["decision_id"] for each in found)
    assert all(each.key.decode() == json.loads(each.value)["customer_id"] for each in found)
    assert dict(found[0].headers)["ce_type"] in (b"headrace.decision.return", b"headrace.decision.wrap")
    assert json.loads(told("explain", "wrap:o9", "--state", topics.state, "--json"))["beside"] == [
        "return:o9"
    ]
    assert "0 differences" in told("replay", "--state", topics.state, "--verify")


@pytest.mark.broker
def test_a_running_flow_is_scraped(topics):
    topics.send(stream(50))
    running = topics.start("--metrics-port", "0")
    running.wait_for(lambda: inputs_in(topics.state) >= 100, "inputs")
    url = re.search(r"metrics: (\S+)", running.said.read_text())
    assert url is not None
    with urllib.request.urlopen(url[1]) as answer:
        text = answer.read().decode()
    assert running.stop() == 0
    assert re.search(r'^headrace_decisions_total\{action="wrap",flow="returns"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^headrace_returns_brier\{flow="returns"\} 0\.\d', text, re.MULTILINE)
    assert re.search(r'^headrace_returns_customers\{flow="returns",shard="0[01]"\} [1-9]', text, re.MULTILINE)
