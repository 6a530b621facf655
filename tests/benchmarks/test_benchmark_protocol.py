"""What the quality benchmarks measure: the metrics, the rounds of the protocol, and the rival's features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.operators.simulator import simulate, write

DAY_S = 86_400


@pytest.fixture(scope="module")
def modules(benchmark_named):
    return benchmark_named("_protocol"), benchmark_named("_forest")


@pytest.fixture(scope="module")
def protocol(modules):
    return modules[0]


@pytest.fixture(scope="module")
def payments(protocol, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write(simulate("shop", 4, customers=60, days=50), folder / "events.jsonl.gz", folder / "truth.csv")
    return protocol.read(folder / "events.jsonl.gz", folder / "truth.csv")


class TestMetrics:
    def test_they_agree_with_scikit_learn_on_scores_with_ties(self, protocol, payments):
        from sklearn.metrics import average_precision_score, roc_auc_score

        rng = np.random.default_rng(1)
        scores = rng.integers(0, 20, payments.fraud.size) / 20 + payments.fraud * 0.2
        found = protocol.evaluate(payments, np.ones(scores.size, dtype=np.bool_), scores)
        assert found.average_precision == pytest.approx(
            average_precision_score(payments.fraud, scores), abs=1e-12
        )
        assert found.auc == pytest.approx(roc_auc_score(payments.fraud, scores), abs=1e-12)

    def test_a_card_once_found_leaves_the_list_of_later_days(self, protocol, payments):
        two_days = replace(
            payments,
            time_s=np.array([0, 1, DAY_S, DAY_S + 1]),
            customer=np.array([7, 8, 7, 8]),
            fraud=np.array([True, False, True, True]),
        )
        found = protocol.evaluate(two_days, np.ones(4, dtype=np.bool_), np.array([0.9, 0.1, 0.9, 0.8]))
        assert found.card_precision == pytest.approx((0.01 + 0.01) / 2)


class TestRounds:
    def test_a_week_to_train_a_week_between_and_a_week_to_test(self, protocol, payments):
        last = payments.day.max()
        (week,) = protocol.weeks(payments, 1)
        assert set(payments.day[week.train]) == set(range(last - 20, last - 13))
        assert set(payments.day[week.test]) == set(range(last - 6, last + 1))

    def test_no_outcome_is_used_that_comes_after_the_test_begins(self, protocol, payments):
        (week,) = protocol.weeks(payments, 1)
        assert payments.reported_s[week.train].max() <= (payments.day.max() - 6) * DAY_S

    def test_cards_are_left_out_once_their_frauds_are_a_week_old(self, protocol, payments):
        (week,) = protocol.weeks(payments, 1)
        for row in np.flatnonzero(week.test)[::7]:
            same = payments.fraud & (payments.customer == payments.customer[row])
            seen = payments.day >= payments.day.max() - 20
            trained = payments.day <= payments.day.max() - 14
            old = payments.day < payments.day[row] - 7
            assert not (same & seen & (old | trained)).any()

    def test_earlier_rounds_are_a_week_apart_and_too_short_a_file_is_refused(self, protocol, payments):
        assert [payments.day[week.test].min() for week in protocol.weeks(payments, 3)] == [
            payments.day.max() - 20,
            payments.day.max() - 13,
            payments.day.max() - 6,
        ]
        early = replace(payments, time_s=payments.time_s[0] + np.arange(payments.time_s.size) % (20 * DAY_S))
        with pytest.raises(SystemExit, match="21 days"):
            protocol.weeks(replace(early, time_s=np.sort(early.time_s)[:100]), 1)


class TestFeatures:
    def test_they_are_what_a_plain_count_gives(self, modules, payments):
        forest = modules[1]
        table = forest.features(payments)
        assert table.shape == (payments.time_s.size, len(forest.FEATURES)) == (payments.time_s.size, 15)
        for row in range(5, payments.time_s.size, 97):
            assert table[row].tolist() == pytest.approx(plain(payments, row))


def plain(payments, row):
    now = payments.time_s[row]
    weekday, hour = (now // DAY_S + 3) % 7, now % DAY_S // 3_600
    expected = [payments.amount[row], float(weekday >= 5), float(hour <= 6)]
    past = np.arange(payments.time_s.size) <= row
    own = past & (payments.customer == payments.customer[row])
    for days in (1, 7, 30):
        inside = own & (payments.time_s > now - days * DAY_S)
        expected += [inside.sum(), payments.amount[inside].mean()]
    there = payments.merchant == payments.merchant[row]
    for days in (1, 7, 30):
        end = now - 7 * DAY_S
        inside = there & (payments.time_s > end - days * DAY_S) & (payments.time_s <= end)
        known = inside & payments.fraud & (payments.reported_s <= now)
        expected += [inside.sum(), known.sum() / max(inside.sum(), 1)]
    return expected
