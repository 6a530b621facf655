"""Escapes what a terminal or a page would act on instead of showing it."""

from __future__ import annotations

import re
from html import escape
from typing import Final

__all__ = ["html_text", "json_text", "printable", "printable_lines"]

# Control characters (C0, DEL, C1), what changes the direction of writing, what can't be seen, separators of
# lines and paragraphs, surrogates that stand alone, tags. A byte that isn't UTF-8 comes as such a surrogate.
_UNSAFE: Final = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_LINES: Final = re.compile(f"[{_UNSAFE}]")
_IN_A_LINE: Final = re.compile(f"[\n{_UNSAFE}]")
_IN_JSON: Final = re.compile("[" + _UNSAFE.removeprefix("\x00-\x09\x0b-\x1f") + "]")


def printable(text: str) -> str:
    r"""Return a text of one line, in which nothing acts on a terminal.

    An id, a name, somebody else's message.

    Examples
    --------
    >>> printable("c-1\x1b[2J\n\u202egpj.exe"), printable("[bold]Jürgen[/]")
    ('c-1\\x1b[2J\\x0a\\u202egpj.exe', '[bold]Jürgen[/]')
    """
    return _IN_A_LINE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, in which nothing else acts on a terminal."""
    return _IN_LINES.sub(_escaped, text)


def json_text(text: str) -> str:
    r"""JSON in which everything that acts on a terminal is escaped, as JSON does it; it says the same.

    Examples
    --------
    >>> print(json_text('{"id": "\u202ex"}'))
    {"id": "\u202ex"}
    """
    return _IN_JSON.sub(lambda found: _as_json(found[0]), text)


def html_text(text: str) -> str:
    """Return a text of several lines as HTML, which shows all of it and does nothing."""
    return escape(printable_lines(text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
