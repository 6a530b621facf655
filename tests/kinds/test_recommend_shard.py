"""The state machine of slates: what a click is answered, what is learned, what is evaluated."""

from __future__ import annotations

import json

import pytest
from houses import HOUR_MS, START_MS, House

from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.records import Kind
from headrace.kinds.recommend.machine import RecommendShard
from headrace.operators.recommend.detail import read
from headrace.shard.commands import Erase, KillSwitch, ReloadList


@pytest.fixture
def house() -> House:
    return House()


def test_the_first_click_of_all_gets_an_empty_slate_with_its_reason(house):
    decision = house.click("s1", "a")
    assert decision["decision_id"] == "recommend:e1"
    assert (decision["action"], decision["items"]) == ("none", [])
    assert decision["reasons"] == [{"code": "no_candidates", "contribution": None}]
    assert house.shard.counts["empty_no_candidates"] == 1


def test_a_new_item_clicked_in_three_sessions_is_recommended_in_the_fourth(house):
    for session in ("s1", "s2", "s3"):
        house.click(session, "old")
        house.click(session, "new")
    decision = house.click("s4", "old")
    assert decision["items"][0]["item_id"] == "new"
    assert decision["action"] == "recommend"


def test_a_slate_reflects_the_click_that_asks_for_it(house):
    for session in ("s1", "s2"):
        house.click(session, "a")
        house.click(session, "b")
        house.click(session, "x")
        house.click(session, "y")
    assert house.items("s3", "a")[0] == "b"
    assert house.items("s3", "x")[0] == "y"


@pytest.mark.parametrize(
    ("leave_out", "among", "missing"),
    [("current", {"a"}, {"b"}), ("seen", set(), {"a", "b"}), ("nothing", {"a", "b"}, set())],
)
def test_what_a_slate_leaves_out(leave_out, among, missing):
    house = House(slate={"leave_out": leave_out})
    house.click("s0", "c")
    house.click("s1", "a")
    shown = set(house.items("s1", "b"))
    assert among <= shown
    assert not missing & shown


def test_a_slate_has_no_more_items_than_it_may():
    house = House(slate={"items_max": 3})
    for number in range(10):
        house.click("s1", f"i{number}")
    assert len(house.items("s2", "i0")) == 3


@pytest.mark.parametrize("fields", [{"hidden": True}, {"available": False}])
def test_what_the_catalogue_hides_is_learned_from_and_never_shown(house, fields):
    for session in ("s1", "s2"):
        house.click(session, "a")
        house.click(session, "b")
    house.tell("item", item_id="b", **fields)
    assert "b" not in house.items("s3", "a")
    house.click("s3", "b")
    house.tell("item", item_id="b", after_ms=-60_000)  # an older note than the one that holds
    assert "b" not in house.items("s4", "a")
    house.tell("item", item_id="b")
    decision = house.click("s5", "a")
    assert decision["items"][0]["item_id"] == "b"


def test_the_next_click_evaluates_the_slate_before_it_is_learned_from(house):
    for session in ("s1", "s2"):
        house.click(session, "a")
        house.click(session, "b")
    house.shard.evaluated.clear()
    shown = house.items("s3", "a")
    house.click("s3", "b")
    house.click("s3", "never seen before")
    hit, miss = house.shard.evaluated
    assert (hit.rank, hit.length, hit.new) == (shown.index("b") + 1, len(shown), True)
    assert (miss.rank, miss.new) == (0, True)


def test_a_slate_that_waited_for_too_long_is_not_evaluated():
    house = House(slate={"pending_minutes_max": 10.0})
    house.click("s1", "a")
    house.click("s1", "b", after_ms=HOUR_MS)
    assert house.shard.evaluated == []
    assert house.shard.pending.expired == 1


def test_a_repeat_is_not_answered_again_and_another_content_is_a_dead_letter(house):
    line = {"event_id": "k", "session_id": "s", "item_id": "a", "event_time": START_MS}
    assert house.tell("click", **line)[0] == Kind.DECIDED
    assert house.tell("click", **line)[0] == Kind.DUPLICATE
    kind, letter, _ = house.tell("click", **{**line, "item_id": "b"})
    assert (kind, json.loads(letter)["reason"]) == (Kind.DEAD, "id_conflict")
    assert house.shard.pending.of("s").items == []


