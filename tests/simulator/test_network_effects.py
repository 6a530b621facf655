"""What a network's effects come to: each one is found in its lines, or in a model evaluated on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from leaks import auc
from network_view import frauds_of, lines_of, rows_of, usable, view

from headrace.operators.events.contract import Click, Payment
from headrace.operators.events.declared import party_of
from headrace.operators.simulator import simulate
from headrace.operators.simulator.network.drift import novel_share, season
from headrace.operators.simulator.network.presets import NETWORKS, Season, Shift
from headrace.operators.simulator.network.world import COMPROMISED, simulate_network
from headrace.shard.clock import EventClock, Timing

# A seed gives the same bytes on every Python (test_network.py), so one Python is enough to evaluate them.
pytestmark = pytest.mark.slow

# The small network without anything but ordinary customers and stolen accounts, many of them.
QUIET = replace(
    NETWORKS["network-small"],
    customers=500,
    days=42,
    stolen_per_day=12.0,
    testing_per_day=0.0,
    rings_per_day=0.0,
    compromised_per_day=0.0,
    shifts=(),
    season=None,
    bots_per_day=0.0,
    poison_share=0.0,
    late_share=0.0,
    repeat_share=0.0,
)


@pytest.fixture(scope="module")
def small():
    return simulate("network-small", 3)


@pytest.fixture(scope="module")
def seen(small):
    return view(small)


@pytest.fixture(scope="module")
def storm():
    return simulate("storm", 3, days=30, customers=400)


@pytest.fixture(scope="module")
def storm_seen(storm):
    return view(storm)


def quiet(seed=1, **changes):
    return simulate_network(replace(QUIET, **changes), seed)


def model(view, trained):
    """A random forest that has learned what sessions with fraud look like from some of the payments."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(40, max_depth=8, min_samples_leaf=10, random_state=0)
    return forest.fit(view.features()[trained], view.fraud[trained])


def quality(view, forest, evaluated):
    """Area under the ROC curve of a forest on some of the payments."""
    return auc(view.fraud[evaluated], forest.predict_proba(view.features()[evaluated])[:, 1])


def between(view, first, end):
    return (view.day >= first) & (view.day < end)


def kinds_of(network):
    return {row["event_id"]: row for row in rows_of(network, "frauds.csv")}


class TestRings:
    def linked(self, network):
        """Customers that share devices, directly or through others, three at least."""
        users = defaultdict(set)
        for event in usable(view(network).events):
            if isinstance(event, Payment):
                users[event.device_id].add(event.customer_id)
        group = {}
        for together in users.values():
            merged = frozenset.union(*(group.get(who, frozenset((who,))) for who in together))
            group.update(dict.fromkeys(merged, merged))
        return {members for members in group.values() if len(members) >= 3}

    def pairs(self, groups):
        return {pair for members in groups for pair in combinations(sorted(members), 2)}

    def test_they_are_found_again_from_linked_devices(self):
        true, found = set(), set()
        for seed in (1, 2):
            network = simulate("network-small", seed, customers=1_200, days=40)
            rings = defaultdict(set)
            for row in rows_of(network, "rings.csv"):
                rings[row["ring"]].add(row["customer_id"])
            true |= self.pairs(rings.values())
            found |= self.pairs(self.linked(network))
        assert len(true) >= 120
        assert len(true & found) >= 0.8 * len(true)
        assert len(true & found) >= 0.8 * len(found)

    def test_without_rings_nobody_shares_devices_but_households_of_two(self):
        network = simulate_network(replace(NETWORKS["network-small"], rings_per_day=0.0), 1)
        assert not rows_of(network, "rings.csv")
        assert not self.linked(network)


