"""The reference page of features, generated from the settings that declare them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pydantic import BaseModel

from headrace.cli.declared_tables import about, key_table
from headrace.config.durations import HALF_LIFE_MS_MAX, WINDOW_MS_MAX
from headrace.config.features import KINDS
from headrace.config.fraud_flow import BinDeclaration, CrossDeclaration, EntitySettings

__all__ = ["MISSING", "NOTES", "ZERO", "Notes", "features_page"]

MISSING: Final = "missing"
ZERO: Final = "0"
_DAY_MS: Final = 86_400_000


class Notes(NamedTuple):
    """What the declaration's class doesn't say.

    Attributes
    ----------
    example
        Lines of `[features]`; the last one is of the kind.
    unseen
        Its value for an entity never seen.
    emptied
        Its value once all has left the window; None for a kind without a window.
    more
        What else there is to know.
    """

    example: str
    unseen: str
    emptied: str | None = None
    more: str = ""


NOTES: Final = {
    "field": Notes(
        'amount = { kind = "field", value = "amount" }',
        "the payment's own",
        more="`hour_of_day` (0 to 23) and `day_of_week` (0 is Monday) are those of the event time, in UTC.",
    ),
    "ratio": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'usual = { kind = "mean", entity = "customer", value = "amount" }\n'
        'against_usual = { kind = "ratio", value = "amount", over = "usual" }',
        MISSING,
        more="Missing if one of the two is missing, or the divisor isn't above 1e-280.",
    ),
    "count": Notes(
        'payments_1d = { kind = "count", entity = "customer", window = "1d", panes = 24 }', ZERO, ZERO
    ),
    "sum": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'spent_7d = { kind = "sum", entity = "customer", value = "amount", window = "7d", panes = 7 }',
        ZERO,
        ZERO,
        "Payments whose `value` is missing add nothing.",
    ),
    "mean": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'mean_7d = { kind = "mean", entity = "customer", value = "amount", window = "7d", panes = 7 }',
        MISSING,
        MISSING,
        "Payments whose `value` is missing are left out.",
    ),
    "max": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'highest = { kind = "max", entity = "customer", value = "amount", window = "14d" }',
        MISSING,
        MISSING,
        "Kept in single precision: about seven digits.",
    ),
    "distinct": Notes(
        'shops_1d = { kind = "distinct", entity = "customer", value = "merchant_id", window = "1d" }',
        ZERO,
        ZERO,
        "The window is exact, `panes` has no effect. Beyond `keys_max` the value not seen for longest"
        " is forgotten. Events without the field are left out.",
    ),
    "ew_mean": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'lately = { kind = "ew_mean", entity = "customer", value = "amount", half_life = "7d" }',
        MISSING,
        more="A value's weight halves with each `half_life`. Without payments the mean stays as it is.",
    ),
    "ew_deviation": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'spread = { kind = "ew_deviation", entity = "customer", value = "amount", half_life = "7d" }',
        MISSING,
        more="Weighted as `ew_mean`; 0 after a single payment.",
    ),
    "time_since_last": Notes(
        'idle_hours = { kind = "time_since_last", entity = "customer", unit = "hours", window = "30d" }',
        MISSING,
        MISSING,
    ),
    "time_since_first": Notes(
        'known_days = { kind = "time_since_first", entity = "customer", window = "30d" }',
        MISSING,
        MISSING,
        "With a window, the first is forgotten once it is older; the next that comes then is the first.",
    ),
    "running_mean": Notes(
        'amount = { kind = "field", value = "amount" }\n'
        'usual = { kind = "running_mean", entity = "customer", value = "amount", clip = 2.5 }',
        "the mean over all entities, missing before the first payment of all",
        more="An entity's mean starts from the mean over all, which weighs as much as one payment. A mean"
        " of 0 starts anew.",
    ),
    "fraud_share": Notes(
        'share_37d = { kind = "fraud_share", entity = "merchant", window = "37d", panes = 37 }',
        MISSING,
        MISSING,
        "A payment counts at its own time, once its outcome has come. Frauds that don't meet `when` are left"
        " out, legitimate payments never.",
    ),
    "fraud_streak": Notes(
        'streak = { kind = "fraud_streak", entity = "merchant" }',
        ZERO,
        more="In the order in which outcomes come. Frauds that don't meet `when` are left out, legitimate"
        " payments never. A corrected label is undone among the entity's last 16 outcomes.",
    ),
    "first_fraud_age": Notes(
        'fraud_days = { kind = "first_fraud_age", entity = "merchant", window = "37d" }',
        MISSING,
        MISSING,
        "Counted from the time of the payment. Missing while `fraud_streak` under the same `when` is 0.",
    ),
    "last_legitimate_age": Notes(
        'legitimate_days = { kind = "last_legitimate_age", entity = "merchant", window = "37d" }',
        MISSING,
        MISSING,
        "Counted from the time of the payment.",
    ),
}

_MEANINGS: Final = {
    "entity": "one of `[entities]`, whose past it is",
    "value": "a feature declared before it",
    "over": "a feature declared before it, the divisor",
    "window": "how far back it looks; not given: the entity's whole life",
    "panes": "parts that the window is cut into",
    "when": "comparisons that the payment must meet to count, such as `amount_ratio > 4`",
    "on": "which events feed it",
    "unit": "of the result",
    "half_life": "after which a value weighs half",
    "keys_max": "different values kept for one entity",
    "clip": "a value counts for at most this many times the mean so far; not given: as it is",
    "weight_min": "the weight of a new value, 1/n, doesn't fall below this",
    "prior": "what an entity starts from",
    "key": "the event's field that names it",
    "idle_days_max": "an entity not seen for longer is forgotten",
    "entities_max": "entities kept; beyond it, of 16 that are looked at the one seen least lately goes",
    "of": "what it is made from: a feature for a bin, 1 to 4 bins for a cross",
    "edges": "where a range ends and the next begins, strictly increasing",
    "code": "the reason code of what its slots contribute; its text stands in `[reasons.texts]`",
    "report_if": "comparisons that must hold for the code to be reported, so that its text is true",
}
_OF_THE_EVENT: Final = {
    "field": "which number of the payment",
    "distinct": "which field of the event; of a click only `item_id`, which no payment has",
}
_TYPES: Final = {
    "window": f"`1m` to `{WINDOW_MS_MAX // _DAY_MS}d`",
    "half_life": f"`1m` to `{HALF_LIFE_MS_MAX // _DAY_MS}d`",
    "when": "up to 8",
    "report_if": "up to 8",
    "entity": "a name",
    "value": "a name",
    "over": "a name",
    "code": "a name",
    "edges": "1 to 256 numbers",
    "of": "names",
}

_INTRODUCTION: Final = """# Features

