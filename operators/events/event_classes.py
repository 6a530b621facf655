"""Makes the classes of declared events, and the functions that complete an event once it is parsed.

msgspec parses all that its types can say. The rest is done by a function of straight-line code for each type:
fields that stand deeper in an event are lifted, times become numbers, texts are held against patterns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Optional

import msgspec
from msgspec import Meta, Struct, defstruct
from msgspec.structs import force_setattr

from ...config.events import ID_CHARACTERS_MAX
from .contract import _Event
from .event_type import Field
from .timestamps import time_ms

__all__ = ["NEST", "event_class", "finisher"]

TIME_MS_MIN: Final = -62_135_596_800_000  # 0001-01-01T00:00:00Z
TIME_MS_END: Final = 253_402_300_800_000  # the year 10000

NEST: Final = "IN_"
"""What attributes begin with that hold an object inside of an event until it is complete."""

VALUES_SEEN_MAX: Final = 4096
VALUE_SEEN_CHARACTERS_MAX: Final = 256
"""Of a field with a pattern, so many of the last values are known to match."""

_OPTIONS: Final[dict[str, Any]] = {"frozen": True, "kw_only": True, "gc": False}
_PLAIN: Final[dict[str, Any]] = {
    "boolean": bool,
    "time": int | Annotated[str, Meta(min_length=20, max_length=40)],
}
_SIZED: Final[dict[str, Any]] = {
    "id": str,
    "text": str,
    "ids": tuple[Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS_MAX)], ...],
}
_Tree = dict[str, Any]  # keys to fields, or to further trees


def event_class(
    name: str, base: type[Struct] | None, fields: Sequence[Field], party: Sequence[str]
) -> type[Struct]:
    """Return a class of events with further fields.

    Parameters
    ----------
    name
        The type's.
    base
        The built-in class that is extended; None for an own type.
    fields
        Its own, in the order in which they are digested.
    party
        Those that say whom an event is about.
    """
    # First what a digest is made of, then the objects, which are empty once an event is complete.
    own = [_top(field) for field in fields]
    own += [
        (
            _nest(root),
            _optional(_node(tree, root), required=_needed(tree)),
            _named(root, required=_needed(tree)),
        )
        for root, tree in _trees(fields).items()
    ]
    return defstruct(
        "".join(map(str.capitalize, name.split("_"))),
        own,
        bases=(base or _Event,),
        tag_field="type",
        tag=name,
        omit_defaults=True,
        module=__name__,
        namespace={"party_fields": tuple(party)},
        **_OPTIONS,
    )


def _top(field: Field) -> tuple[str, Any, Any]:
    """Return a field's place in the event itself; where it stands deeper, its lifted value goes there."""
    if len(field.path) > 1:
        return (
            field.name,
            Any,
            msgspec.field(default=field.default, name=f".{field.name}"),
        )  # no path has that key
    return _leaf(field, field.name)


def _leaf(field: Field, name: str) -> tuple[str, Any, Any]:
    default = msgspec.field(default=field.default, name=field.path[-1])
    if field.required:
        default = msgspec.field(name=field.path[-1])
    return name, _optional(_type(field), required=field.required), default


def _type(field: Field) -> Any:
    """Return what msgspec parses of a field."""
    if field.values:
        return Literal[tuple(field.values)]
    if field.type in _PLAIN:
        return _PLAIN[field.type]
    least, most = field.minimum, field.maximum
    if field.type == "number":
        return Annotated[float, Meta(ge=least, le=most)]
    if field.type == "integer":
        return Annotated[int, Meta(ge=_int(least), le=_int(most))]
    return Annotated[_SIZED[field.type], Meta(min_length=_int(least), max_length=_int(most))]


def _int(limit: float | None) -> int | None:
    return None if limit is None else int(limit)


def _optional(of: Any, *, required: bool) -> Any:
    return of if required else Optional[of]  # noqa: UP045  # `|` has no meaning for every form here


def _named(key: str, *, required: bool) -> Any:
    return msgspec.field(name=key) if required else msgspec.field(default=None, name=key)


# -- fields that stand deeper


def _trees(fields: Sequence[Field]) -> dict[str, _Tree]:
    """Objects in an event that hold declared fields, by their keys."""
    trees: dict[str, _Tree] = {}
    for field in fields:
        if len(field.path) > 1:
            tree = trees
            for key in field.path[:-1]:
                tree = tree.setdefault(key, {})
            tree[field.path[-1]] = field  # type: ignore[assignment]
    return trees


def _needed(tree: _Tree | Field) -> bool:
    """Whether something in it is required."""
    if isinstance(tree, Field):
        return tree.required
    return any(map(_needed, tree.values()))