class TestFrauds:
    def test_card_testing_is_a_burst_of_small_payments_of_many_customers_from_few_addresses(
        self, small, seen
    ):
        bursts = defaultdict(list)
        kinds = kinds_of(small)
        for each in seen.paid:
            row = kinds.get(each.payment.event_id)
            if row and row["kind"] == "testing":
                bursts[row["episode"]].append(each.payment)
        assert len(bursts) >= 5
        usual = np.median([each.payment.amount for each in seen.paid])
        for payments in bursts.values():
            times = [payment.event_time for payment in payments]
            assert max(times) - min(times) < 30 * 60_000
            assert len({payment.customer_id for payment in payments}) == len(payments) >= 8
            assert len({payment.ip for payment in payments}) <= 2
            assert len({payment.merchant_id for payment in payments}) == 1
        small_amounts = [payment.amount for payments in bursts.values() for payment in payments]
        assert np.median(small_amounts) < 0.7 * usual

    def test_stolen_accounts_are_hasty_dear_and_mostly_on_a_device_not_seen_before(self, small, seen):
        kinds = kinds_of(small)
        stolen = np.array([kinds.get(e.payment.event_id, {}).get("kind") == "stolen" for e in seen.paid])
        clicks, items, seconds, amount, over = seen.features().T
        tracked = clicks > 0
        stolen_seen, honest = stolen & tracked, ~seen.fraud & tracked
        assert np.median(clicks[stolen_seen]) <= 2 < np.median(clicks[honest])
        assert np.median(items[stolen_seen]) <= 2 < np.median(items[honest])
        assert np.median(seconds[stolen_seen]) < 60 < np.median(seconds[honest])
        assert np.median(amount[stolen_seen]) > 2 * np.median(amount[honest])
        assert np.median(over[stolen_seen]) > 1.4 * np.median(over[honest])
        known, first_use = defaultdict(set), []
        for each in seen.paid:
            payment = each.payment
            first_use.append(payment.device_id not in known[payment.customer_id])
            known[payment.customer_id].add(payment.device_id)
        after = seen.day > 10
        assert np.mean(np.array(first_use)[stolen & after]) > 3 * np.mean(
            np.array(first_use)[~seen.fraud & after]
        )

    def test_most_hasty_buyers_are_honest(self, seen):
        clicks, _, seconds, _, _ = seen.features().T
        hasty = (clicks > 0) & (clicks <= 2) & (seconds < 60)
        fraud = seen.fraud
        assert hasty[~fraud].mean() > 0.1
        assert hasty[fraud].mean() > 3 * hasty[~fraud].mean()
        assert fraud[hasty].mean() < 0.3

    def test_a_session_tells_more_than_the_amount_and_not_everything(self):
        seen = view(quiet(1))
        early, late = between(seen, 0, 21), between(seen, 21, 42)
        with_sessions = quality(seen, model(seen, early), late)
        amount = seen.features()[:, 3:4]
        seen.features = lambda: amount
        assert with_sessions > quality(seen, model(seen, early), late) + 0.05
        assert with_sessions < 0.97

    def test_compromised_merchants_have_about_half_frauds_for_weeks(self):
        network = simulate_network(replace(QUIET, stolen_per_day=0.0, compromised_per_day=0.05), 2)
        day = (network.time_s - network.time_s.min()) // 86_400
        assert network.fraud.sum() > 100
        checked = 0
        for episode in np.unique(network.payments.episode[network.fraud]):
            rows = network.payments.episode == episode
            (merchant,) = set(network.merchant[rows].tolist())
            span = (network.merchant == merchant) & (day >= day[rows].min()) & (day <= day[rows].max())
            assert day[rows].max() - day[rows].min() < 28
            if span.sum() > 100:
                checked += 1
                assert network.fraud[span].mean() == pytest.approx(0.5, abs=0.15)
        assert checked

    def test_frauds_are_at_their_steady_rate_from_the_first_week(self):
        weeks = np.zeros((2, 8))
        for seed in range(1, 9):
            world = simulate("network", seed, customers=900)
            week = (world.time_s - world.time_s[0]) // (7 * 86_400)
            # Compromised merchants are too few for a rate by the week.
            for row, chosen in enumerate((world.fraud & (world.payments.kind != COMPROMISED), week >= 0)):
                weeks[row] += np.bincount(week[chosen], minlength=9)[:8]
        share = weeks[0] / weeks[1]
        assert share.min() > 0.6 * share.max()


