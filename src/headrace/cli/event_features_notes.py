"""What the reference page says of each kind of feature over declared events, beside its parameters."""

from __future__ import annotations

from typing import Final

from headrace.cli.features_reference import MISSING, ZERO, Notes

__all__ = ["EVENT_NOTES", "EXAMPLE_FLOW"]

EXAMPLE_FLOW: Final = """[events.payment.fields]
country = { type = "text", values = ["DE", "FR", "US"] }
pieces = { type = "integer", minimum = 0 }
first_order = { type = "boolean" }
card_bin = { type = "text" }
latitude = { type = "number", minimum = -90, maximum = 90 }
longitude = { type = "number", minimum = -180, maximum = 180 }

[events.ticket.fields]
client_id = { type = "id", required = true }
subject = { type = "text" }
urgency = { type = "integer" }

[events.scan.fields]
courier_id = { type = "id" }
latitude = { type = "number", minimum = -90, maximum = 90 }
longitude = { type = "number", minimum = -180, maximum = 180 }

[entities.customer]
key = { payment = "customer_id", ticket = "client_id" }

[entities.merchant]
key = "merchant_id"

[entities.pair]
key = ["customer_id", "merchant_id"]

[entities.courier]
key = "courier_id"

[tables.banks]
file = "banks.tsv"

[decisions.fraud]
kind = "score"
on = "payment"
target = { on = "outcome", join = { about = "event_id" }, value = "label", within = "30d" }
"""
"""Events, entities and a decision that the examples are over."""