Generated by `headrace reference` from the settings; a test fails when it is stale, and another one computes
every example.

A feature is a number that is read for each payment. Most tell of the past of one of its entities: what its
customer, merchant, session or device did before. The payment itself counts from the next one on. Only
`field` and `ratio` look at the payment itself. Features are declared in `[features]` and may refer to those
that are declared before them; rules of the [policy](policy.md#rules) can use all of them, and bins make
them the model's input. A flow that declares its events has [more kinds](event-features.md), over any of them.

A *missing* value is no number: comparisons with it are false (in `when`, `!=` is true), a payment
with it isn't taken in by features that have it as their `value`, and in a bin it has a range of its own.

## Time

**Windows.** A window of *W* is cut into *P* `panes`, and the oldest pane is dropped whole, at multiples of
*W/P* since 1970. So it covers between *W - W/P* and *W*: with `window = "1d", panes = 24` between 23 and 24
hours. More panes cost memory for each entity (4 to 12 bytes each). Ages (`time_since_…`, `…_age`) and
`distinct` are exact to the millisecond; there the window is how old the time may be.

**Equal times.** Events are taken one after another as they stand in the merged order. The second of two
payments of one time sees the first, and its `time_since_last` is 0.

**Out of order.** A payment older than others, but not late, counts in the pane of its own time; nothing if
that has left the window. Reading at such a time sees all that was taken in, also what is newer; an age is
then 0, never below.

**Late and ahead** ([the clock](architecture.md#the-clock)). A late payment is decided with features as of
the clock's time, and feeds none of those that payments feed. Its outcome feeds those of outcomes, at the
payment's time. A payment ahead is decided at the clock's time, too, and feeds features once the clock
follows. A late click, or one ahead, feeds nothing.

**Outcomes.** `fraud_share`, `fraud_streak`, `first_fraud_age` and `last_legitimate_age` are fed by
outcomes. They move when an outcome comes, and count with the time of its payment. A corrected label takes
back what the first had done.

## What several kinds have

**`on = "click"`** lets clicks feed the feature instead of payments; the entity's key must then be
`session_id` or `customer_id`. Of a click `price` can be a `value`, and `item_id` for `distinct`. `when`
isn't possible, as a click has no features.

**`when`** names features with a number to compare each with (`<`, `<=`, `>`, `>=`, `==`, `!=`); all must
hold, for the payment that is to be counted, with the values as they were when it was decided.
"""


def features_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_INTRODUCTION, *_entities(), *_overview(), *_kinds(), *_bins()]) + "\n"


def _entities() -> Iterator[str]:
    yield from ("## Entities", "")
    yield from ("```toml", "[entities.customer]", 'key = "customer_id"', "idle_days_max = 180.0", "```", "")
    yield from _table(EntitySettings)
    yield from (
        "",
        "A payment that doesn't name the entity (it may come without session, order, device or IP address)",
        "has the values of one never seen. So has an entity that was forgotten.",
    )


def _overview() -> Iterator[str]:
    yield from ("", "## Kinds", "")
    yield "| kind | | never seen | nothing in the window |"
    yield "| --- | --- | --- | --- |"
    for kind, declaration in KINDS.items():
        notes = NOTES[kind]
        emptied = "" if notes.emptied is None else notes.emptied
        yield f"| [`{kind}`](#{kind}) | {about(declaration)} | {notes.unseen} | {emptied} |"


def _kinds() -> Iterator[str]:
    for kind, declaration in KINDS.items():
        notes = NOTES[kind]
        yield from ("", f"### {kind}", "", f"{about(declaration)} {notes.more}".rstrip(), "")
        yield from ("```toml", *notes.example.splitlines(), "```", "")
        yield from _table(declaration, kind)


def _bins() -> Iterator[str]:
    yield from ("", "## Bins", "", about(BinDeclaration), "")
    yield from ("```toml", "[bins]", 'amount = { of = "amount", edges = [10, 50, 200] }', "```", "")
    yield from _table(BinDeclaration)
    yield from (
        "",
        "A value lies in the range that begins at the last edge not above it: 50 lies in *50 to 200*. Below",
        "the first edge and from the last one on there is a range each, and one for missing.",
    )
    yield from ("", "## Crosses", "", about(CrossDeclaration), "")
    yield from (
        "```toml",
        "[crosses]",
        'amount = { of = ["amount"], code = "high_amount", report_if = ["amount >= 50"] }',
        "```",
        "",
    )
    yield from _table(CrossDeclaration)
    yield from (
        "",
        "The slots of all crosses together may be at most `model.slots_max`; a missing value",
        "counts as a range.",
    )


def _table(declaration: type[BaseModel], kind: str = "") -> Iterator[str]:
    def meaning(key: str) -> str:
        return _OF_THE_EVENT.get(kind, _MEANINGS[key]) if key == "value" else _MEANINGS[key]

    yield from key_table(declaration, meaning, _TYPES)
