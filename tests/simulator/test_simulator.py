"""The simulator: the same bytes for a seed, the contract, the rules, and no field that gives a fraud away."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from leaks import auc, digits, found, rank_in_ties

from headrace.errors import ConfigError
from headrace.operators.events.contract import Outcome, Payment
from headrace.operators.events.decode import decode
from headrace.operators.simulator import event_blocks, presets, simulate, truth_blocks, write
from headrace.operators.simulator.draws import Draws, Lifetimes
from headrace.operators.simulator.frauds import compromise
from headrace.operators.simulator.handbook import reachable
from headrace.operators.simulator.names import scrambled
from headrace.operators.simulator.presets import PRESETS, scaled

DAY_S = 86_400
# A preset is what figures are said of: when one of these changes, every figure measured on it is void.
DIGESTS = {
    "demo": "2fa346736e42389d8fcf9f5c4af4e97246cd9621b29ad63d2a891a2ea1122b15",
    "shop": "51259bf2cf9351b09df71a37b50ca592138666ef2d8470716ef6f4d81a4e69cf",
    "handbook": "c4f9901dd4cf77edcb14cad123f054693b409553c0361e1ee91ec03759e1e996",
    "handbook-small": "bee00ba7625eb98e9cb6058943166468f989a21a7d7eaeffbfe4a2bc3fa13a69",
    "tiny": "282f1049bec0d025a0ff28335037423ccd2e9147dd85a623749f09767680d198",
}


def events_of(world):
    return b"".join(event_blocks(world))


class Slow(io.RawIOBase):
    """Takes a thousand bytes of a write, as a pipe may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.taken += data[:1000]
        return min(len(data), 1000)


@pytest.mark.parametrize("speed", [None, 1e12])
def test_standard_output_without_a_buffer_gets_every_byte(monkeypatch, speed):
    world = simulate("tiny", 1)
    slow = Slow()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=slow, flush=slow.flush))
    write(world, "-", speed=speed)
    assert bytes(slow.taken) == events_of(world)


def truth_of(world):
    return list(csv.DictReader(io.StringIO(b"".join(truth_blocks(world)).decode())))


@pytest.fixture(scope="module")
def shop():
    return simulate("shop", 3, customers=700)


@pytest.fixture(scope="module")
def handbook():
    return simulate("handbook-small", 3)


