"""A network's lines as text, in the event contract unless they are meant to be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from ..draws import DAY_S, Ints
from ..texts import names, rfc3339
from .catalogue import CATEGORIES
from .lines import Flaw, Kind, Lines
from .visits import NOBODY
from .world import Named, Network

__all__ = ["LETTERS", "NetworkText", "line_blocks"]

LETTERS: Final = {
    Kind.ITEM: "l",
    Kind.CLICK: "k",
    Kind.CART: "b",
    Kind.ORDER: "r",
    Kind.PAYMENT: "p",
    Kind.OUTCOME: "o",
}
_CONFLICT_CENTS: Final = 100
_NOT_UTF8: Final = "\udcff"  # becomes the byte 0xff


class NetworkText:
    """Renders the lines of a network.

    Parameters
    ----------
    network
        The network whose lines they are.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        named = network.names
        self._customers = names("c", named[Named.CUSTOMER])
        self._merchants = names("m", named[Named.MERCHANT])
        self._items = names("i", named[Named.ITEM])
        self._renderers: tuple[Callable[[Ints], list[str]], ...] = (
            self._listings,
            self._clicks,
            self._carts,
            self._orders,
            self._payments,
            self._outcomes,
        )

    def lines(self, part: Lines) -> list[str]:
        """Return the text of some lines, each with its newline.

        A byte that is no UTF-8 is a lone surrogate.
        """
        texts: list[str] = [""] * part.row.size
        for kind, render in enumerate(self._renderers):
            places = np.flatnonzero(part.kind == kind)
            # Rendered kind by kind, as columns, and put back into the order of the lines.
            for place, text in zip(places.tolist(), render(part.row[places]), strict=True):
                texts[place] = text
        for place in np.flatnonzero(part.flaw).tolist():
            texts[place] = self._flawed(texts[place], Flaw(int(part.flaw[place])), int(part.row[place]))
        return texts

    def _heads(self, kind: Kind, time_s: Ints, rows: Ints) -> list[str]:
        """Return what each event begins with: type, id and time."""
        letter, name = LETTERS[kind], kind.name.lower()
        numbers = self._network.names[kind][rows].tolist()
        return [
            f'{{"type":"{name}","event_id":"{letter}-{number:012x}","event_time":"{when}"'
            for number, when in zip(numbers, rfc3339(time_s), strict=True)
        ]

    def _listings(self, rows: Ints) -> list[str]:
        network, catalogue = self._network, self._network.catalogue
        item, time_s = network.listings.item[rows], network.listings.time_s[rows]
        day = (time_s - network.base_s) // DAY_S
        columns = (
            item,
            ~catalogue.gone(item, day),
            catalogue.price_at(item, day),
            catalogue.category[item],
            catalogue.seller[item],
        )
        details = zip(
            self._heads(Kind.ITEM, time_s, rows),
            rfc3339(network.listed_s[item]),
            *(column.tolist() for column in columns),
            strict=True,
        )
        return [
            f'{head},"item_id":"{self._items[item]}","available":{"true" if there else "false"},'
            f'"price":{cents // 100}.{cents % 100:02d},"category":"{CATEGORIES[category]}",'
            f'"seller_id":"{self._merchants[seller]}","published_at":"{since}"}}\n'
            for head, since, item, there, cents, category, seller in details
        ]

    def _clicks(self, rows: Ints) -> list[str]:
        network, clicks = self._network, self._network.clicks
        visit, item, time_s = clicks.visit[rows], clicks.item[rows], clicks.time_s[rows]
        cents = network.catalogue.price_at(item, (time_s - network.base_s) // DAY_S)
        heads, who = self._heads(Kind.CLICK, time_s, rows), self._who(visit)
        columns = (column.tolist() for column in (network.names[Named.SESSION][visit], item, cents))
        return [
            f'{head},"session_id":"s-{session:08x}","item_id":"{self._items[item]}"{customer},'
            f'"price":{cents // 100}.{cents % 100:02d}}}\n'
            for head, customer, session, item, cents in zip(heads, who, *columns, strict=True)
        ]

    def _carts(self, rows: Ints) -> list[str]:
        network, carts = self._network, self._network.carts
        visit = carts.visit[rows]
        heads, who = self._heads(Kind.CART, carts.time_s[rows], rows), self._who(visit)
        parts = (network.names[Named.SESSION][visit], carts.item[rows], carts.quantity[rows])
        return [
            f'{head},"session_id":"s-{session:08x}","item_id":"{self._items[item]}","quantity":{pieces}{customer}}}\n'
            for head, customer, session, item, pieces in zip(
                heads, who, *(column.tolist() for column in parts), strict=True
            )
        ]

    def _orders(self, rows: Ints) -> list[str]:
        network, orders = self._network, self._network.orders
        visit = orders.visit[rows]
        heads = self._heads(Kind.ORDER, network.base_s + orders.time_s[rows], rows)
        columns = (network.names[Named.ORDER][rows], network.visits.customer[visit])
        return [
            f'{head},"order_id":"q-{order:08x}","customer_id":"{self._customers[customer]}"'
            f',"items":[{bought}]{session}}}\n'
            for head, bought, session, order, customer in zip(
                heads,
                self._bought(rows),
                self._sessions(visit),
                *(column.tolist() for column in columns),
                strict=True,
            )
        ]

    def _bought(self, rows: Ints) -> Iterator[str]:
        """Yield the lines of each order."""
        orders = self._network.orders
        for first, end in zip(orders.first[rows].tolist(), orders.first[rows + 1].tolist(), strict=True):
            columns = (orders.item[first:end], orders.quantity[first:end], orders.price[first:end])
            yield ",".join(
                f'{{"item_id":"{self._items[item]}","quantity":{pieces},'
                f'"price":{cents // 100}.{cents % 100:02d}}}'
                for item, pieces, cents in zip(*(column.tolist() for column in columns), strict=True)
            )

    def _payments(self, rows: Ints) -> list[str]:
        network, visits = self._network, self._network.visits
        visit = network.orders.visit[rows]
        columns = (
            visits.customer[visit],
            network.merchant[rows],
            network.cents[rows],
            network.names[Named.ORDER][rows],
            network.names[Named.DEVICE][visits.device[visit]],
            network.names[Named.ADDRESS][visits.ip[visit]],
        )
        details = zip(
            self._heads(Kind.PAYMENT, network.payments.stated_s[rows], rows),
            self._sessions(visit),
            *(column.tolist() for column in columns),
            strict=True,
        )
        return [
            f'{head},"customer_id":"{self._customers[who]}","merchant_id":"{self._merchants[whom]}",'
            f'"amount":{cents // 100}.{cents % 100:02d},"currency":"EUR"{session},"order_id":"q-{order:08x}",'
            f'"device_id":"d-{device:08x}","ip":"10.{ip >> 16}.{ip >> 8 & 255}.{ip & 255}"}}\n'
            for head, session, who, whom, cents, order, device, ip in details
        ]

    def _outcomes(self, rows: Ints) -> list[str]:
        network, reports = self._network, self._network.reports
        paid = reports.payment[rows]
        columns = (
            network.payment_ids[paid],
            (network.payments.kind[paid] > 0) ^ network.payments.poisoned[paid],
            network.visits.customer[network.orders.visit[paid]],
        )
        heads = self._heads(Kind.OUTCOME, reports.time_s[rows], rows)
        return [
            f'{head},"about":"p-{about:012x}","label":{label:d},"customer_id":"{self._customers[who]}"}}\n'
            for head, about, label, who in zip(heads, *(column.tolist() for column in columns), strict=True)
        ]

    def _who(self, visit: Ints) -> list[str]:
        """Return the customer of each visit as a field, nothing when it isn't told."""
        visits = self._network.visits
        told = np.where(visits.signed_in[visit], visits.customer[visit], NOBODY)
        return ["" if who < 0 else f',"customer_id":"{self._customers[who]}"' for who in told.tolist()]

    def _sessions(self, visit: Ints) -> list[str]:
        """Return the session of each visit as a field, nothing when it isn't tracked."""
        numbers = self._network.names[Named.SESSION][visit].tolist()
        tracked = self._network.visits.tracked[visit].tolist()
        return [
            f',"session_id":"s-{number:08x}"' if seen else ""
            for number, seen in zip(numbers, tracked, strict=True)
        ]

    def _flawed(self, text: str, flaw: Flaw, row: int) -> str:
        if flaw is Flaw.CONFLICT:
            cents = int(self._network.cents[row])
            other = cents + _CONFLICT_CENTS
            return text.replace(
                f'"amount":{cents // 100}.{cents % 100:02d}', f'"amount":{other // 100}.{other % 100:02d}'
            )
        return text if flaw is Flaw.REPEAT else _broken(text, flaw)


def _broken(text: str, flaw: Flaw) -> str:
    if flaw is Flaw.CUT:
        return text[: len(text) // 2] + "\n"
    changes = {
        Flaw.NOT_UTF8: ('"event_id":"', f'"event_id":"{_NOT_UTF8}'),
        Flaw.NO_TIME: ('"event_time"', '"at"'),
        Flaw.UNKNOWN_TYPE: ('"type":"', '"type":"pre-'),
        Flaw.NUMBER_AS_ID: ('"event_id":"', '"event_id":7,"id":"'),
        Flaw.OTHER_CENTURY: ('"event_time":"20', '"event_time":"19'),
    }
    return text.replace(*changes[flaw], 1)


def line_blocks(network: Network, lines_at_once: int) -> Iterator[tuple[Ints, Sequence[str]]]:
    """Arrival times and texts of the lines, block by block, in the order of the file."""
    text = NetworkText(network)
    for start in range(0, network.lines.row.size, lines_at_once):
        part = network.lines.only(np.arange(start, min(start + lines_at_once, network.lines.row.size)))
        yield part.arrival_s, text.lines(part)
