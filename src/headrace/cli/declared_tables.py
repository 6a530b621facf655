"""Tables of reference pages: the keys of a declaration, their defaults and the values that they may have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["about", "key_table"]


def about(declaration: type[BaseModel]) -> str:
    """Return the first paragraph of a class's docstring."""
    text = inspect.cleandoc(declaration.__doc__ or "").split("\n\n")[0]
    return " ".join(text.split())


def key_table(
    declaration: type[BaseModel], meaning: Callable[[str], str], types: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines of a table of a declaration's keys.

    Parameters
    ----------
    declaration
        Its class.
    meaning
        What a key is for.
    types
        By key, which values it may have, where neither words nor limits say it.
    """
    yield from ("| key | default | values | |", "| --- | --- | --- | --- |")
    for key, field in declaration.model_fields.items():
        if key != "kind":
            yield f"| `{key}` | {_default(field)} | {_values(key, field, types)} | {meaning(key)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "not given"
    return f"`{field.default}`" if field.default != () else "none"


def _values(key: str, field: FieldInfo, types: Mapping[str, str]) -> str:
    literals = list(_literals(field.annotation))
    if literals:
        return ", ".join(f"`{literal}`" for literal in literals)
    low, high = _bound(field, "ge", "gt"), _bound(field, "le", "lt")
    return f"{low} to {high}" if low or high else types.get(key, "")


def _literals(annotation: Any) -> Iterator[str]:
    """All values of the literals in a type."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    for part in get_args(annotation):
        yield from _literals(part)


def _bound(field: FieldInfo, *names: str) -> str:
    """Return a limit of a number, `above` one that it must not reach."""
    for each in field.metadata:
        found = re.search(rf"\b({'|'.join(names)})=([0-9.]+)", repr(each))
        if found:
            return f"above {found[2]}" if found[1] == "gt" else found[2]
    return ""
