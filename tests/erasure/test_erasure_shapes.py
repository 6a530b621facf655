"""Whether bytes that no event could be made of name a customer."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.erasure.shapes import Judgement, Shapes

NOT, UNSURE, NAMED = Judgement.NOT, Judgement.UNSURE, Judgement.NAMED
ALPHABET = "abcxyzABC019-_.@öß東 /&'"
IDS = st.text(ALPHABET, min_size=2, max_size=12).filter(
    lambda each: each.strip() == each and any(c.isalpha() for c in each) and not each.isalpha()
)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(each):04X}" for each in text)


SHAPES: dict[str, Callable[[str], bytes]] = {
    "nested": lambda who: json.dumps({"a": [{"customer": {"id": who}}]}).encode(),
    "other key": lambda who: json.dumps({"Kunden-Nr": who}, ensure_ascii=False).encode(),
    "as a key": lambda who: json.dumps({who: {"amount": 3}}).encode(),
    "key twice": lambda who: b'{"customer_id":%b,"customer_id":"x"}' % json.dumps(who).encode(),
    "escaped": lambda who: b'{"customer_id":"' + escaped(who).encode() + b'","am',
    "single quotes": lambda who: b"{'customer_id': '" + who.replace("'", "\\'").encode() + b"', ",
    "latin-1": lambda who: b'{"customer_id":"' + who.encode("latin-1", "replace") + b'","x":"\xe9"}',
    "utf-16": lambda who: json.dumps({"customer_id": who}, ensure_ascii=False).encode("utf-16"),
    "utf-16 without a mark": lambda who: json.dumps({"customer_id": who}, ensure_ascii=False).encode(
        "utf-16-be"
    ),
    "in a url": lambda who: b"/pay?customer=" + quote(who, safe="").encode() + b"&amount=3",
    "in html": lambda who: b"<customer>" + html.escape(who).encode() + b"</customer>",
    "in text": lambda who: b"p1;" + who.encode() + b";10.0",
    "json in json": lambda who: json.dumps({"payload": json.dumps({"customer_id": who})}).encode(),
    "base64": lambda who: base64.b64encode(json.dumps({"c": who}, ensure_ascii=False).encode()),
    "base64 in json": lambda who: json.dumps(
        {"payload_base64": base64.b64encode(json.dumps({"customer_id": who}).encode()).decode()}
    ).encode(),
    "framed": lambda who: b"\x00\x00\x00\x00\x01" + json.dumps({"customer_id": who}).encode(),
    "deep": lambda who: b"[" * 3000 + json.dumps(who).encode(),
}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60, deadline=None)
@given(who=IDS)
def test_an_id_is_found_in_every_shape(shape: str, who: str) -> None:
    if shape == "latin-1" and "東" in who:
        who = who.replace("東", "o")
    assert Shapes(who).evaluate(SHAPES[shape](who)) is NAMED


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40, deadline=None)
@given(who=IDS, other=IDS)
def test_another_id_is_not_found(shape: str, who: str, other: str) -> None:
    if who.lower() in SHAPES[shape](other).decode("latin-1").lower() or who in other:
        return
    evaluated = Shapes(who).evaluate(SHAPES[shape](other))
    assert evaluated is not NAMED
    assert evaluated is NOT or shape == "framed" or not (who + other).isascii()


@pytest.mark.parametrize(
    ("who", "payload", "evaluated"),
    [
        ("c-7", b'{"customer_id":"c-71"}', NOT),
        ("c-7", b'{"customer_id":"xc-7"', NOT),
        ("c-7", b'{"customer_id":"c-7', NAMED),  # cut
        ("c-7", b'{"order_id":"order-c-7"', UNSURE),
        ("c-7", b"\x1f\x8b" + gzip.compress(b"c-7", mtime=0), UNSURE),
        ("c-7", b"", NOT),
        ("c-7", b"\xff\xfe", NOT),
        ("c-7", b"{}", NOT),
        ("müller-1", b'{"customer_id":"m\xe2\x99ller-1"', UNSURE),  # in an encoding that nobody knows
        ("müller-1", b'{"customer_id":"m\xfcller-2"', NOT),
        ("4711", b'{"customer_id":4711}', NAMED),
        ("4711", b'{"customer":{"no":4711.0}}', NAMED),
        ("4711", b'{"CustomerNo": 4711, "am', NAMED),
        ("4711", b'{"customer_id":4.711e3}', NAMED),
        ("4711", b'{"customer_id":47110}', NOT),
        ("4711", b'{"amount":4711}', NOT),
        ("4711", b"p1;4711;10", UNSURE),
        ("471100", b"p1;471100;10", NAMED),
        ("1", b'{"amount":1,"count":[1,1],"label":1}', NOT),
        ("1", b'{"amount": 1, "merch', NOT),
        ("1", b'{"amount":1,"user":{"id":"1"}}', NAMED),
        ("1", b"[1,2,3]", UNSURE),
        ("1", b'{"note":"1 item"}', NOT),
        ("ann", b'{"merchant":"ann"}', NOT),
        ("ann", b'{"customer_name":"ann"}', NAMED),
        ("anna", b'{"merchant":"anna"}', NAMED),
    ],
)
def test_what_counts_as_the_id(who: str, payload: bytes, evaluated: Judgement) -> None:
    assert Shapes(who).evaluate(payload) is evaluated


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=200), who=st.text(min_size=1, max_size=6))
def test_any_bytes_are_evaluated(payload: bytes, who: str) -> None:
    Shapes(who).evaluate(payload)
