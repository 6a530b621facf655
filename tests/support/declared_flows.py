"""A flow of decisions that tests use: parcels, with a score and an estimate on the same event."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from headrace.config.decision_flow import DecisionFlowSettings

__all__ = ["HOUR", "PARCELS", "T0", "line_of", "parcel_lines", "parcels"]

T0: Final = 1_772_357_400_000
HOUR: Final = 3_600_000
PARCELS: Final = """
[flow]
kind = "decisions"

[events.parcel.fields]
parcel_id = { type = "id", required = true }
customer_id = { type = "id", required = true }
depot = { type = "text", values = ["north", "south", "west"] }
weight = { type = "number", minimum = 0, maximum = 100 }

[events.scan.fields]
parcel_id = { type = "id", required = true }
status = { type = "text", required = true }

[events.claim.fields]
about = { type = "id", required = true }
lost = { type = "boolean", required = true }

[entities.customer]
key = "customer_id"

[features]
weight = { kind = "field", value = "weight" }
depot = { kind = "category", value = "depot" }
parcels = { kind = "count", entity = "customer", on = "parcel" }
lost_share = { kind = "positive_share", decision = "risk", entity = "customer", window = "40d" }

[bins]
weight = { of = "weight", edges = [1, 5, 20] }
parcels = { of = "parcels", edges = [1, 3, 10] }
lost_share = { of = "lost_share", edges = [0.01, 0.3] }

[crosses]
depot = { of = ["depot"], code = "depot" }
weight = { of = ["weight"], code = "weight" }
history = { of = ["parcels", "lost_share"], code = "history" }

[decisions.risk]
kind = "score"
on = "parcel"
actions = ["send", "insure", "refuse"]
censors = ["refuse"]
crosses = ["depot", "history"]
target = { on = "claim", join = { about = "event_id" }, value = "lost", within = "10d", otherwise = 0 }

[decisions.risk.model]
name = "logistic_adagrad"
parameters = { base_rate = 0.1, lr = 0.3 }

[decisions.risk.policy]
thresholds = { insure = 0.3, refuse = 0.9 }

[decisions.risk.reasons.texts]
depot = "Parcels of this depot get lost more often."
history = "The customer's parcels got lost before."
weight = "The parcel's weight."

[decisions.eta]
kind = "estimate"
on = "parcel"
unit = "hours"
crosses = ["depot", "weight"]
model = { name = "log_location_scale" }
policy = { promise = 0.9 }

[decisions.eta.target]
on = "scan"
when = "status == 'delivered'"
join = { parcel_id = "parcel_id" }
value = "elapsed"
within = "30d"
"""


def parcels(folder: Path, *overrides: str, more: str = "") -> Any:
    """Settings of the flow, from a file in a folder."""
    read = tomllib.loads(PARCELS + more)
    overrides = ("time.quorum_min=1", "time.quorum_alone_events=1", *overrides)
    for override in overrides:
        key, _, value = override.partition("=")
        *tables, name = key.split(".")
        at = read
        for table in tables:
            at = at.setdefault(table, {})
        try:
            at[name] = tomllib.loads(f"x = {value}")["x"]
        except ValueError:
            at[name] = value
    return DecisionFlowSettings.model_validate(read)


def line_of(kind: str, number: int | str, time_ms: int, **fields: Any) -> bytes:
    """One event as it comes in."""
    return orjson.dumps({"type": kind, "event_id": f"{kind}-{number}", "event_time": time_ms, **fields})


def parcel_lines(count: int, seed: int = 1, *, step_ms: int = HOUR // 4) -> Iterator[bytes]:
    """Events in the order of their times: parcels, their scans, and claims of those that got lost."""
    rng, due = Random(seed), list[tuple[int, int, bytes]]()
    for number in range(count):
        now = T0 + number * step_ms
        depot = rng.choice(["north", "south", "west"])
        slow = {"north": 20.0, "south": 40.0, "west": 80.0}[depot]
        event_id, parcel_id = f"parcel-{number}", f"b{number}"
        due.append((now, 3 * number, line_of(
            "parcel", number, now, parcel_id=parcel_id, customer_id=f"c{rng.randrange(40)}", depot=depot,
            weight=round(rng.uniform(0, 30), 2),
        )))  # fmt: skip
        lost = rng.random() < (0.4 if depot == "west" else 0.05)
        arrives = now + round(slow * rng.lognormvariate(0, 0.3) * HOUR)
        scan = line_of("scan", number, arrives, parcel_id=parcel_id, status="lost" if lost else "delivered")
        due.append((arrives, 3 * number + 1, scan))
        if lost:
            claim = line_of("claim", number, arrives + 1000, about=event_id, lost=True)
            due.append((arrives + 1000, 3 * number + 2, claim))
    for _, _, line in sorted(due):
        yield line
