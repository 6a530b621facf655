"""The commerce network: the same bytes for a seed, the contract, and tables that agree with each other."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from network_view import frauds_of, lines_of, rows_of, view

from headrace.cli import simulate as simulate_command
from headrace.errors import ConfigError
from headrace.operators.events.contract import Cart, Click, Item, Order, Outcome, Payment
from headrace.operators.events.decode import Undecodable
from headrace.operators.simulator import (
    CUSTOMERS_MIN,
    count_events,
    event_blocks,
    simulate,
    truth_blocks,
    write,
    write_truths,
)
from headrace.operators.simulator.network.presets import NETWORKS, scaled_network
from headrace.operators.simulator.network.truths import truth_tables
from headrace.operators.simulator.network.world import Named

# A preset is what figures are said of: when one of these changes, every figure measured on it is void.
DIGESTS = {
    "storm": "9d5130c36e30c74ada09c99bb7e9c03cecd4b268917d6ed65d4c2e9dd6e26166",
    "network-small": "183dfefec295531eddc8fe33cb07ab28382b01ada24af384c6b5f58a3bbcd44a",
    "demo-network": "fb8687b83998dd9dcfc3a3a6ecbf69a675249474ab225b652eeaa53c9d939bed",
    "network": "2c16d6fe3e375d7d0bccf663395f6c553fade62c0ec982d959e24023ce11abc7",
}
LETTERS = {Item: "l-", Click: "k-", Cart: "b-", Order: "r-", Payment: "p-", Outcome: "o-"}


@pytest.fixture(scope="module")
def small():
    return simulate("network-small", 3, days=30)


@pytest.fixture(scope="module")
def seen(small):
    return view(small)


def of_type(events, kind):
    """The events of a type, each once."""
    return list({event.event_id: event for event in events if isinstance(event, kind)}.values())


class TestBytes:
    @pytest.mark.parametrize(
        "preset", ["storm", "network-small", "demo-network", pytest.param("network", marks=pytest.mark.slow)]
    )
    def test_a_seed_gives_the_pinned_bytes_on_every_python(self, preset):
        digest = hashlib.sha256()
        world = simulate(preset, 1)
        for blocks in (event_blocks(world), truth_blocks(world), *truth_tables(world).values()):
            for block in blocks:
                digest.update(block)
        assert digest.hexdigest() == DIGESTS[preset]

    def test_another_seed_gives_another_world_and_other_names(self):
        one, other = (simulate("storm", seed, days=3) for seed in (1, 2))
        for named in (Named.CUSTOMER, Named.PAYMENT, Named.ITEM, Named.SESSION):
            assert not set(one.names[named].tolist()) & set(other.names[named].tolist())

    def test_files_hold_what_the_blocks_hold(self, tmp_path):
        world = simulate("storm", 1, days=4)
        count = write(world, tmp_path / "e.jsonl", tmp_path / "t.csv", truths=tmp_path / "deep" / "truths")
        assert (tmp_path / "e.jsonl").read_bytes() == b"".join(event_blocks(world))
        assert (tmp_path / "t.csv").read_bytes() == b"".join(truth_blocks(world))
        assert count == count_events(world) == len(lines_of(world))
        written = {path.name: path.read_bytes() for path in (tmp_path / "deep" / "truths").iterdir()}
        assert written == {name: b"".join(blocks) for name, blocks in truth_tables(world).items()}

    def test_other_worlds_have_no_further_truths(self, tmp_path):
        with pytest.raises(ConfigError, match="truths"):
            write(simulate("tiny", 1), tmp_path / "e.jsonl", truths=tmp_path / "truths")
        assert not list(tmp_path.iterdir())
        with pytest.raises(ConfigError, match="truths"):
            write_truths(simulate("tiny", 1), tmp_path)


class TestOptions:
    def test_days_and_start_replace_the_presets(self):
        rows = csv.DictReader(
            io.StringIO(
                b"".join(truth_blocks(simulate("storm", 1, days=3, start=date(2027, 12, 30)))).decode()
            )
        )
        assert sorted({row["event_time"][:10] for row in rows}) == ["2027-12-30", "2027-12-31", "2028-01-01"]

    def test_customers_scale_the_network_and_leave_its_share_of_frauds(self):
        worlds = [simulate("network-small", 4, customers=customers) for customers in (1_200, 600)]
        whole, half = ([world.time_s.size, world.fraud.mean()] for world in worlds)
        assert half[0] == pytest.approx(whole[0] / 2, rel=0.1)
        assert half[1] == pytest.approx(whole[1], rel=0.25)
        preset = scaled_network(NETWORKS["network"], 1_800)
        assert (preset.merchants, preset.stolen_per_day, preset.bots_per_day) == (75, 3.0, 3.0)

    @pytest.mark.parametrize("preset", ["network", "storm", "shop", "handbook"])
    def test_the_least_number_of_customers_makes_a_world_and_is_the_command_lines(self, preset):
        assert simulate(preset, 1, customers=CUSTOMERS_MIN, days=3).time_s.size > 0
        with pytest.raises(ConfigError, match=f"at least {CUSTOMERS_MIN}"):
            simulate(preset, 1, customers=CUSTOMERS_MIN - 1)
        assert simulate_command._CUSTOMERS_MIN == CUSTOMERS_MIN

    def test_every_effect_can_be_switched_off(self):
        plain = replace(
            NETWORKS["storm"],
            stolen_per_day=0.0,
            testing_per_day=0.0,
            rings_per_day=0.0,
            compromised_per_day=0.0,
            bots_per_day=0.0,
            poison_share=0.0,
            late_share=0.0,
            repeat_share=0.0,
            conflict_share=0.0,
            broken_share=0.0,
            shifts=(),
            season=None,
            clocks=(),
        )
        world = view_of(plain)
        times = [event.event_time for event in world.events]
        assert times == sorted(times)
        assert not world.fraud.any()
        assert max(Counter(e.session_id for e in world.events if isinstance(e, Click)).values()) < 100


def view_of(preset, seed=1):
    from headrace.operators.simulator.network.world import simulate_network

    return view(simulate_network(preset, seed))


class TestContract:
    @pytest.mark.parametrize("preset", ["network", "network-small", "storm"])
    def test_every_line_that_is_not_meant_to_be_broken_decodes(self, preset):
        world = simulate(preset, 5, customers=250, days=20)
        events = view(world).events
        broken = {place + 1: e.reason for place, e in enumerate(events) if isinstance(e, Undecodable)}
        flaws = {"late", "repeat", "conflict", "clock"}
        told = {
            int(row["line"]): row["flaw"] for row in rows_of(world, "lines.csv") if row["flaw"] not in flaws
        }
        assert broken == told
        assert {type(event) for event in events} >= set(LETTERS)

    def test_ids_are_unique_and_of_one_form(self, seen):
        ids = [event.event_id for kind in LETTERS for event in of_type(seen.events, kind)]
        assert len(set(ids)) == len(ids)
        for kind, letter in LETTERS.items():
            assert {(e.event_id[:2], len(e.event_id)) for e in of_type(seen.events, kind)} == {(letter, 14)}

    def test_a_payment_is_its_orders_total_and_shares_its_session_and_customer(self, seen):
        orders = {order.order_id: order for order in of_type(seen.events, Order)}
        payments = of_type(seen.events, Payment)
        assert len(orders) == len(payments)
        items = {item.item_id: item for item in of_type(seen.events, Item)}
        for payment in payments:
            order = orders[payment.order_id]
            total = sum(round(line.price * 100) * line.quantity for line in order.items)
            assert round(payment.amount * 100) == total
            assert (payment.session_id, payment.customer_id) == (order.session_id, order.customer_id)
            assert 0 < payment.event_time - order.event_time <= 20_000
            assert {items[line.item_id].seller_id for line in order.items} == {payment.merchant_id}
            assert len({line.item_id for line in order.items}) == len(order.items)

    def test_clicks_and_orders_are_of_items_on_sale_at_the_price_of_the_catalogue(self):
        world = view_of(replace(NETWORKS["storm"], late_share=0.0, broken_share=0.0, conflict_share=0.0))
        shown, prices, checked = {}, Counter(), 0
        for event in world.events:
            if isinstance(event, Item):
                prices[event.item_id] += event.item_id in shown and shown[event.item_id][1] != event.price
                shown[event.item_id] = (event.available, event.price)
            elif isinstance(event, Click):
                assert shown[event.item_id] == (True, event.price)
            elif isinstance(event, Order):
                checked += len(event.items)
                assert all(shown[line.item_id] == (True, line.price) for line in event.items)
        assert checked > 1_000
        assert sum(prices.values()) > 20

    def test_what_is_ordered_was_in_the_cart_and_a_session_has_one_customer(self, seen):
        put = {(cart.session_id, cart.item_id, cart.quantity) for cart in of_type(seen.events, Cart)}
        orders = of_type(seen.events, Order)
        tracked = [order for order in orders if order.session_id]
        assert len(tracked) / len(orders) == pytest.approx(0.97, abs=0.01)
        assert all(
            (order.session_id, line.item_id, line.quantity) in put
            for order in tracked
            for line in order.items
        )
        names = defaultdict(set)
        for event in seen.events:
            if isinstance(event, (Click, Cart, Order, Payment)) and event.session_id and event.customer_id:
                names[event.session_id].add(event.customer_id)
        assert {len(customers) for customers in names.values()} == {1}

    def test_visitors_are_known_and_anonymous_and_both_buy(self, seen):
        clicks = of_type(seen.events, Click)
        named = {click.session_id: click.customer_id for click in clicks}
        bought = {order.session_id for order in of_type(seen.events, Order)}
        share = {
            known: np.mean(
                [session in bought for session, who in named.items() if (who is not None) is known]
            )
            for known in (True, False)
        }
        assert share[True] == pytest.approx(0.5, abs=0.03)
        assert 0.15 < share[False] < 0.35

    def test_outcomes_follow_their_payments_and_carry_the_truth_unless_poisoned(self, small, seen):
        frauds, poisoned = frauds_of(small), {row["event_id"] for row in rows_of(small, "poisoned.csv")}
        paid = {payment.event_id: payment for payment in of_type(seen.events, Payment)}
        outcomes = of_type(seen.events, Outcome)
        assert len({outcome.about for outcome in outcomes}) == len(outcomes)
        for outcome in outcomes:
            assert outcome.event_time > paid[outcome.about].event_time
            assert outcome.customer_id == paid[outcome.about].customer_id
            assert (outcome.label == frauds[outcome.about]) is (outcome.event_id not in poisoned)

    def test_the_truth_names_each_payment_by_time(self, small, seen):
        rows = list(csv.DictReader(io.StringIO(b"".join(truth_blocks(small)).decode())))
        assert list(rows[0]) == ["event_id", "event_time", "customer_id", "fraud"]
        assert [row["event_time"] for row in rows] == sorted(row["event_time"] for row in rows)
        paid = {payment.event_id: payment.customer_id for payment in of_type(seen.events, Payment)}
        assert {row["event_id"]: row["customer_id"] for row in rows} == paid
        kinds = {row["event_id"]: row["kind"] for row in rows_of(small, "frauds.csv")}
        assert {row["event_id"] for row in rows if row["fraud"] == "1"} == set(kinds)
        assert set(kinds.values()) <= {"stolen", "testing", "ring", "merchant"}

    def test_nothing_happens_after_the_last_day(self):
        world = simulate("network-small", 3, customers=3_000, days=1)
        begun = world.base_s + world.visits.time_s
        assert (begun > world.end_s - 300).sum() > 5  # visits that are cut
        times = [event.event_time for event in view(world).events]
        assert max(times) < world.end_s * 1000
        assert min(times) == (world.end_s - 86_400) * 1000