def test_clicks_before_the_clock_has_started_are_taken_in_once_it_has(house):
    engine = house.shard.engine
    house.click("s1", "a")
    assert engine.history("s1") == [engine.items.known("a")]  # it moves itself at once
    assert house.items("s2", "b") == []  # and teaches others once its time is accepted
    assert sorted(house.items("s3", "c")) == ["a", "b"]


@pytest.mark.parametrize("known_sessions", [0, 3])
@pytest.mark.parametrize("after_ms", [0, 1000 * HOUR_MS, -1000 * HOUR_MS])
def test_a_slate_reflects_its_own_click_whatever_the_clock_makes_of_it(known_sessions, after_ms):
    house = House(slate={"leave_out": "nothing"})
    for number in range(known_sessions):
        house.click(f"k{number}", "x")
        house.click(f"k{number}", "y")
    assert "a" in house.items("s1", "a", after_ms=after_ms)
    assert {"a", "b"} <= set(house.items("s1", "b", after_ms=after_ms))
    if known_sessions:
        neighbours = house.items("s2", "x", after_ms=after_ms)
        assert "y" in neighbours
        assert neighbours[0] in {"x", "y"}


def test_a_click_from_the_future_teaches_nothing(house):
    for session in ("s1", "s2", "s3"):
        house.click(session, "a")
    house.click("s4", "b", after_ms=90 * 24 * HOUR_MS)
    house.click("s5", "a")
    assert house.shard.counts["clicks_ahead"] == 3
    assert "b" not in house.items("s6", "a")


def test_a_late_click_moves_its_session_and_teaches_nothing():
    house = House(time={"quorum_min": 1})
    for number in range(4):
        house.click(f"s{number}", "a")
    house.click("s8", "a", after_ms=-72 * HOUR_MS)
    house.click("s8", "b", after_ms=-72 * HOUR_MS)
    assert house.shard.counts["clicks_late"] == 2
    assert "b" not in house.items("s9", "a")
    assert house.shard.engine.history("s8") == [house.shard.engine.items.known(each) for each in ("a", "b")]


def test_what_was_ordered_together_is_recommended(house):
    lines = [{"item_id": each, "quantity": 1, "price": 1.0} for each in ("a", "z")]
    for number in range(3):
        house.tell("order", order_id=f"r{number}", customer_id="c", items=lines)
    decision = house.click("s1", "a")
    assert [(each["item_id"], each["source"]) for each in decision["items"]] == [("z", "bought_together")]


def test_carts_and_orders_are_counted_by_whether_they_were_on_the_list(house):
    for session in ("s1", "s2"):
        house.click(session, "a")
        house.click(session, "b")
    house.click("s3", "a")
    house.tell("cart", session_id="s3", item_id="b")
    house.tell("cart", session_id="s3", item_id="q")
    line = {"item_id": "b", "quantity": 1, "price": 1.0}
    house.tell("order", order_id="r", customer_id="c", session_id="s3", items=[line])
    counts = house.shard.counts
    assert (counts["carts_from_list"], counts["carts_beside_list"]) == (1, 1)
    assert (counts["orders_from_list"], counts["orders_beside_list"]) == (1, 0)


def test_payments_and_outcomes_have_no_effect(house):
    house.tell("payment", customer_id="c", merchant_id="m", amount=1.0, currency="EUR")
    house.tell("outcome", about="p", label=1)
    assert house.shard.counts["events_without_effect"] == 2


# -- policy


@pytest.mark.parametrize(("fallback", "items"), [("trending", ["b"]), ("nothing", [])])
def test_the_kill_switch_puts_another_slate_in_place(fallback, items):
    house = House(policy={"kill_switch": fallback})
    for session in ("s1", "s3", "s4"):
        house.click(session, "b")
    assert house.shard.command(KillSwitch(on=True), b"", (0, 0, 0))[0] == Kind.APPLIED
    decision = house.click("s2", "a")
    assert [each["item_id"] for each in decision["items"]] == items
    assert decision["policy"] == "kill_switch"
    assert bool(decision["reasons"]) != bool(items)
    of_one = house.shard.command(KillSwitch(on=False, decision="recommend"), b"{}", (0, 0, 0))
    assert b"there is no decision 'recommend'" in of_one[1]
    house.shard.command(KillSwitch(on=False), b"", (0, 0, 0))
    assert "policy" not in house.click("s3", "a")


