"""Conditions over random contracts: what is compiled says what a plain evaluator says, and does no harm."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from declared_policies import Given
from hypothesis import event, given, settings
from hypothesis import strategies as st

from headrace.config.expression import expression_errors
from headrace.config.vocabulary import Vocabulary, vocabulary_of
from headrace.operators.policy.expression import PARAMETERS, Names, source_of

pytestmark = pytest.mark.property

FEATURES = ("ratio", "count")
LEVELS = (0.1, 0.9)
TEXTS = ("a", "b", "it's", "")
NUMBERS = (0.0, 1.0, 2.0, 0.5, 1e18, 13.0)
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
EQUALITY = {"==": operator.eq, "!=": operator.ne}

some_text = st.sampled_from(TEXTS)
some_number = st.sampled_from([0.0, 0.5, 1.0, 13.0, 1e300])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": some_text,
    "text": some_text,
    "number": some_number,
    "integer": st.integers(-3, 2**53 - 1),
    "time": st.integers(0, 4_000_000_000_000),
    "boolean": st.booleans(),
    "ids": st.lists(some_text, max_size=3).map(tuple),
}
DEFAULTS = {"id": "a", "text": "b", "number": 1.0, "integer": 2, "time": 3, "boolean": True, "ids": None}


class Seen(NamedTuple):
    """What a condition is evaluated on."""

    fields: dict[str, Any]
    values: tuple[float, ...]
    said: tuple[float, ...]


Part = tuple[str, Callable[[Seen], Any]]
"""A part as it is written, and what it is; None where it is missing."""


def present(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else float(number)


def number_of(name: str) -> Part:
    if name in FEATURES:
        return name, lambda seen: present(seen.values[FEATURES.index(name)])
    return name, lambda seen: present(seen.fields[name])


def calendar_of(name: str) -> Part:
    divisor, shift, size = {"hour_of_day": (3_600_000, 0, 24), "day_of_week": (86_400_000, 3, 7)}[name]
    return name, lambda seen: float((seen.fields["event_time"] // divisor + shift) % size)


def quantile_of(level: float) -> Part:
    return f"quantile({level!r})", lambda seen: present(seen.said[LEVELS.index(level)])


def calculated(left: Part, op: str, right: Part) -> Part:
    def value(seen: Seen) -> float | None:
        one, other = left[1](seen), right[1](seen)
        if one is None or other is None or (op == "/" and other == 0):
            return None
        return present(ARITHMETIC[op](one, other))

    return f"({left[0]} {op} {right[0]})", value


def compared(left: Part, op: str, right: Part) -> Part:
    def value(seen: Seen) -> bool:
        one, other = left[1](seen), right[1](seen)
        return one is not None and other is not None and bool((ORDER | EQUALITY)[op](one, other))

    return f"({left[0]} {op} {right[0]})", value


def member(of: Part, inside: bool, members: list[Any]) -> Part:
    def value(seen: Seen) -> bool:
        found = of[1](seen)
        return found is not None and (found in members) is inside

    written = "".join(f"{each!r}, " for each in members)
    return f"({of[0]} {'in' if inside else 'not in'} ({written}))", value


def listed(of: Part, inside: bool, name: str) -> Part:
    def value(seen: Seen) -> bool:
        found, members = of[1](seen), seen.fields[name]
        return found is not None and members is not None and (found in members) is inside

    return f"({of[0]} {'in' if inside else 'not in'} {name})", value


def missing(of: Part) -> Part:
    return f"missing({of[0]})", lambda seen: of[1](seen) is None


def joined(left: Part, word: str, right: Part) -> Part:
    def value(seen: Seen) -> bool:
        one, other = left[1](seen), right[1](seen)
        return one and other if word == "and" else one or other

    return f"({left[0]} {word} {right[0]})", value


def field(name: str) -> Part:
    return name, lambda seen: seen.fields[name]


def met(name: str) -> Part:
    return name, lambda seen: seen.fields[name] is True


@st.composite
def contracts(draw: st.DrawFn) -> dict[str, Given]:
    """Fields of an event type: any names, any types, required, defaulted or absent."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8))
    fields = {"event_time": Given("time", required=True)}
    for name in names:
        kind = draw(st.sampled_from(sorted(VALUES)))
        required = draw(st.booleans())
        default = draw(st.sampled_from([None, DEFAULTS[kind]])) if not required else None
        fields[name] = Given(kind, required, default)
    return fields


