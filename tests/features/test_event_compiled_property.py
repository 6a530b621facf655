"""Functions over event types: compiled and plain ones give the same, of random declarations too."""

from __future__ import annotations

import gc
import math
import struct
import weakref
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Annotated, Any

import event_worlds as world
import pytest
from event_worlds import DAY, HOUR, START
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from headrace.config.event_entities import EventCross, EventEntity
from headrace.config.event_feature_errors import event_feature_errors
from headrace.config.event_features import EVENT_KINDS, EventFeature
from headrace.config.events import EventSettings
from headrace.config.fraud_flow import BinDeclaration
from headrace.operators.compiled.generated import CELLS
from headrace.operators.compiled.kernels import compiles
from headrace.operators.events.declared import contract_of
from headrace.operators.features import EventFeatures, take_compiled
from headrace.operators.features.event_compiled import CompiledEvents, CompiledUnit, units_of
from headrace.operators.features.event_features import Asked

pytestmark = pytest.mark.property

_FEATURE: TypeAdapter[Any] = TypeAdapter(Annotated[EventFeature, Field(discriminator="kind")])
NUMBERS = {"n": "number", "i": "integer", "b": "boolean", "from": "number"}
TEXTS = {"k": "id", "l": "id", "x": "text", "m": "integer"}


def in_python(features: EventFeatures) -> CompiledEvents:
    """The source that is meant for machine code, run by Python over the same memory."""
    made = []
    for unit in units_of(features):
        names: dict[str, Any] = {**unit.helpers(), "inf": math.inf, "nan": math.nan, "sqrt": math.sqrt}
        names |= {name: lambda cells: cells for name in CELLS.values()}
        exec(unit.source, names)
        each = CompiledUnit(unit, {name: names[name] for name in unit.signatures}, features.lines.names)
        # In the place of addresses stand the arrays themselves.
        names["longs"] = lambda at, arrays=each.arrays: arrays if isinstance(at, int) else at
        made.append(each)
    return CompiledEvents(features, made)


def bits(values: Any) -> list[bytes]:
    return [b"nan" if value != value else struct.pack("<d", value) for value in values]


