"""Declared decisions: what an event costs in a flow of many types, features and decisions.

Twelve own event types with ten own fields each, forty features over three kinds of entity (one of them a
pair), and five decisions on three of the types, with targets that come later. Events are decided in one
thread, without a journal; medians of several rounds are printed, by CPU time, and the same for a flow with
fewer decisions, which tells what one more costs.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from random import Random
from statistics import median
from typing import Any, Final

import orjson
from _conditions import conditions

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.kinds.decisions.machine import DecisionShard

TYPES: Final = 12
FIELDS: Final = 10
FEATURES: Final = 40
DECISIONS: Final = 5
_EVENTS: Final = 60_000
_BATCH: Final = 500
_START_MS: Final = 1_772_357_400_000
_PER_SECOND_MIN: Final = 5_000  # a third of what is wanted: it finds an accident, not a busy machine
_ASKING: Final = 3
_KINDS: Final = ("count", "sum", "mean", "max", "ew_mean", "time_since_last", "distinct", "last")


def flow_of(decisions: int = DECISIONS) -> dict[str, Any]:
    """Return the flow as it would be read from its file."""
    lines = ['[flow]\nkind = "decisions"']
    for number in range(TYPES):
        lines.append(f"[events.kind_{number}.fields]")
        lines += [
            'customer_id = { type = "id", required = true }',
            'item_id = { type = "id", required = true }',
            'about = { type = "id" }',
            'answer = { type = "integer", minimum = 0, maximum = 1 }',
            'place = { type = "text", values = ["a", "b", "c", "d"] }',
            'channel = { type = "text", path = "device.channel", maximum = 20 }',
            *(f'number_{at} = {{ type = "number" }}' for at in range(FIELDS - 6)),
        ]
    lines.append('[entities.customer]\nkey = "customer_id"')
    lines.append('[entities.item]\nkey = "item_id"')
    lines.append('[entities.pair]\nkey = ["customer_id", "item_id"]')
    lines.append("[features]")
    lines += [
        'number = { kind = "field", value = "number_0" }',
        'place = { kind = "category", value = "place" }',
        'hour = { kind = "calendar", value = "hour_of_day" }',
        *(_feature(number) for number in range(FEATURES - 3)),
    ]
    lines.append("[bins]")
    lines += [
        f'bin_{number} = {{ of = "f_{number}", edges = [0.1, 1, 5, 20] }}' for number in range(0, 36, 3)
    ]
    lines.append('hour = { of = "hour", edges = [6, 9, 12, 15, 18, 21] }')
    lines.append("[crosses]")
    lines += [
        'place = { of = ["place", "hour"] }',
        *(f'cross_{number} = {{ of = ["bin_{number}", "bin_{number + 3}"] }}' for number in range(0, 30, 6)),
    ]
    for number in range(decisions):
        kind = "estimate" if number % 3 == 2 else "score"
        model = "location_scale" if kind == "estimate" else "logistic_adagrad"
        value = "number_1" if kind == "estimate" else "answer"
        lines.append(
            f'[decisions.decision_{number}]\nkind = "{kind}"\non = "kind_{number % _ASKING}"\n'
            f'model = {{ name = "{model}" }}\n'
            f'target = {{ on = "kind_{_ASKING + number}", join = {{ about = "event_id" }}, value = "{value}",'
            ' within = "10d" }'
        )
    return tomllib.loads("\n".join(lines))


def _feature(number: int) -> str:
    kind, entity = _KINDS[number % len(_KINDS)], ("customer", "item", "pair")[number % 3]
    rest = {
        "count": 'window = "7d"',
        "sum": 'value = "number_0", window = "7d"',
        "mean": 'value = "number_1", window = "1d"',
        "max": 'value = "number_2", window = "30d"',
        "ew_mean": 'value = "number_3", half_life = "1d"',
        "time_since_last": 'unit = "hours"',
        "distinct": 'value = "place", window = "1d"',
        "last": 'value = "number_0"',
    }[kind]
    return f'f_{number} = {{ kind = "{kind}", entity = "{entity}", on = "kind_{number % TYPES}", {rest} }}'


def events(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield events a second apart, in equal parts of each type; later ones tell of earlier ones."""
    rng = Random(seed)
    for number in range(count):
        kind = number % TYPES
        yield orjson.dumps(
            {
                "type": f"kind_{kind}",
                "event_id": f"e-{number}",
                "event_time": _START_MS + number * 1000,
                "customer_id": f"c{rng.randrange(2000)}",
                "item_id": f"i{rng.randrange(500)}",
                # Of the event that asked in the round before, for the decisions that this type tells of.
                "about": f"e-{number - TYPES - kind + (kind - _ASKING) % _ASKING}",
                "answer": int(rng.random() < 0.2),
                "place": rng.choice("abcd"),
                "device": {"channel": rng.choice(("web", "app"))},
                **{f"number_{at}": round(rng.random() * 10, 3) for at in range(FIELDS - 6)},
            }
        )


def measured(flow: dict[str, Any], lines: Sequence[bytes]) -> tuple[float, DecisionShard, int]:
    """Return CPU seconds of deciding all lines, the machine, and how many decisions there were."""
    machine = DecisionShard(DecisionFlowSettings.model_validate(flow))
    decided, begun = 0, time.process_time()
    for at in range(0, len(lines), _BATCH):
        part = lines[at : at + _BATCH]
        for event, line in zip(machine.contract.decode(part), part, strict=True):
            decided += machine.apply(event, line, (0, at, 1))[1].count(b"\n")
    return time.process_time() - begun, machine, decided


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if it is far slower than it should be and that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=_EVENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="end with 1 if it is far too slow")
    options = parser.parse_args(arguments)
    print(conditions(["numba"]))
    lines = list(events(options.events))
    print(f"{len(lines):,} events of {TYPES} types, {FEATURES} features, median of {options.rounds} rounds")
    slowest = 0.0
    for decisions in (1, 3, DECISIONS):
        flow = flow_of(decisions)
        rounds = [measured(flow, lines) for _ in range(options.rounds)]
        seconds, (_, machine, decided) = median(each[0] for each in rounds), rounds[0]
        told = sum(each.counts["targets_matched"] for each in machine.decisions.values())
        slowest = max(slowest, seconds)
        print(
            f"{decisions} decisions: {seconds / len(lines) * 1e6:5.1f} us CPU an event,"
            f" {len(lines) / seconds:,.0f} events/s; {decided:,} decisions made, {told:,} told of"
        )
    if options.check and len(lines) / slowest < _PER_SECOND_MIN:
        print(f"fewer than {_PER_SECOND_MIN:,} events/s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
