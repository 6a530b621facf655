"""No field of a network gives a fraud away: not cents, ids, addresses, nor the place in the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from leaks import digits, found, rank_in_ties
from network_view import view

from headrace.operators.events.contract import Click
from headrace.operators.simulator import simulate
from headrace.operators.simulator.network.lines import Kind

# A seed gives the same bytes on every Python (test_network.py), so one Python is enough to evaluate them.
pytestmark = pytest.mark.slow

HOUR_MS = 3_600_000


def named(names):
    """The digits of ids of eight, zeros for one that isn't there."""
    return digits([name or "x-00000000" for name in names])


def octets(addresses):
    return np.array([[int(part) for part in address.split(".")] for address in addresses])


def place_in_hour(seen):
    """Where a payment's line is among all lines of its hour of the file, 0 to 1."""
    times = [event.event_time if isinstance(event, Click) else 0 for event in seen.events]
    hour = np.maximum.accumulate(np.array(times)) // HOUR_MS
    return rank_in_ties(hour)[[each.place for each in seen.paid]]


def known_payments(seen):
    """What must tell no fraud, of every payment: cents, ids, and its place in the hour and the second."""
    payments = [each.payment for each in seen.paid]
    cents = np.rint(np.array([payment.amount for payment in payments]) * 100).astype(np.int64)
    times = np.array([payment.event_time for payment in payments])
    columns = (
        *(cents % divisor for divisor in (2, 4, 5, 10, 100)),
        place_in_hour(seen),
        rank_in_ties(np.maximum.accumulate(times)),
        digits([payment.event_id for payment in payments]),
        named([payment.order_id for payment in payments]),
        named([payment.session_id for payment in payments]),
    )
    return np.column_stack(columns), seen.fraud


def new_names(seen, key, form):
    """What must tell no fraud, of payments with a customer, device ... not seen before: its text."""
    first = {}
    for row, each in enumerate(seen.paid):
        first.setdefault(getattr(each.payment, key), row)
    first.pop(None, None)
    return form(list(first)), seen.fraud[list(first.values())]


def margin_of(tables):
    """Four standard errors of an AUC on as many frauds as are evaluated."""
    return 4 / np.sqrt(12 * sum(int(fraud.sum()) for _, fraud in tables[len(tables) // 2 :]))


def some_worlds(preset, seeds, **options):
    return [view(simulate(preset, seed, **options)) for seed in seeds]


@pytest.fixture(scope="module", params=["network", "network-small", "storm"])
def worlds(request):
    return some_worlds(request.param, range(10, 22), customers=400, days=30)


def test_cents_ids_and_places_find_no_fraud(worlds):
    tables = [known_payments(seen) for seen in worlds]
    assert margin_of(tables) < 0.06
    assert found(tables) == pytest.approx([0.5, 0.5], abs=margin_of(tables))


@pytest.mark.parametrize(
    ("key", "form"), [("customer_id", digits), ("device_id", digits), ("ip", octets), ("session_id", digits)]
)
def test_the_text_of_new_names_finds_no_fraud(worlds, key, form):
    tables = [new_names(seen, key, form) for seen in worlds]
    assert margin_of(tables) < 0.25
    assert found(tables) == pytest.approx([0.5, 0.5], abs=margin_of(tables))


def frauds_first(world):
    """The same network with its first devices and addresses for frauds."""
    visit = world.orders.visit
    device = world.visits.device.copy()
    taken = visit[world.fraud]
    device[taken] = np.arange(taken.size)
    names = list(world.names)
    names[11] = np.arange(names[11].size, dtype=np.uint64) * np.uint64(9_973)
    return replace(world, visits=replace(world.visits, device=device), names=tuple(names))


def test_the_search_would_find_devices_named_in_an_order():
    worlds = [simulate("network-small", seed, customers=400, days=30) for seed in range(10, 14)]
    tables = [new_names(view(frauds_first(world)), "device_id", digits) for world in worlds]
    assert min(found(tables)) > 0.7


def test_the_search_would_find_even_cents():
    tables = []
    for seed in range(10, 14):
        world = simulate("network-small", seed, customers=400, days=30)
        orders = replace(
            world.orders, total=world.orders.total + (world.fraud & (world.orders.total % 2 == 1))
        )
        tables.append(known_payments(view(replace(world, orders=orders))))
    assert found(tables)[0] > 0.6


def test_the_search_would_find_frauds_that_come_last_in_their_hour():
    tables = []
    for seed in range(10, 14):
        world = simulate("network-small", seed, customers=400, days=30)
        lines, place = world.lines, world.lines.arrival_s.copy()
        paid = np.flatnonzero(lines.kind == Kind.PAYMENT)
        last = paid[world.fraud[lines.row[paid]]]
        place[last] = place[last] // 3_600 * 3_600 + 3_599
        moved = replace(world, lines=lines.only(np.argsort(place, kind="stable")))
        tables.append(known_payments(view(moved)))
    assert found(tables)[0] > 0.7
