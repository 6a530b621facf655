"""Columns that are saved by the names of what they belong to, so that declarations may come and go."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .entities import Column
from .meaning import meaning_differences, meaning_of, starting_anew

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
    blobs[_DECLARED] = encode(_meaning(features))
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


def _meaning(features: EventFeatures) -> dict[str, Any]:
    """Return what the meaning of columns depends on."""
    return meaning_of(features.entities, features.features, features.types, features.lookup_tables)


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
    saved, now = msgspec.msgpack.decode(blobs[_DECLARED]), _meaning(features)
    anew = starting_anew(now, restart)
    # All differences are found before anything is taken over: where a state is refused, nothing has changed.
    differences = meaning_differences(saved, now, restart)
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