class TestDrift:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_after_a_sudden_shift_a_frozen_model_is_lost_and_one_that_learns_is_not(self, seed):
        seen = view(quiet(seed, shifts=(Shift(first_day=21, end_day=21, share=1.0),)))
        frozen, learned = model(seen, between(seen, 0, 14)), model(seen, between(seen, 21, 28))
        before, after = between(seen, 14, 21), between(seen, 28, 42)
        assert quality(seen, frozen, before) > 0.85
        assert quality(seen, frozen, after) < quality(seen, frozen, before) - 0.2
        assert quality(seen, learned, after) > quality(seen, frozen, after) + 0.2

    def test_a_gradual_shift_wears_a_frozen_model_out(self):
        weeks = []
        for seed in (1, 2):
            seen = view(quiet(seed, shifts=(Shift(first_day=14, end_day=42, share=1.0),)))
            frozen = model(seen, between(seen, 0, 14))
            weeks.append(
                [quality(seen, frozen, between(seen, first, first + 7)) for first in (14, 21, 28, 35)]
            )
            learned = model(seen, between(seen, 21, 35))
            assert quality(seen, learned, between(seen, 35, 42)) > weeks[-1][-1] + 0.1
        falls = np.diff(np.mean(weeks, axis=0))
        assert (falls < 0).all()
        assert falls.sum() < -0.15

    def test_a_season_worsens_a_frozen_model_and_gives_it_back(self):
        seen = view(quiet(1, season=Season(period_days=28.0, dearer=0.2, hurry=0.5)))
        frozen = model(seen, between(seen, 0, 4) | between(seen, 26, 31))
        height, low, height_again = (
            quality(seen, frozen, between(seen, first, first + 5)) for first in (11, 23, 38)
        )
        assert min(low - height, low - height_again) > 0.1

    def test_without_drift_a_frozen_model_stays_what_it_is(self):
        seen = view(quiet(1))
        frozen = model(seen, between(seen, 0, 14))
        weeks = [quality(seen, frozen, between(seen, first, first + 14)) for first in (14, 28)]
        assert weeks[1] == pytest.approx(weeks[0], abs=0.05)

    def test_shares_and_seasons_by_day(self):
        preset = replace(
            QUIET,
            shifts=(Shift(first_day=4, end_day=8, share=0.5), Shift(first_day=9, end_day=9, share=0.9)),
            season=Season(period_days=10.0, dearer=0.1, hurry=0.1),
        )
        days = np.array([0.0, 4.0, 6.0, 8.0, 8.9, 9.0, 30.0])
        assert novel_share(preset, days).tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.5, 0.9, 0.9])
        assert season(preset, np.array([0, 2.5, 5, 10])).tolist() == pytest.approx([0, 0.5, 1, 0])

    def test_the_truth_tells_when(self):
        rows = rows_of(simulate("storm", 1), "drifts.csv")
        assert [(row["kind"], row["begins"][:10], row["ends"][:10]) for row in rows] == [
            ("gradual", "2025-09-06", "2025-09-10"),
            ("sudden", "2025-09-15", "2025-09-15"),
            ("season", "2025-09-01", "2025-09-15"),
            ("season", "2025-09-15", "2025-09-29"),
        ]


class TestBots:
    def test_they_are_told_by_their_clicks_a_minute(self, storm, storm_seen):
        sessions = defaultdict(dict)
        for event in usable(storm_seen.events):
            if isinstance(event, Click):
                sessions[event.session_id][event.event_id] = event.event_time
        fast = set()
        for session, clicks in sessions.items():
            minutes = (max(clicks.values()) - min(clicks.values())) / 60_000
            if len(clicks) > 100 and len(clicks) / minutes > 120:
                fast.add(session)
        truth = {row["session_id"]: int(row["clicks"]) for row in rows_of(storm, "bots.csv")}
        assert len(truth) > 50
        assert fast == set(truth)
        assert {session: len(sessions[session]) for session in truth} == truth


class TestLabels:
    def test_poisoned_outcomes_disagree_with_the_truth_at_their_rate(self, storm, storm_seen):
        reports, payments = storm.reports, storm.payments
        frauds, seen = frauds_of(storm), usable(storm_seen.events)
        labels = {e.event_id: (e.about, e.label) for e in seen if hasattr(e, "label")}
        wrong = {event for event, (about, label) in labels.items() if label != frauds[about]}
        told = {
            row["event_id"]: (row["about"], int(row["label"]), row["fraud"] == "1")
            for row in rows_of(storm, "poisoned.csv")
        }
        assert told == {event: (*labels[event], frauds[labels[event][0]]) for event in wrong}
        assert len(wrong) / len(labels) == pytest.approx(storm.preset.poison_share, rel=0.2)
        assert payments.poisoned[reports.payment].sum() == len(wrong)

    def test_poison_leaves_the_truth_as_it_is(self):
        plain, poisoned = quiet(1, days=5), quiet(1, days=5, poison_share=0.3)
        assert frauds_of(plain) == frauds_of(poisoned)
        assert not rows_of(plain, "poisoned.csv")
        assert len(rows_of(poisoned, "poisoned.csv")) > 20

    def test_delay_and_silence_say_nothing_about_the_answer(self):
        delays, silent, frauds = [], [], []
        for seed in (1, 2, 3):
            network = simulate("network-small", seed)
            delays.append(np.maximum(network.payments.outcome_s - network.time_s, -1))
            silent.append(network.payments.outcome_s < 0)
            frauds.append(network.fraud)
        delay, never, fraud = (np.concatenate(parts) for parts in (delays, silent, frauds))
        assert auc(fraud[~never], delay[~never]) == pytest.approx(0.5, abs=0.04)
        assert auc(fraud, never) == pytest.approx(0.5, abs=0.02)


