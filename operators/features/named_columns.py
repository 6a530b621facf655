"""Columns that are saved by the names of what they belong to, so that declarations may come and go."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .entities import Column

if TYPE_CHECKING:
    from .event_features import EventFeatures

__all__ = ["Changes", "FeaturesChanged", "load_features", "save_features"]

_DECLARED, _PRIORS, _TABLES, _HEAD = "declared", "priors", "tables", "head"
_OWN = ("last_seen", "created")
_DISTINCT = "distinct"


class Changes(NamedTuple):
    """What became of features when a state was loaded that was saved with others.

    Attributes
    ----------
    added
        Those that the state didn't have; they start empty.
    removed
        Those that are declared no more; what the state had of them is dropped.
    restarted
        Those that were to start anew, with what is computed from them.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    restarted: tuple[str, ...]


class FeaturesChanged(ValueError):
    """A state was saved with other declarations of some features.

    Attributes
    ----------
    differences
        One line for each.
    """

    def __init__(self, differences: Iterable[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("; ".join(self.differences))


def save_features(features: EventFeatures) -> dict[str, bytes | array[int] | array[float]]:
    """Return the state as named blobs; columns are given as they are, without a copy."""
    blobs: dict[str, bytes | array[int] | array[float]] = {}
    for name, table in features.tables.items():
        blobs[f"{name}/{_HEAD}"] = table.save_head()
        blobs |= {f"{name}/{part}": column.values for part, column in _columns(features, name).items()}
        for owner, mappings in features.lines.distinct[name].items():
            blobs[f"{name}/{owner}/{_DISTINCT}"] = msgspec.msgpack.encode(mappings)
    encode = msgspec.msgpack.encode
    blobs[_DECLARED] = encode(_declared(features))
    blobs[_PRIORS] = encode({name: list(column) for name, column in features.prior_of.items()})
    tables = {name: (table.entries, table.digest) for name, table in features.lookup_tables.items()}
    blobs[_TABLES] = encode(tables)
    return blobs


def _columns(features: EventFeatures, entity: str) -> dict[str, Column]:
    """All columns of an entity's table, by name."""
    table = features.tables[entity]
    return {
        **dict(zip(_OWN, (table.last_seen, table.created), strict=True)),
        **features.lines.columns[entity],
    }


def _declared(features: EventFeatures) -> dict[str, Any]:
    """Return what the meaning of columns depends on."""
    return {
        "entities": {name: _key_of(each) for name, each in features.entities.items()},
        "features": {name: _meaning(features, name) for name in features.features},
        "computed_from": {name: sorted(_computed_from(features, name)) for name in features.features},
    }


def _meaning(features: EventFeatures, name: str) -> dict[str, Any]:
    """Return a feature's declaration, with the values of a category also where its field tells them."""
    dump: dict[str, Any] = features.features[name].model_dump(mode="json")
    if name in features.lines.vocabularies:
        dump["values"] = list(features.lines.vocabularies[name])
    return dump


def _key_of(settings: Any) -> dict[str, list[str]]:
    """Return an entity's key by event type, under the empty name where it is the same of all."""
    by_type = settings.keys_by_type
    if by_type is None:
        return {"": list(settings.fields_of(""))}
    return {name: list(fields) for name, fields in sorted(by_type.items())}


def _computed_from(features: EventFeatures, name: str) -> set[str]:
    """Features that one is computed from."""
    return {each for each in features.features[name].numbers if each in features.features and each != name}


def load_features(
    features: EventFeatures, blobs: Mapping[str, bytes], restart: Collection[str] = ()
) -> Changes:
    """Take over a state that `save_features` gave, perhaps with other declarations.

    Parameters
    ----------
    features
        As they are declared now.
    blobs
        The state.
    restart
        Features and entities that start anew, with what is computed from them.

    Raises
    ------
    FeaturesChanged
        If features or entities changed that aren't in `restart`; then nothing is loaded.
    ValueError
        If a column isn't as long as its table.
    """
    saved, now = msgspec.msgpack.decode(blobs[_DECLARED]), _declared(features)
    # All differences are found before anything is taken over: where a state is refused, nothing has changed.
    anew = _anew(features, restart)
    differences = [*_key_differences(saved, now, restart), *_differences(saved, now, anew)]
    if differences:
        raise FeaturesChanged(differences)
    kept_entities = [name for name in features.entities if name in saved["entities"] and name not in restart]
    owners_anew = {owner for name in anew for owner in features.lines.owners[name]}
    for name in kept_entities:
        _load_entity(features, name, blobs, owners_anew)
    for name, column in msgspec.msgpack.decode(blobs[_PRIORS], type=dict[str, list[float]]).items():
        if name in features.prior_of and name not in anew:
            # In place, here and below: generated functions hold these objects.
            features.prior_of[name][:] = array("d", column)
    for name, (entries, digest) in msgspec.msgpack.decode(blobs[_TABLES]).items():
        if name in features.lookup_tables and digest:
            features.lookup_tables[name].replace(entries, digest)
    return Changes(
        tuple(name for name in now["features"] if name not in saved["features"]),
        tuple(name for name in saved["features"] if name not in now["features"]),
        tuple(name for name in features.features if name in anew and name in saved["features"]),
    )


def _anew(features: EventFeatures, restart: Collection[str]) -> set[str]:
    """Features that start anew: named, of an entity that is named, or computed from one that does."""
    anew: set[str] = set()
    for name, declaration in features.features.items():  # those that one is computed from come before it
        of = getattr(declaration, "entity", None)
        if name in restart or of in restart or _computed_from(features, name) & anew:
            anew.add(name)
    return anew


def _key_differences(
    saved: Mapping[str, Any], now: Mapping[str, Any], restart: Collection[str]
) -> Iterable[str]:
    """Yield what changed of what names entities."""
    then = saved["entities"]
    for name, key in now["entities"].items():
        if then.get(name, key) != key and name not in restart:
            yield f"entities.{name}.key: was {_shown(then[name])}, is {_shown(key)}"


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], anew: Collection[str]) -> Iterable[str]:
    """Yield what changed of features, but of those that start anew."""
    changed: set[str] = set()
    for name, dump in now["features"].items():
        then = saved["features"].get(name)
        if then is None or name in anew:
            continue
        for key in dict.fromkeys((*then, *dump)):
            if then.get(key) != dump.get(key):
                changed.add(name)
                yield f"features.{name}.{key}: was {then.get(key)!r}, is {dump.get(key)!r}"
        # The same declaration means something else once a name in it stands for a feature instead of a field.
        of_then, of_now = saved["computed_from"][name], now["computed_from"][name]
        if name not in changed and of_then != of_now:
            changed.add(name)
            before, after = (", ".join(of) or "fields alone" for of in (of_then, of_now))
            yield f"features.{name}: was computed from {before}, is computed from {after}"
        for each in of_now if name not in changed else ():
            if each in changed:
                changed.add(name)
                yield f"features.{name}: is computed from {each}, which changed"
                break


def _shown(key: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{of}: {'+'.join(fields)}" if of else "+".join(fields) for of, fields in key.items())


def _load_entity(
    features: EventFeatures, name: str, blobs: Mapping[str, bytes], owners_anew: Collection[str]
) -> None:
    """Take over an entity's table, with those columns that it goes on with."""
    columns = _columns(features, name)
    kept = {
        part: blobs[f"{name}/{part}"]
        for part in columns
        if f"{name}/{part}" in blobs and part.partition("/")[0] not in owners_anew
    }
    table = features.tables[name]
    table.load_columns(blobs[f"{name}/{_HEAD}"], columns, kept)
    for owner, mappings in features.lines.distinct[name].items():
        blob = blobs.get(f"{name}/{owner}/{_DISTINCT}")
        if blob is not None and owner not in owners_anew:
            mappings[:] = msgspec.msgpack.decode(blob, type=list[dict[str, int] | None])