def test_a_click_that_waited_too_long_gets_the_fallback():
    house = House(policy={"overdue": "nothing", "wait_ms_max": 5})
    house.click("s1", "b")
    decision = house.click("s2", "a", overdue=True)
    assert (decision["action"], decision["policy"]) == ("none", "deadline")
    assert decision["reasons"][0]["code"] == "deadline"


def test_a_slate_that_the_configuration_does_not_have_is_refused(house):
    kind, letter, _ = house.shard.command(ReloadList(name="vip", entries=(), digest=""), b"{}", (0, 0, 0))
    assert (kind, json.loads(letter)["reason"]) == (Kind.DEAD, "refused_command")


def test_an_erased_session_is_forgotten(house):
    for session in ("s1", "s2"):
        house.click(session, "a")
        house.click(session, "b")
    command = Erase(customer_id="c", keys={"session_id": ("s1", "s2")}, events={"click": ("e1",)})
    house.shard.command(command, b"", (0, 0, 0))
    assert house.shard.engine.history("s1") == []
    assert house.shard.pending.of("s2") is None
    assert all(each["source"] != "neighbours" for each in house.click("s3", "a")["items"])
    assert "e1" not in house.shard.ids["click"].ids


# -- details, states, shards


def test_the_detail_says_from_which_item_each_one_came(house):
    for session in ("s1", "s2", "s3"):
        house.click(session, "a")
        house.click(session, "b")
    _, line, detail = house.tell("click", session_id="s4", item_id="a")
    first, kept = json.loads(line)["items"][0], read(detail)
    assert first["item_id"] == "b"
    assert kept.origins[0] == ("a", 3)
    assert len(kept.origins) == len(json.loads(line)["items"])
    with pytest.raises(ValueError, match="no detail"):
        read(b"\x01")


def test_a_loaded_state_goes_on_to_the_same_bytes(house):
    for number in range(300):
        house.click(f"s{number % 17}", f"i{number * 7 % 31}")
    twin = House()
    twin.shard.load({name: bytes(blob) for name, blob in house.shard.save().items()})
    twin.number = house.number
    for number in range(300):
        fields = {"session_id": f"s{number % 13}", "item_id": f"i{number * 11 % 37}"}
        assert house.tell("click", **fields) == twin.tell("click", **fields)
    assert house.shard.save() == twin.shard.save()


def test_without_learning_the_ranker_stays_and_the_index_moves():
    taught, untaught = House(), House()
    untaught.shard.configure(untaught.shard.settings, learn=False)
    for house in (taught, untaught):
        for session in range(30):
            house.click(f"s{session}", "abcdefg"[session % 7])
            house.click(f"s{session}", "a")
            house.click(f"s{session}", "b")
    slates = [house.click("s", "a")["items"] for house in (taught, untaught)]
    assert slates[0][0]["item_id"] == slates[1][0]["item_id"] == "b"
    assert slates[0][0]["score"] > slates[1][0]["score"]


def test_a_shard_learns_from_others_clicks_and_answers_none_of_them():
    settings = RecommendSettings.model_validate({"flow": {"shards": 2}})
    shards = [RecommendShard(settings, shard=number) for number in range(2)]
    house = House()
    answered = []
    for session in ("s1", "s2", "s3", "s4", "s5", "s6"):
        for item in ("a", "b"):
            kinds = []
            house.number += 1
            for shard in shards:
                house.shard = shard
                house.number -= 1
                kinds.append(house.tell("click", session_id=session, item_id=item)[0])
            assert sorted(kinds) == sorted([Kind.DECIDED, Kind.APPLIED])
            answered.append(kinds.index(Kind.DECIDED))
    assert set(answered) == {0, 1}
    for shard in shards:
        assert shard.engine.heat(shard.engine.items.known("b")) > 0.0
        assert shard.counts["clicks_of_other_shards"] + shard.counts["recommend"] + shard.counts["none"] == 12
