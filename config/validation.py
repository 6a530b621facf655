"""Validates settings that were read, and says of each validation error where it is and what would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from headrace.errors import Invalid

from .base import CURRENCY_PATTERN, NAME_PATTERN
from .references import Broken, ModelErrors, errors_of_models, references, validation_errors
from .tables import RunSettings
from .words import message_of, shown

__all__ = ["validate"]

_KIND: Final = "kind"  # the key by which declarations of several kinds are told apart


def validate(
    read: dict[str, Any], kind: type[RunSettings], model_errors: ModelErrors
) -> tuple[RunSettings | None, list[Invalid]]:
    """Validate shapes and references; without the parts that are misshapen, if there are any."""
    try:
        settings = kind.model_validate(read)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    else:
        return settings, validation_errors(settings) + errors_of_models(settings, model_errors)
    found = list(dict.fromkeys(_invalid(error, kind) for error in _without_consequences(errors)))
    places = [tuple(map(str, error["loc"])) for error in errors]
    # What is misshapen is taken out and the rest validated again: references between sound parts are told in
    # the same go.
    sound = _without(read, places)
    try:
        rest = kind.model_validate(sound)
    except ValidationError:
        return None, found
    broken = Broken(places)
    found += references(rest, broken, read)
    sure = not (broken.hides("model", "name") or broken.hides("model", "parameters"))
    return None, found + (errors_of_models(rest, model_errors) if sure else [])


def _is_table(read: Mapping[str, Any], key: str) -> bool:
    return isinstance(read.get(key), dict)


def _without(read: dict[str, Any], places: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Return a copy without what is misshapen: whole declarations, of an event type its fields, else keys."""
    rest = {key: dict(value) if isinstance(value, dict) else value for key, value in read.items()}
    if _is_table(rest, "events"):
        rest["events"] = deepcopy(rest["events"])
    for place in places:
        section = place[0]
        if section == "decisions" and len(place) > _DECISION_DEPTH and _is_table(rest, section):
            declared = dict(rest[section].get(place[1], {}))
            declared.pop(place[_DECISION_DEPTH], None)
            rest[section] = rest[section] | {place[1]: declared}
        elif section == "events" and len(place) > _FIELD_DEPTH:
            rest["events"].get(place[1], {}).get(place[2], {}).pop(place[_FIELD_DEPTH], None)
        elif len(place) > 1 and _is_table(rest, section):
            rest[section].pop(place[1], None)
        else:
            rest.pop(section, None)
    return rest


def _without_consequences(errors: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short only because entries of it are wrong."""
    inside = {error["loc"][:-1] for error in errors}
    return [each for each in errors if each["type"] != "too_short" or each["loc"] not in inside]


def _invalid(error: Any, kind: type[RunSettings]) -> Invalid:
    place = [str(part) for part in error["loc"] if part != "[key]"]
    if (
        place[1:2] == ["parameters"] and len(place) > _PARAMETER_DEPTH
    ):  # one error for each type that it could be
        given = error["input"]
        said = "" if isinstance(given, dict | list) else f" (is {shown(given)})"
        return Invalid(
            "", ".".join(place[:_PARAMETER_DEPTH]), f"must be true or false, a number or a text{said}"
        )
    tables = _tables(kind, place[:-1])
    known = _keys(tables[-1])
    kinds = list(_by_kind(next(_inside(tables[-1], place[-1]), None)))
    # Behind a declaration's name pydantic puts the kind.
    place = [key for key, table in zip(place, tables, strict=True) if key not in _by_kind(table)]
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append(_KIND)
    return Invalid("", ".".join(place), message_of(error, known, kinds, _PATTERNS))


def _tables(kind: type[RunSettings], place: Sequence[str]) -> list[Any]:
    """Return what the settings say of each table on the way to a place, the whole first; None beyond it."""
    # Types are read in place of a list of known tables, so that a kind of flow from outside gets the same
    # hints.
    tables: list[Any] = [kind]
    for key in place:
        tables.append(next(_inside(tables[-1], key), None))
    return tables


def _inside(table: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key of a table: a table, a mapping of names, or declarations by kind."""
    if _is_model(table):
        found = table.model_fields.get(key)
        if found is not None:
            yield _bare(found.annotation)
    elif get_origin(table) is dict:
        yield _bare(get_args(table)[1])
    elif key in _by_kind(table):
        yield _by_kind(table)[key]


def _bare(annotation: Any) -> Any:
    """Return a type without what is said of it; of one that may be left out, what it is otherwise."""
    # `X | None` is a table that may be left out; several tables beside each other are told apart by their
    # kind.
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    some = [each for each in get_args(annotation) if _is_model(each)]
    return some[0] if len(some) == 1 and get_origin(annotation) is not dict else annotation


def _by_kind(table: Any) -> dict[str, type[BaseModel]]:
    """Return the declarations among which a kind chooses; none of another table."""
    members = [] if get_origin(table) is dict else [each for each in get_args(table) if _is_model(each)]
    return {
        kind: each
        for each in members
        if _KIND in each.model_fields
        for kind in get_args(each.model_fields[_KIND].annotation)
    }


def _keys(table: Any) -> list[str]:
    return list(table.model_fields) if _is_model(table) else []


def _is_model(table: Any) -> bool:
    return isinstance(table, type) and issubclass(table, BaseModel)


_PARAMETER_DEPTH: Final = 3
_FIELD_DEPTH: Final = 3
_DECISION_DEPTH: Final = 3  # behind the section, the name, and the kind that pydantic puts there
_PATTERNS: Final = {
    CURRENCY_PATTERN: "three capital letters, as ISO 4217 has them",
    NAME_PATTERN: "lower-case letters, digits and underscores, the first a letter",
}
