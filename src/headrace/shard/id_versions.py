"""Under which versions of the contract the digests of remembered ids were made.

When a field is declared that events had all along, the digest of such an event becomes another one. So that
it is still known when it comes again, an id remembers which version of its type's contract its digest was
made by, and what comes again is digested under that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headrace.operators.events.declared import of_declared
from headrace.operators.events.decode import Undecodable
from headrace.shard.deduplication import VERSIONS_MAX, IdMemory, Known

__all__ = ["IdVersions"]

_UNKNOWN: Final = VERSIONS_MAX - 1
"""Number of versions that are no longer known: there were too many at once."""
_BUILT_IN: Final = ""


class IdVersions:
    """The versions that ids of one event type have."""

    def __init__(self) -> None:
        self._declared: dict[int, str] = {0: _BUILT_IN}

    def number(self, declared: str, memory: IdMemory) -> int:
        """Return the number of a version, a new one where it has none.

        Parameters
        ----------
        declared
            What the type's digests depend on; see `Contract.declared`.
        memory
            The type's ids. Where all numbers are taken, those are given back that no id has any more; where
            each is in use, ids of the oldest version are taken for duplicates from then on, whatever comes.
        """
        for number, known in self._declared.items():
            if known == declared:
                return number
        if len(self._declared) >= _UNKNOWN:
            self._give_back(memory)
        number = next(each for each in range(1, _UNKNOWN) if each not in self._declared)
        self._declared[number] = declared
        return number

    def _give_back(self, memory: IdMemory) -> None:
        used = memory.versions()
        free = [number for number in self._declared if number and number not in used]
        if not free:  # more changes than numbers within the days that ids are remembered for
            oldest = next(number for number in self._declared if number)
            memory.give_version(oldest, _UNKNOWN)
            free = [oldest]
        for number in free:
            del self._declared[number]

    def same(self, memory: IdMemory, event_id: str, payload: bytes, name: str) -> bool:
        """Whether an event that comes again is the same as one that was digested under another version.

        Parameters
        ----------
        memory
            It has the id.
        event_id, payload, name
            Of what comes again: its id, its line, and its type.
        """
        version = memory.version_of(event_id)
        if version == memory.version:
            return False
        # A duplicate that is taken for a conflict would be told to a person; one that is taken for new
        # would change what is decided. So what can't be compared any more is a duplicate.
        declared = self._declared.get(version)
        if declared is None:
            return True
        then = of_declared(name, declared)
        event = then.decode_one(payload, len(payload))
        if isinstance(event, Undecodable):
            return False
        return memory.known(event_id, then.digest(event)) is Known.DUPLICATE

    def save(self) -> dict[int, str]:
        """Return what is known, in the order in which it came."""
        return dict(self._declared)

    def load(self, saved: Mapping[Any, str]) -> None:
        """Take over what `save` gave."""
        self._declared = {int(number): declared for number, declared in saved.items()}

    @property
    def plain(self) -> bool:
        """Whether there never was a version with own fields, as far as it is known."""
        return list(self._declared) == [0]
