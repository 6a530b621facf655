"""Policy: what a decision costs, from plain thresholds to everything at once.

Each kind decides and commits the same payments in one thread; medians of several rounds are printed, by CPU
time. Full is ten lists of ten thousand entries, ten rules, expected cost and a review capacity. What decided
how often is printed beside; payments that nothing applies to have looked at every list and every rule.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from typing import Any, Final, NamedTuple

from _conditions import conditions, fraud_settings

from headrace.config.flow_kinds import shipped
from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Payment
from headrace.operators.policy import Policy, ReloadList, Verdict, act, list_content

_LISTS: Final = 10
_ENTRIES: Final = 10_000
_RULES: Final = 10
_PAYMENTS: Final = 20_000
_PART: Final = 200
_DAY_MS: Final = 86_400_000
_START_MS: Final = 1_600_000_000_000
_FULL_US_MAX: Final = 6.0  # three times what is wanted: it finds an accident, not a busy machine
_KEYS: Final = ("customer_id", "merchant_id", "device_id", "ip")
_CONDITIONS: Final = (
    "amount > 900 and customer_payments < 3 and merchant_id != 'm-1'",
    "amount_ratio > 40 or first_high_age < 0.001 and amount > 700",
    "missing(device_id) and amount > 950",
    "hour_of_day in (2, 3) and amount > 990 and not missing(fraud_share_37d)",
    "fraud_share_37d > 0.97 and fraud_streak >= 3",
    "currency not in ('EUR', 'USD')",
    "amount / customer_mean > 60 and highest_14d < 2",
    "ip in ('10.0.0.1', '10.0.0.2', '10.0.0.3') and amount > 100",
    "300 <= amount < 301 and day_of_week == 6",
    "amount - customer_mean > 985 and (very_high_14d > 2 or customer_payments == 0)",
)


class Input(NamedTuple):
    """What a policy is asked about."""

    payment: Payment
    values: tuple[float, ...]
    score: float
    time_ms: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the whole policy costs too much and that was asked for."""
    options = _parser().parse_args(arguments)
    print(conditions())
    settings = fraud_settings(shipped("fraud"))
    inputs = _inputs(settings, options.payments)
    print(f"{len(inputs):,} payments, median of {options.rounds} rounds, CPU us a payment")
    print(f"{'':<42} {'decide':>7} {'and commit':>11}")
    thresholds = settings.policy
    _print(
        "thresholds as a function", _round(lambda each: act(thresholds, each.score), inputs, options.rounds)
    )
    full = 0.0
    for name, policy in _policies(settings).items():
        full = _measure(name, policy, inputs, options.rounds)
    if options.check and full > _FULL_US_MAX:
        print(f"everything together takes more than {_FULL_US_MAX} us", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--payments", type=int, default=_PAYMENTS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--check", action="store_true", help=f"end with 1 if everything takes over {_FULL_US_MAX} us"
    )
    return parser


# -- what is asked


def _inputs(settings: FraudSettings, count: int) -> list[Input]:
    random = Random(1)
    return [_input(settings, random, number) for number in range(count)]


def _input(settings: FraudSettings, random: Random, number: int) -> Input:
    amount = round(random.expovariate(1 / 60), 2)
    listed = random.random() < 0.02
    payment = Payment(
        event_id=f"p-{number}",
        event_time=_START_MS + _DAY_MS * number // 2000,
        customer_id=f"c-{random.randrange(_ENTRIES)}" if listed else f"k-{random.randrange(100_000)}",
        merchant_id=f"s-{random.randrange(10_000)}",
        amount=amount,
        currency="GBP" if random.random() < 0.05 else "EUR",
        device_id=f"v-{random.randrange(100_000)}" if random.random() < 0.8 else None,
        ip=f"10.9.{random.randrange(250)}.{random.randrange(250)}",
    )
    values = tuple(_value(name, amount, random) for name in settings.features)
    return Input(payment, values, random.betavariate(0.2, 6), payment.event_time)


def _value(name: str, amount: float, random: Random) -> float:
    if name == "amount":
        return amount
    scale = {"customer_mean": 60.0, "customer_payments": 20.0}.get(name, 1.0)
    return float("nan") if random.random() < 0.3 else scale * random.gammavariate(4.0, 0.25)


# -- the policies


def _policies(settings: FraudSettings) -> dict[str, Policy]:
    """Each kind's policy; the last one has everything."""
    rules = {f"r{number}": _acting(when=when) for number, when in enumerate(_CONDITIONS[:_RULES])}
    lists = {
        f"l{number}": _acting(file="entries.txt", key=_KEYS[number % len(_KEYS)]) for number in range(_LISTS)
    }
    capacity: dict[str, Any] = {"reviews_per_day_max": 50, "otherwise": "approve"}
    return {
        "thresholds as a policy": _policy(settings),
        f"and {_LISTS} lists of {_ENTRIES:,} entries": _policy(settings, lists=lists),
        f"thresholds and {_RULES} rules": _policy(settings, rules=rules),
        "cost": _policy(settings, cost={}),
        "thresholds and capacity": _policy(settings, capacity=capacity),
        "thresholds in shadow mode": _policy(settings, shadow=True),
        "lists, rules, cost and capacity": _policy(
            settings, lists=lists, rules=rules, cost={}, capacity=capacity
        ),
    }


def _acting(**declared: str) -> dict[str, Any]:
    return {**declared, "action": "block", "code": "listed"}


def _policy(settings: FraudSettings, **declared: Any) -> Policy:
    plain = settings.model_dump(mode="json")
    plain["policy"] |= declared
    policy = Policy(FraudSettings.model_validate(plain))
    for number, (name, each) in enumerate(declared.get("lists", {}).items()):
        content = list_content(f"{each['key'][0]}-{number * _ENTRIES + at}" for at in range(_ENTRIES))
        policy.command(ReloadList(name, content.entries, content.digest))
    return policy


# -- measuring


def _measure(name: str, policy: Policy, inputs: Sequence[Input], rounds: int) -> float:
    def decide(each: Input) -> Verdict:
        payment, values, score, time_ms = each
        return policy.decide(payment, values, score, time_ms, False)

    def both(each: Input) -> None:
        payment, values, score, time_ms = each
        policy.commit(policy.decide(payment, values, score, time_ms, False), time_ms)

    alone, together = _round(decide, inputs, rounds), _round(both, inputs, rounds)
    paths = ", ".join(f"{path} {count // rounds:,}" for path, count in policy.paths().items())
    _print(name, alone, together, paths)
    return together


def _round(work: Callable[[Input], object], inputs: Sequence[Input], rounds: int) -> float:
    """Return the median time of a call without what the loop takes, in microseconds.

    Each few payments are looked at once before, as in a run they have just been decoded and are near.
    """
    parts = [inputs[start : start + _PART] for start in range(0, len(inputs), _PART)]
    return median(sum(_taken(work, part) for part in parts) / len(inputs) / 1000 for _ in range(rounds))


def _taken(work: Callable[[Input], object], part: Sequence[Input]) -> int:
    for each in part:
        _nothing(each)
    return _timed(work, part) - _timed(_nothing, part)


def _nothing(each: Input) -> None:
    _payment, _values, _score, _time_ms = each


def _timed(work: Callable[[Input], object], part: Sequence[Input]) -> int:
    began = time.thread_time_ns()
    for each in part:
        work(each)
    return time.thread_time_ns() - began


def _print(name: str, decide: float, both: float | None = None, paths: str = "") -> None:
    committed = "" if both is None else f"{both:.2f}"
    print(f"{name:<42} {decide:>7.2f} {committed:>11}  {paths}".rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
