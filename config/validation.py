"""Validates settings that were read, and says of each validation error where it is and what would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from headrace.errors import Invalid

from .base import NAME_PATTERN
from .events import EventSettings, FieldSettings
from .features import KINDS
from .fraud_flow import CURRENCY_PATTERN, BinDeclaration, CrossDeclaration, EntitySettings
from .policy import ListSettings, RuleSettings
from .references import Broken, ModelErrors, errors_of_models, references, validation_errors
from .tables import RunSettings
from .words import message_of, shown

__all__ = ["validate"]

_TABLES: Final[dict[str, type[BaseModel]]] = {
    "entities": EntitySettings,
    "bins": BinDeclaration,
    "crosses": CrossDeclaration,
    "events": EventSettings,
}
_POLICY_TABLES: Final[dict[str, type[BaseModel]]] = {"lists": ListSettings, "rules": RuleSettings}


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
        if section == "events" and len(place) > _FIELD_DEPTH:
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
    known = _known_keys(place[:-1], kind)
    if place[0] == "features" and len(place) > 2:
        del place[2]  # the kind, which pydantic puts there
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append("kind")
    return Invalid("", ".".join(place), message_of(error, known, list(KINDS), _PATTERNS))


def _known_keys(place: Sequence[str], kind: type[RunSettings]) -> list[str]:
    """Keys that the table at this place may have."""
    if not place:
        return list(kind.model_fields)
    section = place[0]
    declaration: type[BaseModel] | None
    if section == "events" and len(place) > _FIELD_DEPTH:
        declaration = FieldSettings
    elif section == "features":
        declaration = KINDS.get(place[2]) if len(place) > 2 else None
    elif section == "policy" and len(place) > 1:
        policy = _model(kind, section)
        declaration = _POLICY_TABLES.get(place[1]) or (_model(policy, place[1]) if policy else None)
    else:
        declaration = _TABLES.get(section) or _model(kind, section)
    return list(declaration.model_fields) if declaration else []


def _model(table: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the table that a key of another table holds, also one that may be left out."""
    field = table.model_fields.get(key)
    annotation = field.annotation if field else None
    for each in get_args(annotation) or (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


_PARAMETER_DEPTH: Final = 3
_FIELD_DEPTH: Final = 3
_PATTERNS: Final = {
    CURRENCY_PATTERN: "three capital letters, as ISO 4217 has them",
    NAME_PATTERN: "lower-case letters, digits and underscores, the first a letter",
}