def _node(tree: _Tree, name: str) -> type[Struct]:
    """Return the class of an object inside of an event."""
    fields = []
    for place, (key, inner) in enumerate(tree.items()):
        if isinstance(inner, Field):
            fields.append(_leaf(inner, f"k{place}"))
        else:
            needed = _needed(inner)
            of = _optional(_node(inner, key), required=needed)
            fields.append((f"k{place}", of, _named(key, required=needed)))
    return defstruct(f"In_{re.sub(r'[^A-Za-z0-9]', '_', name)}", fields, module=__name__, **_OPTIONS)


def _nest(root: str) -> str:
    """Return the attribute that holds an object until its fields are lifted; no field has its name."""
    return NEST + "".join(each if each.isalnum() and each.isascii() else f"_{ord(each):x}_" for each in root)


# -- what completes an event


def finisher(
    fields: Sequence[Field], first: Callable[[Any], None] | None = None
) -> Callable[[Any], None] | None:
    """Return the function that completes an event in place; None where nothing is left to do.

    It raises `msgspec.ValidationError` for a value that a field can't have.

    Parameters
    ----------
    fields
        The type's own.
    first
        What is done before.
    """
    names: dict[str, Any] = {"force": force_setattr, "as_time": _as_time, "first": first}
    lines = ["first(event)"] if first else []
    # Lifting comes first: defaults and patterns are about fields, wherever these stood.
    for root, tree in _trees(fields).items():
        lines += _lifting(f"event.{_nest(root)}", tree, 0)
        lines.append(f"force(event, {_nest(root)!r}, None)")
    for place, field in enumerate(fields):
        lines += _completing(field, place, names)
    if not lines or (len(lines) == 1 and first):
        return first
    # A loop over fields would cost several times as much with each event.
    source = "def finish(event):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(source, f"<events {', '.join(field.name for field in fields)}>", "exec"), names)  # noqa: S102
    made: Callable[[Any], None] = names["finish"]
    return made


def _lifting(at: str, tree: _Tree, depth: int) -> Iterator[str]:
    """Source that lifts the fields of an object, or makes them missing where it is."""
    node = f"node{depth}"
    yield f"{node} = {at}"
    yield f"if {node} is None:"
    for field in _leaves(tree):
        yield f"    force(event, {field.name!r}, None)"
    yield "else:"
    for place, inner in enumerate(tree.values()):
        if isinstance(inner, Field):
            yield f"    force(event, {inner.name!r}, {node}.k{place})"
        else:
            yield from (f"    {line}" for line in _lifting(f"{node}.k{place}", inner, depth + 1))


def _leaves(tree: _Tree) -> Iterator[Field]:
    for inner in tree.values():
        if isinstance(inner, Field):
            yield inner
        else:
            yield from _leaves(inner)


def _completing(field: Field, place: int, names: dict[str, Any]) -> Iterator[str]:
    """Source that does what is left of one field."""
    name, path = field.name, ".".join(field.path)
    if field.default is not None:
        # The default itself, so that an event that spells it out has the same digest as one without it.
        names[f"default{place}"] = field.default
        yield f"value = event.{name}"
        if field.type == "time":
            yield f"if value is not None: value = as_time(value, {path!r})"
        yield f"if value is None or value == default{place}: force(event, {name!r}, default{place})"
        if field.type == "time":
            yield f"else: force(event, {name!r}, value)"
    elif field.type == "time":
        yield f"value = event.{name}"
        yield f"if value is not None: force(event, {name!r}, as_time(value, {path!r}))"
    if field.pattern is not None:
        seen, check = _matcher(field.pattern, path)
        names[f"seen{place}"], names[f"check{place}"] = seen, check
        yield f"value = event.{name}"
        yield f"if value is not None and value not in seen{place}: check{place}(value)"


def _as_time(value: Any, path: str) -> int:
    """Return a time as milliseconds since the epoch."""
    if value.__class__ is str:
        try:
            return time_ms(value)
        except ValueError as error:
            raise msgspec.ValidationError(f"{error} - at `$.{path}`") from error
    if not TIME_MS_MIN <= value < TIME_MS_END:
        raise msgspec.ValidationError(f"Expected a time in the years 1 to 9999 - at `$.{path}`")
    return int(value)


def _matcher(pattern: str, path: str) -> tuple[Mapping[str, bool], Callable[[str], None]]:
    """Return values that are known to match, and what holds another value against the pattern."""
    matches, seen = re.compile(pattern, re.ASCII).fullmatch, dict[str, bool]()

    def check(value: str) -> None:
        if not matches(value):
            raise msgspec.ValidationError(f"Expected a text that matches {pattern!r} - at `$.{path}`")
        if len(value) <= VALUE_SEEN_CHARACTERS_MAX:
            # Emptied at once, which costs less than to know the oldest of them.
            if len(seen) >= VALUES_SEEN_MAX:
                seen.clear()
            seen[value] = True

    return seen, check