class TestBytes:
    @pytest.mark.parametrize(
        "preset",
        [
            "tiny",
            "demo",
            "handbook-small",
            pytest.param("shop", marks=pytest.mark.slow),
            pytest.param("handbook", marks=pytest.mark.slow),
        ],
    )
    def test_a_seed_gives_the_pinned_bytes_on_every_python(self, preset):
        digest = hashlib.sha256()
        world = simulate(preset, 1)
        for block in event_blocks(world):
            digest.update(block)
        for block in truth_blocks(world):
            digest.update(block)
        assert digest.hexdigest() == DIGESTS[preset]

    def test_another_seed_gives_another_world_and_other_names(self):
        one, other = simulate("tiny", 1), simulate("tiny", 2)
        assert not set(one.customer_ids.tolist()) & set(other.customer_ids.tolist())
        assert not set(one.payment_ids.tolist()) & set(other.payment_ids.tolist())

    def test_files_hold_what_the_blocks_hold_compressed_by_name(self, tmp_path: Path):
        world = simulate("tiny", 1)
        plain, packed = tmp_path / "events.jsonl", tmp_path / "events.jsonl.gz"
        truth = tmp_path / "truth.csv.gz"
        assert write(world, plain) == write(world, str(packed), truth)
        assert plain.read_bytes() == gzip.decompress(packed.read_bytes()) == events_of(world)
        assert gzip.decompress(truth.read_bytes()) == b"".join(truth_blocks(world))

    def test_compressed_files_are_the_same_whenever_and_wherever_they_are_written(self, tmp_path: Path):
        world = simulate("tiny", 1)
        one, other = tmp_path / "one.gz", tmp_path / "another.gz"
        write(world, one)
        write(world, other)
        assert one.read_bytes() == other.read_bytes()
        assert one.read_bytes()[4:8] == bytes(4)

    def test_a_dash_is_standard_output(self, capfdbinary, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        world = simulate("tiny", 1)
        write(world, Path("-"))
        assert capfdbinary.readouterr().out == events_of(world)
        assert not list(tmp_path.iterdir())

    def test_an_open_file_is_written_to_and_left_open(self):
        events, truth = io.BytesIO(), io.BytesIO()
        count = write(simulate("tiny", 1), events, truth)
        assert not events.closed
        assert events.getvalue().count(b"\n") == count
        assert truth.getvalue().startswith(b"event_id,event_time,customer_id,fraud\n")


class TestContract:
    @pytest.mark.parametrize("preset", ["tiny", "handbook-small"])
    def test_every_line_decodes_in_time_order_and_outcomes_follow_their_payments(self, preset):
        events = decode(events_of(simulate(preset, 5, customers=150)).splitlines())
        assert {type(event) for event in events} == {Payment, Outcome}
        times = [event.event_time for event in events]
        assert times == sorted(times)
        paid: dict[str, Payment] = {}
        for event in events:
            if isinstance(event, Payment):
                paid[event.event_id] = event
            else:
                assert event.customer_id == paid[event.about].customer_id
                assert event.event_time > paid[event.about].event_time

    def test_ids_are_unique_and_of_one_form(self, shop):
        events = [json.loads(line) for line in events_of(shop).splitlines()]
        ids = [event["event_id"] for event in events]
        assert len(set(ids)) == len(ids)
        names = ids + [
            event[key] for event in events for key in ("customer_id", "merchant_id") if key in event
        ]
        assert {(name[:2], len(name)) for name in names} == {("p-", 14), ("o-", 14), ("c-", 10), ("m-", 10)}

    def test_the_truth_names_each_payment_in_order_and_agrees_with_its_outcome(self, shop):
        events = [json.loads(line) for line in events_of(shop).splitlines()]
        payments = [event for event in events if event["type"] == "payment"]
        truth = truth_of(shop)
        assert list(truth[0]) == ["event_id", "event_time", "customer_id", "fraud"]
        assert [tuple(row.values())[:3] for row in truth] == [
            (event["event_id"], event["event_time"], event["customer_id"]) for event in payments
        ]
        fraud = {row["event_id"]: int(row["fraud"]) for row in truth}
        outcomes = [event for event in events if event["type"] == "outcome"]
        assert outcomes
        assert all(event["label"] == fraud[event["about"]] for event in outcomes)

    def test_each_payment_has_one_outcome_at_most_and_none_comes_after_the_end(self, shop):
        outcomes = [json.loads(line) for line in events_of(shop).splitlines() if b'"outcome"' in line]
        assert len({event["about"] for event in outcomes}) == len(outcomes)
        assert max(event["event_time"] for event in outcomes) < "2024-07-31"


class TestOptions:
    def test_days_and_start_replace_the_presets(self):
        times = [row["event_time"] for row in truth_of(simulate("tiny", 1, days=3, start=date(2025, 12, 30)))]
        assert sorted({time[:10] for time in times}) == ["2025-12-30", "2025-12-31", "2026-01-01"]

    def test_customers_scale_the_world_and_leave_its_share_of_frauds(self):
        whole, half = (simulate("handbook-small", 2, customers=customers) for customers in (2_000, 1_000))
        assert half.time_s.size == pytest.approx(whole.time_s.size / 2, rel=0.1)
        assert half.fraud.mean() == pytest.approx(whole.fraud.mean(), rel=0.2)
        preset = scaled(PRESETS["handbook"], 1_250)
        assert (preset.merchants, preset.merchants_per_day, preset.radius) == (2_500, 0.5, 10.0)

    def test_every_mistake_is_listed_at_once(self):
        with pytest.raises(ConfigError) as caught:
            simulate("shopp", -1, days=0, customers=3)
        assert [invalid.key for invalid in caught.value.errors] == ["preset", "seed", "days", "customers"]
        assert "shop, handbook" in caught.value.errors[0].message

    def test_presets_are_listed_with_a_line_each(self):
        old = {"demo", "demo-network", "shop", "handbook", "handbook-small", "tiny"}
        assert set(presets()) == old | {"network", "network-small", "storm"}
        assert all(line and "\n" not in line for line in presets().values())


class TestHandbookRules:
    def test_merchants_are_those_within_the_radius(self):
        rng = np.random.default_rng(1)
        homes, shops = rng.uniform(0, 100, (600, 2)), rng.uniform(0, 100, (300, 2))
        near, first = reachable(homes, shops, 12.0)
        for customer in range(600):
            apart = np.hypot(*(shops - homes[customer]).T)
            assert (
                near[first[customer] : first[customer + 1]].tolist() == np.flatnonzero(apart < 12.0).tolist()
            )

    def test_a_customer_pays_two_times_a_day_52_50_on_average(self, handbook):
        days_of_customers = 58 * 1_000
        within_the_day = 0.969  # of a normal time around noon with a deviation of 20,000 s
        assert handbook.time_s.size / days_of_customers == pytest.approx(2.0 * within_the_day, rel=0.08)
        legitimate = handbook.cents[~handbook.fraud] / 100
        assert legitimate.mean() == pytest.approx(52.5, rel=0.08)

    def test_more_than_220_is_a_fraud_and_legitimate_payments_are_not_more(self, handbook):
        assert handbook.cents[~handbook.fraud].max() <= 22_000
        assert (handbook.cents > 22_000).sum() > 50

    def test_outcomes_come_after_seven_days_to_the_second(self, handbook):
        assert set((handbook.outcome_s - handbook.time_s).tolist()) == {7 * DAY_S}

    def test_compromised_merchants_show_nothing_but_frauds_for_28_days(self, handbook):
        day = (handbook.time_s - handbook.time_s[0]) // DAY_S
        whole = 0
        for merchant in np.unique(handbook.merchant[handbook.fraud]):
            here = handbook.merchant == merchant
            frauds = day[here & handbook.fraud]
            if frauds.size > 15:
                span = here & (day >= frauds.min()) & (day <= frauds.max())
                whole += handbook.fraud[span].mean() > 0.8
                assert frauds.max() - frauds.min() < 58
        assert whole >= 5

    def test_frauds_are_at_their_steady_rate_from_the_first_week(self):
        world = simulate("handbook", 1, customers=2_500)
        week = (world.time_s - world.time_s[0]) // (7 * DAY_S)
        shares = [world.fraud[week == number].mean() for number in range(8)]
        assert min(shares) > 0.55 * max(shares)
        assert world.fraud.mean() == pytest.approx(0.0085, rel=0.15)


class TestShopRules:
    def test_outcomes_are_late_by_a_log_normal_time_and_some_never_come(self, shop):
        came = shop.outcome_s >= 0
        days = (shop.outcome_s - shop.time_s)[came] / DAY_S
        assert (~came).mean() == pytest.approx(0.06, abs=0.005)
        assert np.median(days) == pytest.approx(5.0, rel=0.03)
        assert np.log(days).std() == pytest.approx(0.7, rel=0.05)
        assert days.max() <= 45

    def test_delay_and_silence_say_nothing_about_the_answer(self, shop):
        came = shop.outcome_s >= 0
        delay = (shop.outcome_s - shop.time_s)[came]
        assert auc(shop.fraud[came], delay) == pytest.approx(0.5, abs=0.04)
        assert auc(shop.fraud, ~came) == pytest.approx(0.5, abs=0.02)

    def test_saturday_is_busier_than_sunday_and_noon_than_four_at_night(self, shop):
        weekday = (shop.time_s // DAY_S + 3) % 7
        counts = np.bincount(weekday, minlength=7)
        assert counts[5] / counts[6] == pytest.approx(1.3 / 0.75, rel=0.1)
        hours = np.bincount(shop.time_s % DAY_S // 3_600, minlength=24)
        assert hours[12] > 5 * hours[4]

    def test_customers_and_merchants_come_all_the_time(self, shop):
        late = shop.time_s > shop.time_s[0] + 40 * DAY_S
        for entity in (shop.customer, shop.merchant):
            before, after = np.unique(entity[~late]), np.unique(entity[late])
            assert np.setdiff1d(after, before).size > 20
        gone = np.setdiff1d(shop.customer[~late], shop.customer[late])
        assert gone.size > 100

    def test_merchants_and_cards_are_defrauded_while_they_are_there(self, shop):
        assert 0.005 < shop.fraud.mean() < 0.02


class TestCompromise:
    def draws(self, merchants=1, customers=1):
        rows = np.arange(1_000)
        return Draws(
            day=rows // 10,
            second=rows % 10,
            customer=rows % customers,
            merchant=rows % merchants,
            amount=np.full(1_000, 20.07),
            fraud=np.zeros(1_000, dtype=np.bool_),
            customers=Lifetimes.always(customers),
            merchants=Lifetimes.always(merchants),
        )

    def preset(self, **changes):
        return replace(PRESETS["handbook"], warmup_days=0, days=100, **changes)

    def test_a_merchant_is_all_frauds_for_its_days(self):
        draws = self.draws()
        # One in a hundred days: on the last day before the hundredth is full.
        compromise(draws, self.preset(merchants_per_day=0.02, cards_per_day=0.0, merchant_days=(28, 28)), 1)
        assert np.flatnonzero(draws.fraud).tolist() == list(range(490, 770)) + list(range(990, 1_000))
        assert set(draws.amount.tolist()) == {20.07}

    def test_a_share_of_a_merchants_payments_is_rounded_down(self):
        draws = self.draws()
        compromise(draws, self.preset(merchants_per_day=0.015, cards_per_day=0.0, merchant_share=0.37), 1)
        assert draws.fraud.sum() == int(280 * 0.37)

    def test_a_card_has_a_third_of_its_payments_multiplied_by_five(self):
        draws = self.draws()
        compromise(draws, self.preset(merchants_per_day=0.0, cards_per_day=0.015), 1)
        days = np.flatnonzero(draws.fraud) // 10
        assert draws.fraud.sum() == 140 // 3
        assert (days.min(), days.max()) >= (66, 66)
        assert days.max() - days.min() < 14
        assert np.array_equal(draws.amount > 21, draws.fraud)
        assert draws.amount[draws.fraud] == pytest.approx(100.35)

    def test_nobody_is_compromised_before_they_come_or_after_they_leave(self):
        draws = self.draws(customers=2)
        draws.customers = Lifetimes(np.array([0.0, 50.0]), np.array([50.0, np.inf]))
        compromise(
            draws, self.preset(merchants_per_day=0.0, cards_per_day=1.0, card_days=1, card_share=1.0), 1
        )
        frauds = np.flatnonzero(draws.fraud)
        assert set(draws.customer[frauds[frauds < 500]].tolist()) == {0}
        assert set(draws.customer[frauds[frauds >= 500]].tolist()) == {1}


class TestNames:
    def test_no_two_numbers_get_the_same_name(self):
        keys = np.random.default_rng(1).integers(0, 2**64, (4, 2), dtype=np.uint64)
        names = scrambled(np.arange(1 << 16), 16, keys)
        assert np.array_equal(np.sort(names), np.arange(1 << 16))

    def test_names_carry_no_order(self):
        keys = np.random.default_rng(2).integers(0, 2**64, (4, 2), dtype=np.uint64)
        numbers = np.arange(20_000)
        names = scrambled(numbers, 32, keys)
        assert abs(np.corrcoef(numbers, names.astype(np.float64))[0, 1]) < 0.03
        for bit in range(32):
            assert abs(np.corrcoef(numbers, names >> np.uint64(bit) & np.uint64(1))[0, 1]) < 0.04


def known_payments(world):
    """What must tell no fraud, of every payment: cents, line, place in ties, event id."""
    payments = [event for event in decode(events_of(world).splitlines()) if isinstance(event, Payment)]
    cents = np.rint(np.array([event.amount for event in payments]) * 100).astype(np.int64)
    line = np.arange(cents.size) / cents.size
    ties = rank_in_ties(np.array([event.event_time for event in payments]))
    columns = (cents % 100, cents % 10, cents % 5, line, ties, digits([event.event_id for event in payments]))
    return np.column_stack(columns), world.fraud


def new_names(world):
    """What must tell no fraud, of payments with a customer or merchant not seen before: place and id."""
    payments = [event for event in decode(events_of(world).splitlines()) if isinstance(event, Payment)]
    shown, fraud = [], []
    for names in ([event.customer_id for event in payments], [event.merchant_id for event in payments]):
        new = np.sort(np.unique(names, return_index=True)[1])
        shown.append(np.column_stack((new / len(names), digits([names[row] for row in new]))))
        fraud.append(world.fraud[new])
    return np.concatenate(shown), np.concatenate(fraud)


def small_worlds(preset, seeds, **options):
    return [simulate(preset, seed, **options) for seed in seeds]


class TestNothingLeaks:
    """The margins are four standard errors of an AUC on as many frauds as are evaluated."""

    @pytest.mark.parametrize("preset", ["handbook-small", "shop"])
    def test_cents_event_ids_and_order_find_no_fraud(self, preset):
        worlds = small_worlds(preset, range(10, 18), customers=300, days=40)
        margin = 4 / np.sqrt(12 * sum(int(world.fraud.sum()) for world in worlds[4:]))
        assert margin < 0.06
        assert found([known_payments(world) for world in worlds]) == pytest.approx([0.5, 0.5], abs=margin)

    @pytest.mark.slow
    @pytest.mark.parametrize("preset", ["handbook-small", "shop"])
    def test_the_text_and_order_of_new_ids_find_no_fraud(self, preset):
        tables = [new_names(world) for world in small_worlds(preset, range(30, 46), customers=2_000, days=2)]
        margin = 4 / np.sqrt(12 * sum(int(fraud.sum()) for _, fraud in tables[8:]))
        assert margin < 0.09
        assert found(tables) == pytest.approx([0.5, 0.5], abs=margin)

    def test_the_search_would_find_amounts_rounded_before_they_are_multiplied(self):
        tables = []
        for world in small_worlds("handbook-small", range(10, 14), customers=300, days=40):
            rounded = np.where(world.fraud, world.cents // 5 * 5, world.cents)
            tables.append(known_payments(replace(world, cents=rounded)))
        assert found(tables)[0] > 0.7

    def test_the_search_would_find_frauds_that_come_last_in_their_second(self):
        tables = []
        for world in small_worlds("handbook-small", range(10, 14), customers=300, days=40):
            coarse = world.time_s // 600 * 600
            order = np.lexsort((world.fraud, coarse))
            tables.append(known_payments(replace(world, time_s=coarse[order], fraud=world.fraud[order])))
        assert found(tables)[0] > 0.7

    def test_the_search_would_find_names_that_are_given_in_an_order(self):
        tables = []
        for world in small_worlds("handbook-small", range(30, 34), customers=2_000, days=2):
            frauds = np.zeros(world.merchant_ids.size, dtype=np.bool_)
            frauds[world.merchant[world.fraud]] = True
            ordered = np.argsort(np.argsort(frauds, kind="stable")).astype(np.uint64) << np.uint64(16)
            tables.append(new_names(replace(world, merchant_ids=ordered)))
        assert min(found(tables)) > 0.7
