"""A declared decision for tests of its policy, on an event type with a field of each type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct, msgpack

from headrace.config.decision_policy import DecisionPolicySettings, PolicyScope
from headrace.operators.policy import DecisionPolicy, ReloadList, Verdict, list_content

DAY = 86_400_000
NOON = 18_000 * DAY + DAY // 2
ACTIONS = ("approve", "step_up", "review", "block")
LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Given:
    type: str
    required: bool = False
    default: Any = None


FIELDS = {
    "event_id": Given("id", required=True),
    "event_time": Given("time", required=True),
    "customer_id": Given("id", required=True),
    "order_id": Given("id"),
    "country": Given("text"),
    "channel": Given("text", default="web"),
    "amount": Given("number", required=True),
    "weight": Given("number"),
    "pieces": Given("integer"),
    "floor": Given("integer", default=0),
    "due": Given("time"),
    "gift": Given("boolean"),
    "known": Given("boolean", required=True),
    "item_ids": Given("ids"),
}


class Asked(Struct, frozen=True, kw_only=True):
    event_id: str = "e"
    event_time: int = NOON
    customer_id: str = "c"
    order_id: str | None = None
    country: str | None = None
    channel: str = "web"
    amount: float = 10.0
    weight: float | None = None
    pieces: int | None = None
    floor: int = 0
    due: int | None = None
    gift: bool | None = None
    known: bool = False
    item_ids: tuple[str, ...] | None = None


SCORE = PolicyScope("score", ACTIONS, ("orders", "age"), FIELDS)
CREDIT = PolicyScope("score", ("grant", "review", "refuse"), ("orders", "age"), FIELDS)
ESTIMATE = PolicyScope("estimate", ("promise", "hold"), ("orders", "age"), FIELDS, LEVELS)


def made(scope: PolicyScope = SCORE, **policy: Any) -> DecisionPolicy:
    """A policy called `d`, each of whose lists has `x` on it."""
    made = DecisionPolicy("d", DecisionPolicySettings.model_validate(policy), scope)
    for name, each in made.settings.lists.items():
        entry = "\t".join("x" for _ in each.key)
        made.command(ReloadList(f"d.{name}", *list_content([entry])))
    return made


def ask(
    policy: DecisionPolicy,
    said: Any = 0.0,
    *,
    at: int = NOON,
    values: tuple[float, ...] = (0.0, 0.0),
    overdue: bool = False,
    commit: bool = False,
    last: Any = "none",
    **fields: Any,
) -> Verdict:
    """Decide on an event; nothing changes by that unless it is committed."""
    event = Asked(event_time=max(at, 0), **fields)
    before = policy.save()
    more = () if last == "none" else (last,)
    verdict = policy.decide(event, values, said, at, overdue, *more)
    assert policy.save() == before
    if commit:
        policy.commit(verdict, at)
    return verdict


def said(verdict: Verdict) -> Any:
    """What a verdict's trace tells."""
    return msgpack.decode(verdict.trace) if verdict.trace else {}
