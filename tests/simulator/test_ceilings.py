"""What the best decisions reach in a network, held against what happens in it."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.operators.simulator import ceilings, simulate
from headrace.operators.simulator.draws import DAY_S
from headrace.operators.simulator.network import ceilings as module
from headrace.operators.simulator.network.lines import Kind
from headrace.operators.simulator.network.shopping import looks_anywhere
from headrace.operators.simulator.network.visits import FRAUDULENT, Purpose


@pytest.fixture(scope="module")
def network():
    return simulate("demo-network", 1, days=10)


@pytest.fixture(scope="module")
def odds(network):
    return module.item_odds(network, np.arange(network.clicks.visit.size))


def test_the_chances_of_a_click_are_whole_and_leave_out_what_is_sold_out(network, odds):
    assert np.allclose(odds.sum(axis=1), 1.0)
    day = (network.clicks.time_s - network.base_s) // DAY_S
    for row in range(0, day.size, 997):
        items = np.arange(network.catalogue.category.size)
        there = network.catalogue.on_sale(items, np.full(items.size, day[row])) == items
        assert not odds[row][~there].any()


def test_each_item_is_clicked_as_often_as_its_chances_say(network, odds):
    seen = np.bincount(network.clicks.item, minlength=odds.shape[1])
    spread = np.sqrt((odds * (1.0 - odds)).sum(axis=0))
    off = (seen - odds.sum(axis=0)) / np.maximum(spread, 1.0)
    assert np.abs(off).max() < 5.0
    assert np.sqrt((off**2).mean()) < 1.3


@pytest.mark.parametrize("who", ["calm", "anywhere", "buyers' last", "testers' last"])
def test_kinds_of_clicks_hit_the_best_list_as_often_as_is_said(network, odds, who):
    visits = network.visits.only(network.clicks.visit)
    last = module._last(network.clicks.visit)
    rows = {
        "calm": ~looks_anywhere(visits) & ~last,
        "anywhere": looks_anywhere(visits) & ~last,
        "buyers' last": visits.buys & last & (visits.purpose == Purpose.BUY),
        "testers' last": last & (visits.purpose == Purpose.TESTING),
    }[who]
    few = 3  # a short list, so that it is seldom right by itself
    best = np.argpartition(odds[rows], -few, axis=1)[:, -few:]
    hits = (best == network.clicks.item[rows][:, None]).any(axis=1)
    chance = np.take_along_axis(odds[rows], best, axis=1).sum(axis=1)
    assert hits.size > 30
    spread = np.sqrt((chance * (1.0 - chance)).sum())
    assert abs(hits.sum() - chance.sum()) < 4.0 * max(spread, 1.0)


def test_a_ceiling_is_that_of_the_likeliest_items(network, odds):
    found = ceilings(network, 20)
    ids = [f"k-{number:012x}" for number in network.names[Kind.CLICK].tolist()]
    assert list(found.hits) == ids
    assert found.hits[ids[7]] == pytest.approx(np.sort(odds[7])[-20:].sum())
    assert 0.5 < np.mean(list(found.hits.values())) < 1.0
    assert list(ceilings(network, 1_000).hits.values()) == pytest.approx([1.0] * len(ids))


def test_frauds_are_sure_but_for_a_coin_tossed_at_compromised_merchants():
    network = simulate("storm", 1)
    odds = module.fraud_odds(network)
    own = np.isin(network.visits.purpose[network.orders.visit], FRAUDULENT)
    assert set(odds[own].tolist()) == {1.0}
    assert not network.fraud[odds == 0.0].any()
    tossed = (odds > 0.0) & (odds < 1.0)
    assert tossed.sum() > 50
    expected, spread = odds[tossed].sum(), np.sqrt((odds * (1.0 - odds))[tossed].sum())
    assert abs(network.fraud[tossed].sum() - expected) < 4.0 * spread
