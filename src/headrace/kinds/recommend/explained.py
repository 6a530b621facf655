"""Why a slate was given so: each item's origin, and what the session did next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.journal.records import Kind, Record
from headrace.ledger.explained import Asked, ExplainedReason, Why
from headrace.ledger.sections import Aside, Grid, Section, time_text
from headrace.operators.events.contract import Cart, Click, Order
from headrace.operators.events.declared import Contract, contract_of
from headrace.operators.recommend.explained import LIST_TEXTS, ExplainedItem, explained_items
from headrace.operators.recommend.slates import rank_of

__all__ = ["ExplainedFollowUp", "Slate", "explain", "followed"]

_USED: Final = (int(Kind.DECIDED), int(Kind.APPLIED))
_MINUTE_MS: Final = 60_000
_DONE: Final = {"click": "clicked", "cart": "put into the cart", "order": "ordered"}


@dataclass(frozen=True, slots=True)
class ExplainedFollowUp:
    """What a session did after a slate.

    Attributes
    ----------
    kind
        `click`, `cart` or `order`.
    event_id, item_id, event_time
        Of the event; an order is told once for each item.
    rank
        Where the item stood on the slate, from 1; 0 if it wasn't on it.
    """

    kind: str
    event_id: str
    item_id: str
    event_time: int
    rank: int


@dataclass(frozen=True, slots=True)
class Slate:
    """What is told of a slate.

    Attributes
    ----------
    reasons
        Of an empty one.
    items
        Best first.
    followed
        What its session did next: carts, orders, and its next click as the last one, as far as they came
        within the time that the slate waited.
    """

    reasons: tuple[ExplainedReason, ...]
    items: tuple[ExplainedItem, ...]
    followed: tuple[ExplainedFollowUp, ...]


def explain(asked: Asked) -> Why:
    """Tell why a slate was given so.

    Raises
    ------
    ValueError
        If what the journal keeps of it is none of a slate, or of another one.
    """
    decision = asked.decision
    reasons = tuple(
        ExplainedReason(each["code"], None, LIST_TEXTS.get(each["code"])) for each in decision["reasons"]
    )
    items = explained_items(decision, asked.record.detail)
    told = Slate(reasons, items, tuple(_followed(asked)))
    empty = Section("Reasons for the empty slate", _reasons(told))
    shown = Section("Items", _items(items)) if items else empty
    return Why(
        told,
        f"{len(items)} items",
        before=(shown, Section("What the session did next", _followed_shown(told.followed))),
    )


def _followed(asked: Asked) -> Iterator[ExplainedFollowUp]:
    settings, contract = asked.settings, contract_of(asked.settings.events)
    click = contract.decode_one(asked.record.input, len(asked.record.input))
    if isinstance(click, Click):
        items = [item["item_id"] for item in asked.decision["items"]]
        yield from followed(asked.behind(), click, items, contract, settings.slate.pending_minutes_max)


def followed(
    behind: Iterator[Record], click: Click, items: Sequence[str], contract: Contract, minutes_max: float
) -> Iterator[ExplainedFollowUp]:
    """Carts and orders of the session up to its next click, and that click, each with its place in the slate.

    The journal is read up to the first event that is later than the slate can wait.

    Parameters
    ----------
    behind
        The records behind the slate's.
    click
        What asked for the slate.
    items
        Of the slate, best first.
    contract
        What the events are decoded with.
    minutes_max
        How long the slate waited for the session's next click.
    """
    mark, until_ms = click.session_id.encode(), click.event_time + minutes_max * _MINUTE_MS
    for record in behind:
        # The session's id as bytes, before anything is decoded: few of the records behind are of this
        # session.
        if record.kind not in _USED or record.erased or mark not in record.input:
            continue
        event = contract.decode_one(record.input, len(record.input))
        if not isinstance(event, Click | Cart | Order) or event.session_id != click.session_id:
            continue
        if event.event_time > until_ms:
            return
        for item_id in event.item_ids if isinstance(event, Order) else [event.item_id]:
            rank = rank_of(item_id, items)
            kind = str(event.__struct_config__.tag)
            yield ExplainedFollowUp(kind, event.event_id, item_id, event.event_time, rank)
        if isinstance(event, Click):
            return


# -- as it is shown


def _items(items: Sequence[ExplainedItem]) -> Grid:
    rows = [
        (str(place), item.item_id, f"{item.score:.4f}", item.source, item.text)
        for place, item in enumerate(items, 1)
    ]
    return Grid(("right", "left", "right", "left", "left"), rows)


def _reasons(told: Slate) -> str | Grid:
    rows = [("-", reason.code, reason.text or Aside("(no text)")) for reason in told.reasons]
    return Grid(("right", "left", "left"), rows) if rows else "none"


def _followed_shown(follow_ups: Sequence[ExplainedFollowUp]) -> str | Grid:
    rows = [
        (
            _DONE[each.kind],
            each.item_id,
            f"place {each.rank}" if each.rank else "not on the slate",
            time_text(each.event_time),
            each.event_id,
        )
        for each in follow_ups
    ]
    return Grid(("left",) * 5, rows) if rows else "nothing so far, or nothing in time"
