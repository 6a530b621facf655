"""Writes paths as texts that are UTF-8 in any case, and reads them again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["path_of", "path_text"]

_URI: Final = "file://"


def path_text(path: Path) -> str:
    r"""Return a path as journals, settings and JSON can have it.

    As it is, or by its URI where it isn't UTF-8.

    Examples
    --------
    >>> path_text(Path("/data/café.jsonl"))
    '/data/café.jsonl'
    >>> path_text(Path("/data") / os.fsdecode(b"caf\xe9.jsonl"))
    'file:///data/caf%E9.jsonl'
    """
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return path.absolute().as_uri()
    return text


def path_of(text: str) -> Path:
    """Return the path that `path_text` has written."""
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_URI))) if text.startswith(_URI) else text)
