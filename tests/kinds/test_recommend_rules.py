"""What a shop's slates may show: each rule by what goes out, and by its count."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from houses import HOUR_MS, START_MS, House
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.config.loading import load
from headrace.config.recommend_flow import RecommendSettings
from headrace.config.recommend_rules import RulesTable
from headrace.errors import ConfigError
from headrace.kinds.recommend.machine import RecommendShard, shape_of
from headrace.operators.models import model_errors
from headrace.operators.recommend.explained import explained_items
from headrace.operators.recommend.ranked import Ranked
from headrace.operators.recommend.rules import Visit
from headrace.operators.recommend.visitors import Bots, Visitors
from headrace.shard.commands import Erase

DAY_MS = 24 * HOUR_MS


def taught(rules: dict | None = None, items: str = "abcdefgh", **tables: object) -> House:
    """A house where sessions have clicked all items, in their order."""
    house = House(rules=rules or {}, **tables)
    for session in range(4):
        for item in items:
            house.click(f"s{session}", item)
    return house


def told(house: House, item: str, **fields: object) -> None:
    house.tell("item", item_id=item, **fields)


# -- what is on no slate


def test_explicit_items_are_on_no_slate_though_they_teach():
    house = taught({"never_show": ["b", "z"]})
    assert "b" not in house.items("v", "a")
    assert house.shard.engine.items.hidden_count() == 1
    house.click("v", "b")
    assert "c" in house.items("v2", "b")
    house.shard.configure(RecommendSettings(), learn=True)
    assert "b" in house.items("v3", "a")


def test_neither_is_what_the_catalogue_hides_when_slates_fall_back_or_are_filled():
    house = taught(items="abc")
    told(house, "b", hidden=True)
    assert set(house.items("v", "a", overdue=True)) == {"c"}
    assert set(house.items("w", "a")) == {"c"}


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ({"categories_only": ["shoes"]}, "bh"),
        ({"categories_never": ["shoes"]}, "cdh"),
        ({"price_min": 10.0}, "bdh"),
        ({"price_max": 10.0}, "bch"),
        ({"price_min": 10.0, "unknown_shown": False}, "bd"),
        ({"categories_only": ["shoes"], "unknown_shown": False}, "b"),
    ],
)
def test_categories_and_prices_say_what_is_shown(rules, shown):
    house = taught(rules, "abcdh")
    told(house, "a", category="shoes", price=10.0)
    told(house, "b", category="shoes", price=10.0)
    told(house, "c", category="hats", price=5.0)
    told(house, "d", category="hats", price=50.0)
    assert "".join(sorted(house.items("v", "a"))) == shown


def test_an_item_that_comes_later_is_hidden_until_its_price_is_known():
    house = taught({"price_max": 10.0, "unknown_shown": False}, "ab")
    assert house.items("v", "a") == []
    told(house, "b", price=3.0)
    assert house.items("v", "a") == ["b"]
    told(house, "b", price=30.0)
    assert house.items("v", "a") == []


def test_a_seller_sees_none_of_their_own_items():
    house = taught()
    told(house, "b", seller_id="c-1")
    assert "b" not in house.items("v", "a", customer_id="c-1")
    assert house.shard.counts["items_own"] == 1
    assert "b" in house.items("w", "a", customer_id="c-2")
    house = taught({"leave_out_own": False})
    told(house, "b", seller_id="c-1")
    assert "b" in house.items("v", "a", customer_id="c-1")


def test_what_was_bought_is_left_out_for_the_session_and_the_customer():
    house = taught({"leave_out_bought": True})
    line = {"item_id": "b", "quantity": 1, "price": 1.0}
    house.click("v", "a")
    house.tell("order", order_id="o-1", customer_id="c-1", session_id="v", items=[line])
    assert "b" not in house.items("v", "a")
    assert "b" not in house.items("w", "a", customer_id="c-1")
    assert "b" in house.items("x", "a")
    house = taught()
    house.tell("order", order_id="o-1", customer_id="c-1", session_id="v", items=[line])
    assert "b" in house.items("v", "a")


# -- caps and filling


@pytest.mark.parametrize("field", ["seller", "category"])
def test_no_more_of_one_kind_than_its_cap_and_lower_ones_move_up(field):
    house = taught({f"{field}_items_max": 2})
    for item in "bcdef":
        told(house, item, **{{"seller": "seller_id", "category": "category"}[field]: "k"})
    shown = house.items("v", "a")
    assert len(set(shown) & set("bcdef")) == 2
    assert {"g", "h"} <= set(shown)
    assert house.shard.counts["items_capped"] >= 3


def test_a_short_slate_is_filled_with_what_is_hot_in_the_categories_of_the_session():
    house = taught(items="abcdefgh", slate={"items_max": 6})
    for place, item in enumerate("abcdefgh"):
        told(house, item, category=("odd", "even")[place % 2])
        house.click("hot", item)
        house.click(f"also{place}", "h")
    engine = house.shard.engine
    a, b, h = map(engine.items.known, "abh")
    for item in (b, a):
        engine.take("v", item, START_MS)
    visit = Visit("e", START_MS, None, "v", frozenset({a}))
    places = house.shard.rules.arrange(Ranked([], [], [], [], [], 0), visit)
    names = "".join(engine.items.name_of(place.item) for place in places)
    assert set(names[:3]) == set("ceg")  # what the session clicked last counts most
    assert names[3] == "h"  # the hottest of all, but of its other category
    assert len(names) == 6
    assert {place.score for place in places} == {0.0}
    assert house.shard.rules.counts["filled"] == 6
    ranked = Ranked([h], [0.9], [0], [-1], [1], 1)
    assert [place.item for place in house.shard.rules.arrange(ranked, visit)].count(h) == 1


def test_filling_can_be_turned_off():
    for fill in (True, False):
        house = taught({"fill": fill, "category_items_max": 1}, "ab")
        for item in "abcdefgh":
            told(house, item, category="k")
        house.click("w", "z")
        shown = house.items("v", "a")
        assert ("z" in shown) is True
        assert len(shown) == 2


# -- customers and bots


def test_what_a_known_customer_clicked_before_carries_over():
    house = taught(items="ab")
    for session in range(4):
        house.click(f"t{session}", "y")
        house.click(f"t{session}", "z")
    house.click("old", "y", customer_id="c-1")
    known, unknown = (house.click(session, "a", **who) for session, who in _two_visitors())
    sources = [{each["item_id"]: each["source"] for each in list_["items"]} for list_ in (known, unknown)]
    assert sources[0]["y"] != "trending"
    assert sources[0]["z"] != "trending"
    assert sources[1]["y"] == sources[1]["z"] == "trending"


def _two_visitors() -> list[tuple[str, dict]]:
    return [("v", {"customer_id": "c-1"}), ("w", {})]


def test_of_customers_and_their_items_only_so_many_are_kept():
    visitors = Visitors()
    visitors.configure(2, 3, 2)
    for item in (1, 2, 3, 4, 2):
        visitors.clicked("c-1", item)
    assert visitors.past("c-1") == [2, 4, 3]
    visitors.clicked("c-2", 1)
    visitors.clicked("c-3", 1)
    assert visitors.past("c-1") == []
    assert visitors.dropped == 1
    visitors.buys("c-9", "s-9", [1, 2, 3])
    assert sorted(visitors.bought("c-9", "s-9")) == [2, 2, 3, 3]
    twin = Visitors()
    twin.load(visitors.save())
    assert twin.save() == visitors.save()
    visitors.forget("c-9", ["s-9"])
    assert visitors.bought("c-9", "s-9") == []


def test_an_erased_customer_has_no_past():
    house = taught(items="ab")
    house.click("old", "y", customer_id="c-1")
    house.shard.command(
        Erase(customer_id="c-1", ordinals=(), events={}, keys={"session_id": ("old",)}), b"", (0, 0, 0)
    )
    assert house.shard.visitors.past("c-1") == []


def test_a_bot_gets_slates_and_teaches_nothing_until_it_calms_down():
    house = taught({"bot_clicks_per_minute_max": 30}, "ab")
    # One click a second: the thirty-first of a minute is the first too many.
    for number in range(40):
        house.click("bot", f"x{number}")
    assert house.shard.counts["clicks_of_bots"] == 10
    engine = house.shard.engine
    assert engine.heat(engine.items.known("x29")) > 0.0
    assert engine.heat(engine.items.known("x30")) == 0.0
    assert house.click("bot", "a", after_ms=0)["action"] == "recommend"
    for number in range(3):
        house.click("bot", f"y{number}", after_ms=HOUR_MS)
    assert engine.heat(engine.items.known("y2")) > 0.0


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=60).map(sorted))
def test_a_burst_counts_in_full_and_a_minute_of_silence_forgets_it(times):
    bots = Bots(10)
    for place, at in enumerate(times, 1):
        counted = bots.clicks("s", at)
        exact = sum(1 for each in times[:place] if each > at - 60_000)
        assert 1 <= counted <= place
        if times[place - 1] // 60_000 == times[0] // 60_000:
            assert counted == exact == place
    assert bots.clicks("s", times[-1] + 120_000) == 1


def test_sessions_beyond_the_limit_are_counted_from_the_start():
    bots = Bots(2)
    for session in ("a", "b", "c"):
        bots.clicks(session, 1000)
    assert bots.clicks("a", 2000) == 1
    assert bots.clicks("c", 2000) == 2
    twin = Bots(2)
    twin.load(bots.save())
    assert twin.save() == bots.save()


# -- chance


def test_new_items_get_their_share_of_places_and_their_propensity_is_how_often_they_are_shown():
    house = taught({"new_share": 0.5, "new_days_max": 30.0}, "abcd", slate={"items_max": 4})
    for item in "abcdefgh":
        told(house, item, published_at=START_MS - 400 * DAY_MS)
    house.shard.catalogue.new_ms.clear()
    for number in range(5):
        told(house, f"n{number}", published_at=START_MS)
    shown, propensities = Counter(), set()
    slates = 600
    for number in range(slates):
        items = house.click(f"v{number}", "a")["items"]
        assert len({item["item_id"] for item in items}) == len(items)
        new = [item for item in items if item["source"] == "new"]
        shown.update(item["item_id"] for item in new)
        propensities |= {item["propensity"] for item in new}
        assert all("propensity" not in item for item in items if item not in new)
    assert set(shown) == {f"n{number}" for number in range(5)}
    assert len(propensities) == 1
    for item in shown:
        assert shown[item] / slates == pytest.approx(min(propensities), abs=0.08)
    assert house.shard.counts["items_new"] == sum(shown.values())


def test_an_item_is_new_for_so_long_only():
    house = taught({"new_share": 1.0, "new_days_max": 1.0})
    told(house, "n", published_at=START_MS)
    told(house, "old", published_at=START_MS - 2 * DAY_MS)
    shown = house.click("v", "a")["items"]
    assert [item["source"] for item in shown if item["item_id"] == "n"] == ["new"]
    assert "old" not in {item["item_id"] for item in shown}
    for _ in range(2):
        house.click("w", "a", after_ms=12 * HOUR_MS)
    for _ in range(3):
        items = house.click("x", "a", after_ms=30 * HOUR_MS)["items"]
    assert "n" not in {item["item_id"] for item in items if item["source"] == "new"}


def test_what_is_known_for_long_does_not_become_new_by_a_click_or_a_note():
    house = taught({"new_share": 1.0, "new_items_max": 2}, "abcd")
    new = house.shard.catalogue.new_ms
    known = house.shard.engine.items.known
    assert list(new) == [known("c"), known("d")]
    house.click("v", "a")  # of which it is remembered no longer that it was new
    told(house, "b")
    assert list(new) == [known("c"), known("d")]
    told(house, "old", published_at=START_MS - 400 * DAY_MS)
    house.click("v", "old")
    assert known("old") not in new
    told(house, "fresh")
    assert known("fresh") in new


def test_a_share_of_slates_explores_and_says_how_probable_it_was():
    house = taught({"explore_share": 0.5, "fill": False}, "abcdefgh", slate={"items_max": 3})
    slates, explored = 400, Counter()
    house.shard.counts["items_explored"] = 0
    for number in range(slates):
        items = house.click(f"v{number}", "a")["items"]
        assert [("propensity" in item) for item in items[:2]] == [False, False]
        if "propensity" in items[2]:
            explored[items[2]["item_id"]] += 1
            assert items[2]["propensity"] == pytest.approx(0.5 / 4)
    assert 0.4 < sum(explored.values()) / slates < 0.6
    assert len(explored) >= 4
    assert house.shard.counts["items_explored"] == sum(explored.values())


def test_chance_is_the_same_for_the_same_seed_and_click():
    def slates(seed: int) -> list[dict]:
        house = taught({"explore_share": 0.5, "new_share": 0.2, "seed": seed}, slate={"items_max": 3})
        return [house.click(f"v{number}", "a")["items"] for number in range(30)]

    assert slates(1) == slates(1)
    assert [_ids(each) for each in slates(1)] != [_ids(each) for each in slates(2)]


def _ids(items: list[dict]) -> list[str]:
    return [item["item_id"] for item in items]


def test_explain_says_that_it_was_chance():
    house = taught({"new_share": 1.0})
    told(house, "n", published_at=START_MS)
    _, line, detail = house.tell("click", session_id="v", item_id="a")
    decision = json.loads(line)
    texts = {each.item_id: each.text for each in explained_items(decision, detail)}
    assert texts["n"].startswith("new; put here by chance, with a probability of ")


# -- as a whole


EVERYTHING = {
    "never_show": ["i3"],
    "categories_never": ["k1"],
    "price_max": 80.0,
    "leave_out_bought": True,
    "seller_items_max": 3,
    "category_items_max": 4,
    "new_share": 0.1,
    "explore_share": 0.2,
    "bot_clicks_per_minute_max": 10,
    "customers_max": 5,
    "new_items_max": 10,
}
STEPS = st.lists(
    st.tuples(st.sampled_from("ciot"), st.integers(0, 11), st.integers(0, 19)), min_size=1, max_size=80
)


def drive(house: House, steps: list[tuple[str, int, int]]) -> list[object]:
    answers: list[object] = []
    for kind, who, what in steps:
        item = f"i{what}"
        if kind == "i":
            fields = {"category": f"k{what % 5}", "price": 7.0 * what, "seller_id": f"c{what % 4}"}
            answers.append(house.tell("item", item_id=item, hidden=who == 3, **fields))
        elif kind == "o":
            line = {"item_id": item, "quantity": 1, "price": 1.0}
            answers.append(house.tell("order", order_id="o", customer_id=f"c{who}", items=[line]))
        elif kind == "c":
            customer = {"customer_id": f"c{who % 6}"} if who % 2 else {}
            answers.append(house.tell("click", session_id=f"s{who}", item_id=item, **customer))
        else:
            answers += [house.tell("click", session_id="bot", item_id=item) for _ in range(12)]
    return answers


@settings(deadline=None, max_examples=40)
@given(steps=STEPS, cut=st.integers(0, 80))
def test_with_all_rules_a_loaded_shard_goes_on_to_the_same_bytes_and_slates_keep_them(steps, cut):
    tables = {"rules": EVERYTHING, "slate": {"items_max": 6}, "engine": {"items_max": 15}}
    whole, first = House(**tables), House(**tables)
    answers = drive(whole, steps)
    told_first = drive(first, steps[:cut])
    resumed = House(**tables)
    resumed.shard.load({name: bytes(blob) for name, blob in first.shard.save().items()})
    resumed.number = first.number
    told_first += drive(resumed, steps[cut:])
    assert told_first == answers
    saved = [{name: bytes(blob) for name, blob in house.shard.save().items()} for house in (whole, resumed)]
    assert saved[0] == saved[1]


def test_mistakes_of_rules_are_named():
    for wrong in ({"new_share": 1.5}, {"never_show": [""]}, {"seller_items_max": 0}, {"price_min": -1.0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            RulesTable.model_validate(wrong)


def test_mistakes_of_a_ranker_are_named():
    with pytest.raises(ConfigError) as raised:
        load(None, ("ranker.name=nobody",), flow="recommend", model_errors=model_errors)
    assert "ranker.name: there is no model 'nobody'" in str(raised.value)
    with pytest.raises(ConfigError, match=r"ranker\.parameters: not supported by the network"):
        load(None, ("ranker.parameters.lr=0.1",), flow="recommend", model_errors=model_errors)
    with pytest.raises(ConfigError, match=r"rules\.price_min: must be at most rules\.price_max"):
        load(None, ("rules.price_min=2.0", "rules.price_max=1.0"), flow="recommend")
    with pytest.raises(ConfigError, match=r"rules\.categories_never: also in rules\.categories_only: k"):
        load(None, ('rules.categories_only=["k"]', 'rules.categories_never=["k"]'), flow="recommend")


def test_another_ranker_is_another_shape_and_another_model():
    shipped = RecommendSettings()
    river = RecommendSettings.model_validate({"ranker": {"name": "river_logistic_sgd"}})
    assert shape_of(shipped) != shape_of(river)
    assert RecommendShard(river).version.startswith("river_logistic_sgd:")