EVENT_NOTES: Final = {
    "field": Notes(
        'amount = { kind = "field", value = "amount" }',
        "the event's own",
        more="A boolean is 1 or 0, a time is milliseconds since 1970. A number that is only compared or"
        " taken in"
        " needs no feature: `value` and `when` may name the field.",
    ),
    "calendar": Notes(
        'hour = { kind = "calendar", value = "hour_of_day", zone = "Europe/Berlin" }',
        "the event's own",
        more="`hour_of_day` is 0 to 23, `day_of_week` 0 for Monday to 6, `day_of_month` 1 to 31,"
        " `month_of_year` 1 to"
        " 12. The zone's changes are those that the machine's tables know (package `tzdata` of the system).",
    ),
    "ratio": Notes(
        'usual = { kind = "mean", entity = "customer", on = "payment", value = "amount" }\n'
        'against_usual = { kind = "ratio", value = "amount", over = "usual" }',
        MISSING,
        more="Missing if one of the two is missing, or the divisor isn't above 1e-280.",
    ),
    "category": Notes(
        'country = { kind = "category", value = "country" }',
        "the event's own",
        more="The value of the feature is the category's number, from 0 on. Where neither `values` nor"
        " the field"
        " says which there are, a digest of the value gives one of `buckets` (CRC-32, the same on every"
        " machine).",
    ),
    "ngrams": Notes(
        'words = { kind = "ngrams", value = "subject", buckets = 4096, slots_max = 16 }',
        "the event's own",
        more="Each run of `n` words, or characters, is hashed to one of `buckets` (Weinberger et al."
        " 2009); capitals"
        " count as small letters. The first `slots_max` different ones become active slots of one table"
        " of weights;"
        " places that are left hold a slot of their own. The value of the feature is how many there are.",
    ),
    "lookup": Notes(
        'bank = { kind = "lookup", table = "banks", value = "card_bin", buckets = 64 }',
        MISSING,
        more="`[tables.banks]` names the file: one entry a line, a key, a tab and a value. With `holds ="
        ' "number"`'
        " the value is a number, else a category as of the kind `category`. A key that the table doesn't have"
        " is missing. What the file says later comes into force by a command, as with a list.",
    ),
    "distance": Notes(
        'moved_km = { kind = "distance", at = ["latitude", "longitude"], entity = "courier", on = "scan" }',
        MISSING,
        more="By the haversine formula, on a sphere of 6,371 km. With `to` the other place is of the same"
        " event.",
    ),
    "count": Notes(
        'payments_1d = { kind = "count", entity = "customer", on = "payment", window = "1d", panes = 24 }',
        ZERO,
        ZERO,
    ),
    "sum": Notes(
        'spent = { kind = "sum", entity = "pair", on = "payment", value = "amount", window = "90d" }',
        ZERO,
        ZERO,
        "Events whose `value` is missing add nothing.",
    ),
    "mean": Notes(
        'mean_7d = { kind = "mean", entity = "customer", on = "payment", value = "amount", window = "7d" }',
        MISSING,
        MISSING,
        "Events whose `value` is missing are left out.",
    ),
    "max": Notes(
        'highest = { kind = "max", entity = "customer", on = "payment", value = "amount", window = "14d" }',
        MISSING,
        MISSING,
        "Kept in single precision: about seven digits.",
    ),
    "rate": Notes(
        'first_orders = { kind = "rate", entity = "merchant", on = "payment", value = "first_order",'
        ' prior = 0.1, prior_weight = 20.0, window = "30d" }',
        "the prior",
        "the prior",
        "The posterior mean of a Beta distribution: what came, and `prior` as if it had come"
        " `prior_weight` times."
        " Values below 0 count as 0, those above 1 as 1.",
    ),
    "distinct": Notes(
        'shops_1d = { kind = "distinct", entity = "customer", on = "payment", value = "merchant_id",'
        ' window = "1d" }',
        ZERO,
        ZERO,
        "The window is exact. Beyond `keys_max` the value not seen for longest is forgotten. Events"
        " without the"
        " field are left out.",
    ),
    "ew_mean": Notes(
        'lately = { kind = "ew_mean", entity = "customer", on = "payment", value = "amount", half_life ='
        ' "7d" }',
        MISSING,
        more="A value's weight halves with each `half_life`. Without events the mean stays as it is.",
    ),
    "ew_deviation": Notes(
        'spread = { kind = "ew_deviation", entity = "customer", on = "payment", value = "amount",'
        ' half_life = "7d" }',
        MISSING,
        more="Weighted as `ew_mean`; 0 after a single event.",
    ),
    "time_since_last": Notes(
        'idle_hours = { kind = "time_since_last", entity = "customer", on = "ticket", unit = "hours",'
        ' window = "30d" }',
        MISSING,
        MISSING,
    ),
    "time_since_first": Notes(
        'known_days = { kind = "time_since_first", entity = "customer", on = "payment", window = "30d" }',
        MISSING,
        MISSING,
        "With a window, the first is forgotten once it is older; the next that comes then is the first.",
    ),
    "running_mean": Notes(
        'usual = { kind = "running_mean", entity = "customer", on = "payment", value = "amount", clip ='
        " 2.5 }",
        "the mean over all entities, missing before the first event of all",
        more="An entity's mean starts from the mean over all, which weighs as much as one event. A mean"
        " of 0 starts"
        " anew.",
    ),
    "quantile": Notes(
        'p90 = { kind = "quantile", entity = "merchant", on = "payment", value = "amount", q = 0.9 }',
        MISSING,
        more="The P² algorithm (Jain and Chlamtac 1985): five markers, whatever the number of events; of"
        " up to four"
        " values it is exact.",
    ),
    "last": Notes(
        'country = { kind = "category", value = "country" }\n'
        'last_country = { kind = "last", entity = "customer", on = "payment", value = "country", window ='
        ' "90d" }',
        MISSING,
        MISSING,
        "The last is that of the latest time. Of a category it is a category too: a cross of both tells a"
        " change.",
    ),
    "lag": Notes(
        'before_last = { kind = "lag", entity = "customer", on = "payment", value = "amount", n = 2,'
        ' window = "30d" }',
        MISSING,
        MISSING,
        "Values count in the order in which they came.",
    ),
    "trend": Notes(
        'rising = { kind = "trend", entity = "customer", on = "payment", value = "amount", values = 8,'
        ' unit = "days", window = "30d" }',
        MISSING,
        MISSING,
        "By least squares over up to `values` of the last ones. Missing unless two of them are of"
        " different times.",
    ),
    "positive_share": Notes(
        'share_37d = { kind = "positive_share", entity = "merchant", decision = "fraud", window = "37d",'
        " panes = 37 }",
        MISSING,
        MISSING,
        "With a `prior` it is never missing. An event counts at its own time, once the target has told of it."
        " Positives that don't meet `when` are left out, negatives never. A correction takes the first back.",
    ),
    "positive_streak": Notes(
        'streak = { kind = "positive_streak", entity = "merchant", decision = "fraud" }',
        ZERO,
        more="In the order in which targets tell. Positives that don't meet `when` are left out,"
        " negatives never. A"
        " correction is made among the last 16 that were told of the entity.",
    ),
    "first_positive_age": Notes(
        'positive_days = { kind = "first_positive_age", entity = "merchant", decision = "fraud", window ='
        ' "37d" }',
        MISSING,
        MISSING,
        "Counted from the time of the event. Missing while `positive_streak` under the same `when` is 0.",
    ),
    "last_negative_age": Notes(
        'negative_days = { kind = "last_negative_age", entity = "merchant", decision = "fraud", window ='
        ' "37d" }',
        MISSING,
        MISSING,
        "Counted from the time of the event.",
    ),
}