def history(features: EventFeatures, twin: Any, events: list[Any], *, loaded: bool) -> tuple[Any, Any]:
    """What is read of events that move features on and are told of later; and the state at the end."""
    read = {**features.read, **(twin.read if twin else {})}
    update = {**features.update, **(twin.update if twin else {})}
    label = {**features.label_of, **(twin.label_of if twin else {})}
    found: list[Any] = []
    waiting: list[Any] = []
    for number, (of, taken) in enumerate(events, start=1):
        at = taken.event_time
        values, slots, flags, rows = read[of](taken, at)
        found.append((bits(values), tuple(slots), flags, rows))
        if of in update:
            rows = update[of](taken, at, values, number, rows)
        for decision, asked in features.decisions.items():
            if asked.on == of and decision in label:
                waiting.append((decision, rows, number, flags, at, number % 3 == 0))
        # Late enough for rows that were given to somebody else meanwhile.
        if number % 2 == 0 and (len(waiting) > 60 or len(waiting) > len(events) // 4):
            decision, rows, of_number, flags, at, told = waiting.pop(0)
            label[decision](rows, of_number, flags, at, int(told))
            if number % 8 == 0:
                features.relabel_of[decision](rows, of_number, flags, at, int(told), int(not told))
        if number % 16 == 0:
            features.sweep(at, 4)
        if loaded and number == len(events) // 2:
            saved = {name: bytes(blob) for name, blob in features.save().items()}
            for table in features.tables.values():  # whatever it was, it is overwritten
                for key in list(table.index):
                    table.forget(key)
            features.load(saved)
    return found, {name: bytes(blob) for name, blob in features.save().items()}


# -- random declarations


class Draws:
    """Draws declarations without errors over some types, and events of these, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.types: dict[str, dict[str, Any]] = {
            name: {
                field: {"type": {**NUMBERS, **TEXTS}[field], "required": random.random() < 0.4}
                for field in random.sample([*NUMBERS, *TEXTS], random.randint(4, 8))
            }
            for name in ("one", "two", "three")[: random.randint(1, 3)]
        }
        self.contract = contract_of(
            {name: EventSettings.model_validate({"fields": each}) for name, each in self.types.items()}
        )
        self.fields = {name: self.contract.types[name].fields for name in self.types}
        self.decisions = {"first": "one", "second": random.choice([*self.types])}
        self.declared = SimpleNamespace(entities={}, features={}, bins={}, crosses={})
        for number in range(20):
            self.keep("entities", f"entity{number % 4}", EventEntity.model_validate(self.entity()))
        for number in range(150):
            if len(self.declared.features) < 20:
                self.keep("features", f"f{number}", _FEATURE.validate_python(self.feature()))
        for number, name in enumerate(self.declared.features):
            edges = random.choice([(1.0,), (0.0, 1.0, 2.5), (0.0, 1.0)])
            self.keep("bins", f"b{number}", BinDeclaration(of=name, edges=edges))
        parts = [*self.declared.bins, *self.declared.features]
        for number in range(8 if parts else 0):
            of = tuple(random.sample(parts, min(len(parts), random.randint(1, 3))))
            self.keep("crosses", f"c{number}", EventCross(of=of))

    def keep(self, section: str, name: str, each: Any) -> None:
        """Add a declaration, unless something is wrong with it then."""
        declared = getattr(self.declared, section)
        before = dict(declared)
        declared[name] = each
        if list(event_feature_errors(self.declared, self.fields, self.decisions)):
            declared.clear()
            declared.update(before)

    def entity(self) -> dict[str, Any]:
        key = self.random.choice(["k", "l", "x", "m", ["k", "l"], ["x", "m"], {"one": "k", "two": "l"}])
        return {"key": key, "entities_max": self.random.choice([1, 3, 1000]), "idle_days_max": 40.0}

    def feature(self) -> dict[str, Any]:
        random, features = self.random, [*self.declared.features]
        kind = random.choice([*EVENT_KINDS])
        number = lambda: random.choice([*NUMBERS, *features])  # noqa: E731
        text = random.choice([*TEXTS, "b"])
        when = [f"{number()} {random.choice(['<', '>=', '!='])} {random.randint(0, 3)}"]
        entity = random.choice([*self.declared.entities, "none"])
        fed = {"entity": entity, "on": random.choice([*self.types]), "when": random.choice([[], [], when])}
        told = {"entity": entity, "decision": random.choice(["first", "second"])}
        window = random.choice([{}, {"window": "1h"}, {"window": "2d"}])
        valued, panes = {**fed, "value": number()}, random.choice([{}, {"panes": 2}])
        tables: dict[str, dict[str, Any]] = {
            "field": {"value": number()},
            "calendar": {
                "value": random.choice(["hour_of_day", "day_of_week", "day_of_month", "month_of_year"]),
                "zone": random.choice(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
            },
            "ratio": {"value": number(), "over": number()},
            "category": {"value": text, "buckets": random.choice([2, 5])},
            "ngrams": {"value": text, "slots_max": random.randint(1, 3), "n": random.randint(1, 2)},
            "lookup": {"value": text, "table": "t"},
            "distance": {"at": [number(), number()]}
            | random.choice([{"to": [number(), number()]}, {"entity": entity, "on": fed["on"]}]),
            "count": fed | window | panes,
            "distinct": fed | window | {"value": text, "keys_max": random.randint(1, 3)},
            "ew_mean": valued | {"half_life": "1h"},
            "ew_deviation": valued | {"half_life": "1d"},
            "time_since_last": fed | window | {"unit": "hours"},
            "time_since_first": fed | window,
            "running_mean": valued | {"clip": random.choice([None, 2.0])},
            "quantile": valued | {"q": random.choice([0.5, 0.9])},
            "last": valued | window,
            "lag": valued | window | {"n": random.randint(1, 3)},
            "trend": valued | window | {"values": random.randint(2, 4)},
            "positive_share": told | {"window": "1d"} | random.choice([{}, {"prior": 0.1}, {"when": when}]),
            "positive_streak": told | random.choice([{}, {"when": when}]),
            "first_positive_age": told | window | random.choice([{}, {"when": when}]),
            "last_negative_age": told | window,
        }
        return {"kind": kind, **tables.get(kind, valued | window | panes)}

    def events(self, count: int) -> Iterator[tuple[str, Any]]:
        """Events, most of them later than the one before."""
        random, now = self.random, START
        for number in range(count):
            now += random.choice([0, 1000, HOUR // 3, DAY // 5])
            name = random.choice([*self.types])
            made = {
                field: self.value(each["type"])
                for field, each in self.types[name].items()
                if each["required"] or random.random() < 0.8
            }
            at = now - random.choice([0, 0, 0, DAY])
            yield name, self.contract.types[name].cls(event_id=f"e{number}", event_time=at, **made)

    def value(self, of: str) -> Any:
        random = self.random
        if of == "number":
            return random.choice([random.randint(-9, 40) / 4, random.random() * 9, 1e15, -1e15, 1e-9, 0.0])
        values = {"integer": range(-3, 6), "boolean": (True, False), "id": "abcd", "text": ("", "a", "b c")}
        return random.choice([*values[of]])

    def features(self) -> EventFeatures:
        """A new feature set of these declarations."""
        declared = self.declared
        asked = {name: Asked(on) for name, on in self.decisions.items()}
        parts = (declared.entities, declared.features, declared.bins, declared.crosses)
        return EventFeatures(self.fields, *parts, asked)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_the_source_for_machine_code_gives_the_same(seed: int) -> None:
    draws = Draws(seed)
    plain = draws.features()
    events = [each for each in draws.events(120) if each[0] in plain.read]
    expected = history(plain, None, events, loaded=False)
    for loaded in (False, True):
        other = draws.features()
        assert history(other, in_python(other), events, loaded=loaded) == expected
    again = draws.features()
    again.load(expected[1])
    assert {name: bytes(blob) for name, blob in again.save().items()} == expected[1]


def test_functions_alone_keep_the_memory_whose_addresses_machine_code_has() -> None:
    """Also where a flow has no entities, whose tables would keep it."""
    declared = EventSettings.model_validate({"fields": {"n": {"type": "number"}}})
    types = contract_of({"one": declared}).types["one"].fields
    feature = _FEATURE.validate_python({"kind": "field", "value": "n"})
    cross = EventCross.model_validate({"of": ["n"]})
    bins = {"n": BinDeclaration.model_validate({"of": "n", "edges": [1.0, 2.0]})}
    features = EventFeatures({"one": types}, {}, {"n": feature}, bins, {"n": cross}, {"first": Asked("one")})
    made = in_python(features)
    read = made.read["one"]
    memory = [weakref.ref(each) for unit in made._units for each in (unit._addresses, *unit.arrays)]
    del made
    gc.collect()
    assert memory
    assert all(each() is not None for each in memory)
    assert read is not None


LEFT_OUT = ["note", "spelling", "card_bin", "bank", "risk", "senders", "payers", "far_km", "scans"]
"""Python does them in both; without them there is less to compile."""


@pytest.mark.slow
@pytest.mark.skipif(not compiles(), reason="needs Numba")
def test_machine_code_gives_the_same() -> None:
    """Every kind of feature in machine code, over enough events for tables that grow and evict."""
    changed: dict[str, Any] = {
        "entities": {"customer": {**world.ENTITIES["customer"], "entities_max": 100}},
        "features": dict.fromkeys(LEFT_OUT),
        "crosses": dict.fromkeys(["words", "bank", "bin"]),
    }
    decisions = {name: asked for name, asked in world.DECISIONS.items() if name != "lost"}
    events: list[tuple[str, Any]] = []
    now = START
    for number in range(6000):
        now += number * 7919 % (2 * HOUR)
        of = ("payment", "payment", "ticket", "scan")[number * 31 % 97 % 4]
        who = f"c{number * 17 % 211}"
        fields: dict[str, Any] = {"event_time": now - (number % 11 == 0) * 3 * HOUR}
        if of == "payment":
            fields |= {"customer_id": who, "merchant_id": f"m{number % 7}", "amount": number * 37 % 9973 / 97}
            fields |= {"pieces": number % 5 or None, "country": ("DE", "FR", None)[number % 3]}
            fields |= {"vip": (True, False, None)[number % 3], "lat": number % 90.0, "lon": number % 180.0}
        elif of == "ticket":
            fields |= {"client_id": who, "urgency": number % 5, "vip": number % 2 == 0}
        else:
            fields |= {"customer_id": who, "lat": number % 80.0}
        events.append((of, world.event(of, **fields)))
    plain, other = (world.features(decisions, **changed) for _ in range(2))
    assert take_compiled(other)
    assert other.read["payment"] != plain.read["payment"]
    assert history(other, None, events, loaded=True) == history(plain, None, events, loaded=False)
    assert other.tables["customer"].evicted_by_limit > 100
