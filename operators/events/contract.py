"""The event contract: every kind of event that comes in, and the decision that goes out.

All structs are frozen. Field names, units and limits here are the contract; the JSON Schema files in the
documentation are generated from this module. A new optional field keeps the version; anything else raises it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta, Struct

__all__ = [
    "EVENT_TIME_MS_MAX",
    "EVENT_TIME_MS_MIN",
    "EVENT_TYPES",
    "FRAUD_ID",
    "VERSION",
    "Cart",
    "Click",
    "DeadLetter",
    "Decision",
    "Event",
    "Item",
    "Order",
    "OrderItem",
    "Outcome",
    "Payment",
    "Reason",
    "Recommendation",
    "RecommendedItem",
]

VERSION = 1
FRAUD_ID = "fraud:"  # what the ids of decisions on payments begin with; the payment's id follows
EVENT_TIME_MS_MIN = 946_684_800_000  # 2000-01-01T00:00:00Z
EVENT_TIME_MS_MAX = 4_102_444_800_000  # 2100-01-01T00:00:00Z, itself excluded

Id = Annotated[str, Meta(min_length=1, max_length=128, description="An identifier of 1 to 128 characters.")]
CURRENCY_PATTERN = "^[A-Z]{3}$"
# The codec holds it against the pattern, once for each currency: msgspec would do so for each payment.
Currency = Annotated[
    str, Meta(description="An ISO 4217 code.", extra_json_schema={"pattern": CURRENCY_PATTERN})
]
Amount = Annotated[float, Meta(ge=0.0, le=1e12, description="Money in units of the currency, 0 to 1e12.")]
Version = Annotated[int, Meta(ge=VERSION, le=VERSION, description="Version of the contract.")]

if TYPE_CHECKING:
    PublishedAt = int
    # On the wire a time is text or a number; the codec turns both into a number before anyone sees the event.
    EventTime = int
else:
    EventTime = Annotated[
        int | Annotated[str, Meta(min_length=20, max_length=40, extra_json_schema={"format": "date-time"})],
        Meta(
            description="RFC 3339 with an offset, or milliseconds since the epoch, UTC; years 2000 to 2099."
        ),
    ]
    PublishedAt = EventTime


class _Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """What every event has.

    Attributes
    ----------
    event_id
        Unique among events of its type, within the limits of the id memory.
    event_time
        When it happened: milliseconds since the epoch, UTC.
    version
        Version of the contract, 1.
    """

    party_fields: ClassVar[tuple[str, ...]] = ("customer_id", "session_id")

    event_id: Id
    event_time: EventTime
    version: Version = VERSION


class Click(_Event, frozen=True, kw_only=True, tag="click", omit_defaults=True, gc=False):
    """A visitor looked at an item.

    Attributes
    ----------
    session_id
        The visit that it belongs to.
    item_id
        What was looked at.
    customer_id
        The customer, when known.
    price
        What the visitor was shown as its price, in units of the flow's currency, when known.
    """

    session_id: Id
    item_id: Id
    customer_id: Id | None = None
    price: Amount | None = None


class Item(_Event, frozen=True, kw_only=True, tag="item", omit_defaults=True, gc=False):
    """The catalogue says how an item stands from now on; the newest one holds.

    Attributes
    ----------
    item_id
        Which item.
    available, hidden
        Whether it can be bought, and whether it may not be shown all the same.
    price
        For one piece, in units of the flow's currency.
    category, seller_id
        What it is filed under, and who sells it.
    published_at
        When it came into the catalogue first.
    """

    party_fields: ClassVar[tuple[str, ...]] = ()

    item_id: Id
    available: bool = True
    hidden: bool = False
    price: Amount | None = None
    category: Id | None = None
    seller_id: Id | None = None
    published_at: PublishedAt | None = None


class Cart(_Event, frozen=True, kw_only=True, tag="cart", omit_defaults=True, gc=False):
    """A visitor put an item into the cart.

    Attributes
    ----------
    session_id
        The visit that it belongs to.
    item_id
        What was put in.
    quantity
        How many pieces.
    customer_id
        The customer, when known.
    """

    session_id: Id
    item_id: Id
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    customer_id: Id | None = None


class OrderItem(Struct, frozen=True, kw_only=True, gc=False):
    """One line of an order.

    Attributes
    ----------
    item_id
        What was ordered.
    quantity
        How many pieces.
    price
        For one piece, in units of the order's currency.
    """

    item_id: Id
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]
    price: Amount


class Order(_Event, frozen=True, kw_only=True, tag="order", omit_defaults=True, gc=False):
    """A customer ordered items.

    Attributes
    ----------
    order_id
        The order's own identifier; payments refer to it.
    customer_id
        Who ordered.
    items
        What was ordered, at most 1,000 lines.
    session_id
        The visit that led to it, when known.
    """

    order_id: Id
    customer_id: Id
    items: Annotated[tuple[OrderItem, ...], Meta(max_length=1000)]
    session_id: Id | None = None

    @property
    def item_ids(self) -> list[str]:
        """The different items, in the order of the lines."""
        return list(dict.fromkeys(line.item_id for line in self.items))


class Payment(_Event, frozen=True, kw_only=True, tag="payment", omit_defaults=True, gc=False):
    """A customer pays a merchant; it asks for a fraud decision.

    Attributes
    ----------
    customer_id
        Who pays.
    merchant_id
        Who is paid.
    amount
        Units of the currency, 0.00 allowed.
    currency
        ISO 4217; a flow decides in one currency.
    session_id, order_id
        The visit and the order that it came from, when known.
    device_id
        The device, when known.
    ip
        The network address as text, when known, at most 45 characters.
    """

    customer_id: Id
    merchant_id: Id
    amount: Amount
    currency: Currency
    session_id: Id | None = None
    order_id: Id | None = None
    device_id: Id | None = None
    ip: Annotated[str, Meta(min_length=2, max_length=45)] | None = None


class Outcome(_Event, frozen=True, kw_only=True, tag="outcome", omit_defaults=True, gc=False):
    """How an earlier payment turned out.

    Attributes
    ----------
    about
        `event_id` of the payment.
    label
        1 for a fraud, 0 for a legitimate payment.
    customer_id, merchant_id
        The payment's, when the sender knows them.
    """

    party_fields: ClassVar[tuple[str, ...]] = ("customer_id",)

    about: Id
    label: Literal[0, 1]
    customer_id: Id | None = None
    merchant_id: Id | None = None


Event = Click | Item | Cart | Order | Payment | Outcome
EVENT_TYPES = ("click", "item", "cart", "order", "payment", "outcome")


class Reason(Struct, frozen=True):
    """One reason of a decision.

    Attributes
    ----------
    code
        A reason code of the configuration.
    contribution
        What it added to the score, in log-odds; null for a reason of the policy's.
    """

    code: str
    contribution: float | None


class Decision(Struct, frozen=True, kw_only=True):
    """What goes out for an event that asks for a decision.

    Attributes
    ----------
    decision_id
        The kind and the event's id, joined by a colon.
    event_id
        The event that asked.
    customer_id
        Whom the decision is about: the payment's customer. Earlier versions left it out.
    event_time
        The event's time, milliseconds since the epoch, UTC.
    kind
        What is decided.
    action
        What to do.
    score
        Estimated probability of fraud, 0 to 1.
    reasons
        The strongest first.
    model
        Name of the model and digest of what it was configured with.
    policy
        What decided, when it wasn't the score against thresholds: `list.NAME`, `rule.NAME`, `cost`,
        `capacity`, `deadline` or `kill_switch`.
    shadow_action
        In shadow mode, what would have gone out; `action` is then always `approve`.
    version
        Version of the contract, 1.
    retried
        True for a dead letter's input that was given once more, and decided as of then; else left out.
    """

    decision_id: str
    event_id: str
    event_time: int
    kind: Literal["fraud"]
    action: Literal["approve", "review", "block"]
    score: Annotated[float, Meta(ge=0.0, le=1.0)]
    reasons: tuple[Reason, ...]
    model: str
    policy: str | None = None
    shadow_action: Literal["approve", "review", "block"] | None = None
    version: Version = VERSION
    retried: bool = False
    customer_id: str | None = None


class RecommendedItem(Struct, frozen=True):
    """One item of a list.

    Attributes
    ----------
    item_id
        Which item.
    score
        Its share among all items that were ranked, 0 to 1; of a fallback list 1 / place; else 0.
    source
        What speaks most for it: `neighbours`, `recent_neighbours`, `next_clicks`, `later_clicks`,
        `session`, `bought_together`, `trending`; `new` if it is there for being new.
    propensity
        Where chance put it there: how probable it was that this list would show it. Else left out.
    """

    item_id: str
    score: Annotated[float, Meta(ge=0.0, le=1.0)]
    source: str
    propensity: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


class Recommendation(Struct, frozen=True, kw_only=True):
    """What goes out for a click: a slate of items for its session.

    Attributes
    ----------
    decision_id
        The kind and the click's id, joined by a colon.
    event_id
        The click that asked.
    session_id
        Whom the list is for: the click's session. Earlier versions left it out.
    event_time
        The click's time, milliseconds since the epoch, UTC.
    kind
        What is decided.
    action
        `recommend`, or `none` where the list is empty.
    items
        Best first; their number is configured.
    reasons
        Why the list is empty: `no_candidates`, `kill_switch`, `deadline` or `ranker_failed`; else none.
    model
        Name of what ranks, and digest of what it was configured with.
    policy
        What decided in place of the ranking: `kill_switch`, `deadline`, or `ranker_failed` where a model in
        the ranker's place raised an error.
    version
        Version of the contract, 1.
    retried
        True for a dead letter's input that was given once more, and decided as of then; else left out.
    """

    decision_id: str
    event_id: str
    event_time: int
    kind: Literal["recommend"]
    action: Literal["recommend", "none"]
    items: tuple[RecommendedItem, ...]
    reasons: tuple[Reason, ...]
    model: str
    policy: str | None = None
    version: Version = VERSION
    retried: bool = False
    session_id: str | None = None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """An input that could not be used, with everything needed to send it again.

    Attributes
    ----------
    reason
        A code, see the list in the documentation of the contracts.
    message
        What is wrong, for a person.
    field
        The field that is wrong, as a path, when it is one.
    source
        The file or topic that it came from.
    offset
        Where it starts there, in bytes after decompression.
    line
        Its line number there, from 1.
    payload_base64
        The original bytes; of a cut letter their head, which may be empty.
    version
        Version of the contract, 1.
    payload_bytes
        Of a cut letter, how many bytes the whole input has, before any encoding; else left out.
    payload_sha256
        Of a cut letter, the SHA-256 digest of the whole input, in 64 hexadecimal digits; else left out.
    """

    reason: str
    message: str
    field: str | None
    source: str
    offset: int
    line: int
    payload_base64: str
    version: Version = VERSION
    payload_bytes: int | None = None
    payload_sha256: str | None = None