def conditions(vocabulary: Vocabulary) -> st.SearchStrategy[Part]:
    """Conditions on what a contract has."""
    numbers = [
        *map(number_of, FEATURES),
        *(
            calendar_of(name) if name in vocabulary.calendar else number_of(name)
            for name in vocabulary.numbers
        ),
        *map(quantile_of, vocabulary.quantiles),
        ("promise", quantile_of(LEVELS[-1])[1]),
        *((repr(number), lambda _, number=number: number) for number in NUMBERS),
    ]
    number = st.recursive(
        st.sampled_from(numbers),
        lambda inner: (
            st.builds(calculated, inner, st.sampled_from("+-*/"), inner)
            | inner.map(lambda of: (f"(-{of[0]})", lambda seen: None if (n := of[1](seen)) is None else -n))
        ),
        max_leaves=4,
    )
    texts = [
        *map(field, vocabulary.texts),
        *((repr(text), lambda _, text=text: text) for text in TEXTS),
    ]
    text = st.sampled_from(texts)
    leaves = [
        st.builds(compared, number, st.sampled_from([*ORDER, *EQUALITY]), number),
        st.builds(compared, text, st.sampled_from([*EQUALITY]), text),
        st.builds(member, number, st.booleans(), st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3)),
        st.builds(member, text, st.booleans(), st.lists(some_text, min_size=1, max_size=3)),
        st.builds(missing, number | text),
    ]
    if vocabulary.id_lists:
        id_lists = st.sampled_from(vocabulary.id_lists)
        leaves += [st.builds(listed, text, st.booleans(), id_lists), id_lists.map(field).map(missing)]
    if vocabulary.conditions:
        names = st.sampled_from(vocabulary.conditions)
        leaves += [names.map(met), names.map(field).map(missing)]
    return st.recursive(
        st.one_of(leaves),
        lambda inner: (
            st.builds(joined, inner, st.sampled_from(["and", "or"]), inner)
            | inner.map(lambda of: (f"(not {of[0]})", lambda seen: not of[1](seen)))
        ),
        max_leaves=6,
    )


def seens(fields: dict[str, Given]) -> st.SearchStrategy[Seen]:
    number = st.sampled_from([math.nan, 0, 1, 2, 0.5, 1e300, -1e300, math.inf, 2**32])
    values = {
        name: VALUES[each.type]
        if each.required or each.default is not None
        else st.none() | VALUES[each.type]
        for name, each in fields.items()
    }
    return st.builds(
        Seen,
        st.fixed_dictionaries(values),
        st.tuples(number, number),
        st.tuples(number, number),
    )


def compiled(text: str, vocabulary: Vocabulary) -> Callable[..., Any]:
    names: dict[str, Any] = {"__builtins__": {}, "nan": math.nan}
    source = source_of(text, FEATURES, Names(vocabulary, {"promise": "q[1]"}))
    assert_harmless(source, vocabulary)
    exec(f"def f({PARAMETERS}): return {source}", names)
    return names["f"]  # type: ignore[no-any-return]


def assert_harmless(source: str, vocabulary: Vocabulary) -> None:
    """Of what the source may do, it looks up features, fields and what the model says, and calls nothing."""
    for node in ast.walk(ast.parse(source, mode="eval")):
        assert not isinstance(node, ast.Call | ast.Lambda | ast.ListComp | ast.JoinedStr)
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node.value) == "p"
            assert node.attr in (*vocabulary.fields, "event_time")
        elif isinstance(node, ast.Subscript):
            assert ast.unparse(node.value) in {"v", "q"}
            assert isinstance(node.slice, ast.Constant)
        elif isinstance(node, ast.Name):
            assert node.id in {"p", "v", "q", "nan"} or node.id[0] == "d"


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_compiled_is_what_a_plain_evaluator_says(data: st.DataObject) -> None:
    """P-DEC-4."""
    fields = data.draw(contracts())
    vocabulary = vocabulary_of(fields, ("promise",), LEVELS)
    text, expected = data.draw(conditions(vocabulary))
    assert expression_errors(text, FEATURES, vocabulary=vocabulary) == []
    function = compiled(text, vocabulary)
    for seen in data.draw(st.lists(seens(fields), min_size=1, max_size=4)):
        found = function(SimpleNamespace(**seen.fields), seen.values, seen.said)
        assert found is expected(seen), text


TOKENS = r"""a b c d e f g h ratio promise score quantile(0.1) quantile( 0.1 ) p v q nan d0 missing missing(a)
__import__ open exec __builtins__ True None lambda if else for in not and or is ( ) [ ] { } . , : := == != < >
+ - * / ** ~ % @ ' " # ; = 1 0 'a' ('a',) __class__ f'{p}' await yield 1e9"""
NASTY = st.lists(st.sampled_from([*TOKENS.split(), "\n", "\0", "\ufb01"]), max_size=12).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_text_is_refused_or_harmless(data: st.DataObject) -> None:
    """P-DEC-4."""
    fields = data.draw(contracts())
    vocabulary = vocabulary_of(fields, ("promise",), LEVELS)
    text = data.draw(NASTY | st.text(max_size=40))
    if expression_errors(text, FEATURES, vocabulary=vocabulary):
        event("refused")
        return
    event("accepted")
    seen = data.draw(seens(fields))
    found = compiled(text, vocabulary)(SimpleNamespace(**seen.fields), seen.values, seen.said)
    assert found is True or found is False
