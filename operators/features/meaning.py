"""What columns of features mean, and whether those of a state mean the same under other declarations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from ...config.event_reading import EventField, known_values

__all__ = ["meaning_differences", "meaning_of", "starting_anew"]


def meaning_of(
    entities: Mapping[str, Any],
    features: Mapping[str, Any],
    types: Mapping[str, Mapping[str, EventField]],
    tables: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the meaning of columns depends on, as plain values.

    Parameters
    ----------
    entities, features
        The declarations.
    types
        Fields of each event type, by name.
    tables
        Tables that features look up, each with `holds`.
    """
    return {
        "entities": {name: _key_of(each) for name, each in entities.items()},
        "features": {name: _declared(each, types, tables) for name, each in features.items()},
        "computed_from": {
            name: sorted({of for of in each.numbers if of in features and of != name})
            for name, each in features.items()
        },
    }


def _key_of(entity: Any) -> dict[str, list[str]]:
    """Return an entity's key by event type, under the empty name where it is the same of all."""
    by_type = entity.keys_by_type
    if by_type is None:
        return {"": list(entity.fields_of(""))}
    return {name: list(fields) for name, fields in sorted(by_type.items())}


def _declared(
    declaration: Any, types: Mapping[str, Mapping[str, EventField]], tables: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a feature's declaration, with what its field or its table says of it."""
    dump: dict[str, Any] = declaration.model_dump(mode="json")
    if declaration.kind == "category" and declaration.values is None:
        dump["values"] = list(known_values(declaration.value, types) or ()) or None
    if declaration.kind == "lookup":
        dump["holds"] = tables[declaration.table].holds if declaration.table in tables else None
    return dump


def starting_anew(now: Mapping[str, Any], restart: Collection[str]) -> set[str]:
    """Return features that start anew: named, of an entity that is named, or computed from one that does."""
    anew: set[str] = set()
    for name, declared in now["features"].items():  # those that one is computed from come before it
        if name in restart or declared.get("entity") in restart or anew & {*now["computed_from"][name]}:
            anew.add(name)
    return anew


def meaning_differences(
    saved: Mapping[str, Any], now: Mapping[str, Any], restart: Collection[str] = ()
) -> list[str]:
    """Say of what both have which means something else now.

    Parameters
    ----------
    saved, now
        As `meaning_of` gives them.
    restart
        Features and entities that start anew: of these, and of what is computed from them, nothing is said.
    """
    return [*_key_differences(saved, now, restart), *_differences(saved, now, starting_anew(now, restart))]


def _key_differences(
    saved: Mapping[str, Any], now: Mapping[str, Any], restart: Collection[str]
) -> Iterator[str]:
    """Yield what changed of what names entities."""
    then = saved["entities"]
    for name, key in now["entities"].items():
        if then.get(name, key) != key and name not in restart:
            yield _differs(f"entities.{name}.key", _shown(then[name]), _shown(key))


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], anew: Collection[str]) -> Iterator[str]:
    """Yield what changed of features, but of those that start anew."""
    changed: set[str] = set()
    for name, dump in now["features"].items():
        then = saved["features"].get(name)
        if then is None or name in anew:
            continue
        for key in dict.fromkeys((*then, *dump)):
            if then.get(key) != dump.get(key):
                changed.add(name)
                yield _differs(f"features.{name}.{key}", then.get(key), dump.get(key))
        # The same declaration means something else once a name in it stands for a feature instead of a field.
        of_then, of_now = saved["computed_from"][name], now["computed_from"][name]
        if name not in changed and of_then != of_now:
            changed.add(name)
            before, after = (", ".join(of) or "fields alone" for of in (of_then, of_now))
            yield f"features.{name}: the state computes it from {before}, the configuration from {after}"
        for each in of_now if name not in changed else ():
            if each in changed:
                changed.add(name)
                yield f"features.{name}: is computed from {each}, which changed"
                break


def _differs(path: str, then: Any, now: Any) -> str:
    said = ("nothing" if each is None else msgspec.json.encode(each).decode() for each in (then, now))
    return "{}: the state has {}, the configuration {}".format(path, *said)


def _shown(key: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{of}: {'+'.join(fields)}" if of else "+".join(fields) for of, fields in key.items())