class TestLines:
    def flaws(self, network):
        found = defaultdict(list)
        for row in rows_of(network, "lines.csv"):
            found[row["flaw"]].append(row)
        return found

    def test_repeats_are_the_same_bytes_and_conflicts_are_not(self, storm):
        lines, flaws = lines_of(storm), self.flaws(storm)
        broken = {int(row["line"]) for flaw in flaws for row in flaws[flaw] if "_" in flaw}
        first, again, other = {}, set(), set()
        for number, line in enumerate(lines, 1):
            if number not in broken:
                key = line[: line.index(b',"event_time"')]
                if key not in first:
                    first[key] = line
                else:
                    (again if first[key] == line else other).add(number)
        assert again == {int(row["line"]) for row in flaws["repeat"]}
        assert other == {int(row["line"]) for row in flaws["conflict"]}
        preset = storm.preset
        assert len(again) / len(first) == pytest.approx(preset.repeat_share, rel=0.2)
        assert len(other) / storm.time_s.size == pytest.approx(preset.conflict_share, rel=0.5)

    def test_late_events_are_out_of_order_by_as_much_as_the_truth_says(self, storm, storm_seen):
        lines, flaws = storm_seen, self.flaws(storm)
        off = {int(row["line"]) for row in flaws["clock"]}
        again = {int(row["line"]) for flaw in ("repeat", "conflict") for row in flaws[flaw]}
        late, clock = {}, 0
        for number, event in enumerate(lines.events, 1):
            if number in off or number in again or not hasattr(event, "event_time"):
                continue
            if event.event_time < clock:
                late[number] = (clock - event.event_time) / 1000
            clock = max(clock, event.event_time)
        told = {int(row["line"]): int(row["seconds"]) for row in flaws["late"] if int(row["line"]) not in off}
        assert set(late) <= set(told)
        assert len(late) > 0.95 * len(told)
        missed = np.array([told[number] - behind for number, behind in late.items()])
        assert missed.min() >= 0
        assert np.quantile(missed, 0.95) < 900  # seconds without any event that is on time
        assert max(told.values()) <= storm.preset.late_hours_max * 3_600 + 1
        assert max(told.values()) > 2 * 86_400
        assert len(told) / len(lines.events) == pytest.approx(storm.preset.late_share, rel=0.1)

    def test_broken_lines_come_before_their_whole_ones(self, storm):
        flaws, lines = self.flaws(storm), lines_of(storm)
        broken = [row for flaw, rows in flaws.items() if "_" in flaw for row in rows]
        assert len(broken) / len(lines) == pytest.approx(storm.preset.broken_share, rel=0.2)
        assert len({row["flaw"] for row in broken}) == 6
        for row in broken[:50]:
            head = f'{{"type":"{row["type"]}","event_id":"{row["event_id"]}"'.encode()
            place = int(row["line"])
            assert (
                not lines[place - 1].startswith(head + b',"event_time":"20') or row["flaw"] == "invalid_json"
            )
            assert any(line.startswith(head) for line in lines[place:])

    def test_wrong_clocks_are_off_by_hours_and_years_for_some_days_at_few_sellers(self, storm, storm_seen):
        off = {row["event_id"]: int(row["seconds"]) for row in self.flaws(storm)["clock"]}
        assert {seconds // 3_600 for seconds in off.values()} == {
            clock.offset_hours for clock in storm.preset.clocks
        }
        when = {f"p-{n:012x}": int(t) for n, t in zip(storm.payment_ids, storm.time_s, strict=True)}
        sellers, fast = defaultdict(set), Counter()
        for event in usable(storm_seen.events):
            if isinstance(event, Payment):
                stated = event.event_time // 1000 - when[event.event_id]
                assert stated == off.get(event.event_id, 0)
                if stated:
                    sellers[stated].add(event.merchant_id)
                    fast[stated // 3_600] += 1
        assert all(len(names) == 1 for names in sellers.values())
        assert min(fast.values()) > 3

    @pytest.mark.parametrize("seed", [1, 2, 3, 4])
    def test_wrong_clocks_are_too_few_to_be_accepted(self, seed):
        storm = simulate("storm", seed)
        clock, timings = EventClock(2 * 86_400_000, 24 * 3_600_000, 3), Counter()
        for event in usable(view(storm).events):
            timings[clock.observe(event.event_time, party_of(event) or "")] += 1
        assert timings[Timing.AHEAD] > 5
        assert timings[Timing.LATE] > 5
        assert clock.now < storm.end_s * 1000
