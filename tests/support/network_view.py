"""What can be seen of a network from its lines, payment by payment, and what its truths say."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headrace.operators.events.contract import Click, Payment
from headrace.operators.events.decode import Undecodable, decode
from headrace.operators.simulator import event_blocks, truth_blocks
from headrace.operators.simulator.network.truths import truth_tables

DAY_MS = 86_400_000


class Paid(NamedTuple):
    """A payment and what its session showed before it."""

    payment: Payment
    place: int  # of its line, from 0
    clicks: int
    items: int
    seconds: float
    viewed: float


@dataclass
class View:
    """A network as its reader sees it."""

    lines: list[bytes]
    events: list
    paid: list[Paid]
    fraud: np.ndarray

    @property
    def day(self):
        times = np.array([each.payment.event_time for each in self.paid])
        return (times - times.min()) // DAY_MS

    def features(self):
        """Clicks, items, seconds from the first click, amount, and amount over the price viewed."""
        rows = [
            (each.clicks, each.items, each.seconds, each.payment.amount, each.payment.amount / each.viewed)
            for each in self.paid
        ]
        return np.array(rows)


def lines_of(network):
    return b"".join(event_blocks(network)).split(b"\n")[:-1]


def rows_of(network, name):
    """A table of the further truths."""
    return list(csv.DictReader(io.StringIO(b"".join(truth_tables(network)[name]).decode())))


def frauds_of(network):
    """The truth of each payment's id."""
    rows = csv.DictReader(io.StringIO(b"".join(truth_blocks(network)).decode()))
    return {row["event_id"]: row["fraud"] == "1" for row in rows}


def view(network):
    """Read the lines, each payment once."""
    lines = lines_of(network)
    events = decode(lines)
    sessions, known, paid = {}, set(), []
    for place, event in enumerate(events):
        if isinstance(event, Click):
            sessions.setdefault(event.session_id, {})[event.event_id] = event
        elif isinstance(event, Payment) and event.event_id not in known:
            known.add(event.event_id)
            paid.append(_seen(event, place, list(sessions.get(event.session_id, {}).values())))
    frauds = frauds_of(network)
    return View(lines, events, paid, np.array([frauds[each.payment.event_id] for each in paid]))


def _seen(payment, place, clicks):
    if not clicks:
        return Paid(payment, place, 0, 0, -1.0, 1e9)
    seconds = (payment.event_time - min(click.event_time for click in clicks)) / 1000
    viewed = float(np.mean([click.price for click in clicks]))
    return Paid(payment, place, len(clicks), len({click.item_id for click in clicks}), seconds, viewed)


def usable(events):
    return [event for event in events if not isinstance(event, Undecodable)]
