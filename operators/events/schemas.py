"""JSON Schema of the event contract, generated from its structs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import orjson

from .contract import (
    Cart,
    Click,
    DeadLetter,
    Decision,
    Item,
    Order,
    OrderItem,
    Outcome,
    Payment,
    Reason,
    Recommendation,
    RecommendedItem,
)

__all__ = ["schema_files", "schema_of", "written"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_CONTRACT: Final = (Click, Item, Cart, Order, Payment, Outcome, Decision, Recommendation, DeadLetter)
_STRUCTS: Final = {struct.__name__: struct for struct in (*_CONTRACT, OrderItem, Reason, RecommendedItem)}
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ATTRIBUTES: Final = re.compile(r"Attributes\n-+\n(.*)", re.DOTALL)


def schema_files() -> dict[str, bytes]:
    """Return the content of each schema file, by its name."""
    return {
        f"{_WORDS.sub('_', struct.__name__).lower()}.schema.json": written(schema_of(struct))
        for struct in _CONTRACT
    }


def written(schema: dict[str, Any]) -> bytes:
    """Return a schema as a file has it."""
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a struct of the contract, with what it refers to in `$defs`."""
    (top,), definitions = msgspec.json.schema_components((struct,), ref_template="#/$defs/{name}")
    own = _described(struct.__name__, definitions.pop(struct.__name__))
    document = {"$schema": _DIALECT, **own}
    if definitions:
        document["$defs"] = {name: _described(name, body) for name, body in sorted(definitions.items())}
    assert top == {"$ref": f"#/$defs/{struct.__name__}"}
    return document


def _described(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Take descriptions from the struct's docstring: its first line, and what it says of each field."""
    struct = _STRUCTS[name]
    told = dict(_fields_told(struct))
    properties = {
        key: {**_described_type(schema), **({"description": told[key]} if key in told else {})}
        for key, schema in body["properties"].items()
    }
    return {**body, "description": inspect.getdoc(struct).splitlines()[0], "properties": properties}  # type: ignore[union-attr]


def _described_type(schema: dict[str, Any]) -> dict[str, Any]:
    limits = schema.get("description")
    return {**schema, "$comment": limits} if limits else schema


def _fields_told(struct: type) -> Iterator[tuple[str, str]]:
    for parent in reversed(struct.__mro__):
        section = _ATTRIBUTES.search(inspect.cleandoc(parent.__dict__.get("__doc__") or ""))
        if section:
            yield from _entries(section[1])


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Names and texts of a NumPy docstring's section."""
    for entry in re.split(r"\n(?=\S)", section):
        names, _, text = entry.partition("\n")
        for name in names.split(", "):
            yield name, " ".join(text.split())
