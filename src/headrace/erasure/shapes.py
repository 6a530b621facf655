"""Judges whether bytes that no event could be made of name a customer, in whatever shape the id has there."""

from __future__ import annotations

import binascii
import html
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple
from unicodedata import normalize
from urllib.parse import unquote_plus

__all__ = ["Judgement", "Shapes"]

_DEPTH_MAX: Final = 3  # of texts within texts: JSON in a field of JSON, base64 of it
_LETTERS_MIN: Final = 4
_DIGITS_MIN: Final = 6
_ENCODINGS: Final = ("utf-8", "cp1252", "latin-1", "cp850", "mac-roman", "utf-16-le", "utf-16-be")
_CUSTOMER_KEY: Final = re.compile(
    "customer|cust|client|consumer|shopper|buyer|payer|user|account|member|subject|kunde", re.IGNORECASE
)
_NAMES_A_CUSTOMER: Final = re.compile(
    r"(?:customer|cust|client|consumer|shopper|buyer|payer|user|account|member|subject|kunde)"
    r"[\w .\-]{0,24}[\"'\]\\]{0,4}\s{0,4}(?:[:=>]|%3[aAdD]){1,2}[\s\"'\\({\[]{0,6}$",
    re.IGNORECASE,
)
_NAMES_SOMETHING: Final = re.compile(r"\w[\w .\-]{0,60}[\"'\]\\]{0,4}\s{0,4}[:=][\s\"'\\]{0,6}$")
_BEFORE: Final = 96  # characters before an id that may say what it is
_NUMBER: Final = re.compile(r"(?<![\w.+\-])-?\d{1,40}(?:\.0{1,20})?(?:[eE]\+?\d{1,2})?(?![\w.])")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\([\"'\\/])")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_\-]{8,}={0,2}")
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Judgement(IntEnum):
    """What can be said of bytes."""

    NOT = 0
    UNSURE = 1
    NAMED = 2


class _Place(NamedTuple):
    """Where a value stands in JSON.

    Attributes
    ----------
    customer
        Whether a key above it says that it is a customer's.
    keyed
        Whether it has a key at all; else it is an item of a list.
    """

    customer: bool
    keyed: bool


