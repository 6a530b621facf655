"""How deep an input may be nested doesn't depend on who asks."""

from __future__ import annotations

import pytest

from headrace.operators.events.contract import Payment
from headrace.operators.events.decode import Undecodable, decode_one
from headrace.operators.events.event_times import AT_ONCE, times_of
from headrace.operators.events.nesting import NESTING_MAX, nested_too_deep, on_empty_stack

PAYMENT = (
    '{"type":"payment","event_id":"p","event_time":1772357400000,"customer_id":"c","merchant_id":"m",'
    '"amount":1,"currency":"EUR","x":%s}'
)
KINDS = {
    "click": '"session_id":"s","item_id":"i"',
    "item": '"item_id":"i"',
    "cart": '"session_id":"s","item_id":"i"',
    "order": '"order_id":"o","customer_id":"c","items":[]',
    "payment": '"customer_id":"c","merchant_id":"m","amount":1,"currency":"EUR"',
    "outcome": '"about":"p","label":1',
}


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (PAYMENT % (opening * depth + "1" + closing * depth)).encode()


def at_depth(frames: int, function, *given):
    return function(*given) if not frames else at_depth(frames - 1, function, *given)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_the_limit_is_the_same_on_any_stack(opening, closing):
    each = opening.count("[") + opening.count("{")
    fits, too_deep = (nested(n, opening, closing) for n in ((NESTING_MAX - 1) // each, NESTING_MAX // each))
    assert [nested_too_deep(line) for line in (fits, too_deep)] == [False, True]
    for frames in (0, 300, 600, 800):
        assert isinstance(at_depth(frames, decode_one, fits), Payment)
        assert at_depth(frames, times_of, [fits]) == [1772357400000]
        found = at_depth(frames, decode_one, too_deep)
        assert isinstance(found, Undecodable)
        assert (found.reason, found.field) == ("nested_too_deep", None)
        assert at_depth(frames, times_of, [too_deep, fits]) == [AT_ONCE, 1772357400000]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1500, 30_000])
def test_no_type_of_event_is_too_deep_for_the_parser(kind, depth):
    for inside in ("[" * depth + "]" * depth, '{"x":' * depth + "1" + "}" * depth, "[" * depth):
        line = f'{{"type":"{kind}","x":{inside},"event_id":"e","event_time":1772357400000,{KINDS[kind]}}}'
        found = decode_one(line.encode(), 10**6)
        assert isinstance(found, Undecodable)
        assert found.reason == "nested_too_deep"


def test_brackets_in_strings_do_not_nest():
    strings = ['"' + "[" * 2000 + '"', '"\\"' + "{" * 2000 + '"', '["a\\\\",' + '"' + "[" * 900 + '"]']
    for each in strings:
        assert isinstance(decode_one((PAYMENT % each).encode()), Payment)
    assert nested_too_deep((PAYMENT % ('"' + "]" * 5000 + '",' + '"y":' + "[" * 600)).encode())
    assert not nested_too_deep(b'"' + b"[" * 5000)
    many = "[" + ",".join(["[1]"] * 3000) + "]"
    assert isinstance(decode_one((PAYMENT % many).encode()), Payment)


def test_what_is_done_on_an_empty_stack_comes_back():
    assert on_empty_stack(max, 1, 2) == 2
    with pytest.raises(ValueError, match="invalid literal"):
        on_empty_stack(int, "x")