class Shapes:
    """The shapes in which a customer's id may stand.

    An id is found by its value, under any key: as a text, escaped for JSON, a URL or HTML, as a number, in
    the encodings of `_ENCODINGS`, in JSON within JSON, and in base64. It must stand alone: letters, digits,
    `_` and `-` beside it make it another id. An id that is so plain that it stands for other things too
    (fewer than four letters, or a number of fewer than six digits) counts only where a key says that it is a
    customer's; where nothing says what it is, nobody can be sure.

    Parameters
    ----------
    customer_id
        Who.
    """

    def __init__(self, customer_id: str) -> None:
        self._id = normalize("NFC", customer_id)
        number = re.fullmatch(r"-?(0|[1-9]\d*)", customer_id)
        # Longer ones are no numbers but names made of digits; and a float keeps no more than 17 of them.
        self._number = int(customer_id) if number and len(customer_id) < 40 else None
        least = _LETTERS_MIN if customer_id.isalpha() else _DIGITS_MIN if self._number is not None else 2
        self._distinct = len(customer_id) >= least
        inside = re.escape(self._id)
        self._found = re.compile(inside)
        # Where an encoding is unknown, any one to four bytes may be a character beyond ASCII.
        wild = "".join(re.escape(each) if each < "\x80" else "[\x80-\xff]{1,4}" for each in self._id)
        self._wild = None if self._id.isascii() else re.compile(wild)

    def evaluate(self, payload: bytes) -> Judgement:
        """Say whether bytes name the customer.

        Bytes that are no text, such as compressed ones, and don't show the id either, may hold it all the
        same.
        """
        return self._bytes(payload, 0)

    # -- bytes

    def _bytes(self, payload: bytes, depth: int) -> Judgement:
        found = Judgement.NOT
        for text in _texts(payload, ascii_only=self._id.isascii()):
            found = max(found, self._text(text, depth))
            if found is Judgement.NAMED:
                return found
        if self._wild is not None and self._wild.search(payload.decode("latin-1")):
            found = max(found, Judgement.UNSURE)
        if depth < _DEPTH_MAX:
            for match in _BASE64.finditer(payload):
                inner = _from_base64(match[0])
                if inner is not None and not _BINARY.search(inner):
                    found = max(found, self._bytes(inner, depth + 1))
        if not depth and len(payload) >= len(self._id) and _BINARY.search(payload) and not _is_utf16(payload):
            found = max(found, Judgement.UNSURE)
        return found

    # -- texts

    def _text(self, text: str, depth: int) -> Judgement:
        text = normalize("NFC", text)
        try:
            said = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            return self._plain(text)
        if isinstance(said, _Pairs | list):
            return self._json(said, depth)
        return self._value(said, _Place(customer=False, keyed=False), depth)

    def _plain(self, text: str) -> Judgement:
        """Evaluate a text without a structure, as it is and with each kind of escape taken back."""
        found = Judgement.NOT
        for variant in dict.fromkeys((text, *_unescaped(text))):
            found = max(found, self._variant(normalize("NFC", variant)))
            if found is Judgement.NAMED:
                break
        return found

    def _variant(self, text: str) -> Judgement:
        found = Judgement.NOT
        for match in self._found.finditer(text):
            found = max(found, self._at(text, *match.span()))
        if self._number is not None:
            for match in _NUMBER.finditer(text):
                if _number_of(match[0]) == self._number:
                    found = max(found, self._at(text, *match.span()))
        return found

    def _at(self, text: str, start: int, end: int) -> Judgement:
        """Evaluate a place at which the id stands in a text."""
        beside = text[start - 1 : start] + text[end : end + 1]
        if any(each.isalnum() for each in beside):
            return Judgement.NOT
        # `c-12` within `c-12-34` may be the id with something behind it, or another one; a person has to say.
        if any(each in "-_" for each in beside):
            return Judgement.UNSURE if self._distinct else Judgement.NOT
        before = text[max(0, start - _BEFORE) : start]
        if self._distinct or _NAMES_A_CUSTOMER.search(before):
            return Judgement.NAMED
        said = _NAMES_SOMETHING.search(before) and not _CUSTOMER_KEY.search(before)
        return Judgement.NOT if said else Judgement.UNSURE

    # -- JSON

    def _json(self, said: Any, depth: int) -> Judgement:
        found, left = Judgement.NOT, [(said, _Place(customer=False, keyed=False))]
        while left and found is not Judgement.NAMED:
            # A stack of our own: input that is nested deep enough would end a recursive walk.
            value, place = left.pop()
            if isinstance(value, _Pairs):
                for key, each in value.pairs:
                    # All that stands below such a key is about a customer, however the object is nested.
                    under = place.customer or bool(_CUSTOMER_KEY.search(key))
                    found = max(found, self._value(key, _Place(place.customer, keyed=False), depth))
                    left.append((each, _Place(under, keyed=True)))
            elif isinstance(value, list):
                left += [(each, _Place(place.customer, keyed=place.keyed)) for each in value]
            else:
                found = max(found, self._value(value, place, depth))
        return found

    def _value(self, value: Any, place: _Place, depth: int) -> Judgement:
        whole = False
        if isinstance(value, str):
            value = normalize("NFC", value)
            whole = value.strip() == self._id
        if not whole and self._number is not None and not isinstance(value, bool):
            whole = (
                _number_of(str(value).strip()) if _NUMBER.fullmatch(str(value).strip()) else None
            ) == self._number
        if whole:
            if self._distinct or place.customer:
                return Judgement.NAMED
            return Judgement.NOT if place.keyed else Judgement.UNSURE
        if not isinstance(value, str) or len(value) < len(self._id):
            return Judgement.NOT
        return self._inner(value, place, depth)

    def _inner(self, text: str, place: _Place, depth: int) -> Judgement:
        """Evaluate a longer text that is a value in JSON."""
        if depth < _DEPTH_MAX and text.lstrip()[:1] in ("{", "["):
            return self._text(text, depth + 1)
        found = self._plain(text)
        if found is Judgement.UNSURE and not self._distinct:
            # A short id within a text that says nothing of customers, such as "1 item".
            found = Judgement.UNSURE if place.customer else Judgement.NOT
        if (
            found is not Judgement.NAMED
            and depth < _DEPTH_MAX
            and _BASE64.fullmatch(text.encode("utf-8", "ignore"))
        ):
            inner = _from_base64(text.encode())
            if inner is not None and not _BINARY.search(inner):
                found = max(found, self._bytes(inner, depth + 1))
        return found


class _Pairs:
    """An object of JSON with all its pairs, of keys that come twice too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _texts(payload: bytes, *, ascii_only: bool) -> Iterator[str]:
    """Yield what bytes say in the encodings in which the id could be seen."""
    if _is_utf16(payload):
        for name in ("utf-16", "utf-16-le", "utf-16-be"):
            yield payload.decode(name, "ignore")
        return
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    else:
        yield text
        return
    # All of these have ASCII's characters in ASCII's places.
    for name in ("latin-1",) if ascii_only else _ENCODINGS[:5]:
        yield payload.decode(name, "ignore")


def _is_utf16(payload: bytes) -> bool:
    if payload[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    half = len(payload) // 2
    zeros = max(payload[::2].count(0), payload[1::2].count(0))
    return (
        half >= 4 and zeros > 0.6 * half and min(payload[::2].count(0), payload[1::2].count(0)) < 0.1 * half
    )


def _unescaped(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(_character, text)
        yield _ESCAPE.sub(_character, _ESCAPE.sub(_character, text))
    if "%" in text or "+" in text:
        yield unquote_plus(text)
    if "&" in text:
        yield html.unescape(text)


def _character(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else match[3]


def _number_of(text: str) -> int | None:
    """Return a whole number, however it is written."""
    mantissa, _, exponent = text.lower().partition("e")
    whole = mantissa.partition(".")[0]
    try:
        return int(whole) * int(10 ** int(exponent or 0))
    except ValueError:
        return None


def _from_base64(token: bytes) -> bytes | None:
    plain = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    if len(plain) % 4 == 1:
        plain = plain[:-1]  # it was cut
    try:
        return b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None
