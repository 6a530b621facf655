"""What state machines do with an input before it means anything: tell duplicates, refuse what is no use."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from msgspec.structs import replace

from headrace.config.tables import RunSettings
from headrace.journal.records import Kind
from headrace.operators.events.contract import DeadLetter, Event
from headrace.operators.events.declared import BUILT_IN, Contract, contract_of
from headrace.operators.events.decode import NO_VALUE, Undecodable, base64_text, canonical_digest, unexpected
from headrace.operators.events.oversized import CutLine, encode_dead_letter
from headrace.shard.clock import EventClock
from headrace.shard.commands import REFUSED, Command, Erase, KillSwitch, ReloadList, Retry, SetClock
from headrace.shard.deduplication import IdMemory, Known
from headrace.shard.id_versions import IdVersions
from headrace.shard.machine import Output, Position

__all__ = ["DAY_MS", "HOUR_MS", "MachineBase", "under", "version_of"]

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
_NOTHING: Final = b""
_APPLIED: Final = (int(Kind.APPLIED), _NOTHING, _NOTHING)
_ABSENT: Final = (int(Kind.ABSENT), _NOTHING, _NOTHING)
_DUPLICATE: Final = (int(Kind.DUPLICATE), _NOTHING, _NOTHING)


class MachineBase:
    """The part of a state machine that all flows share.

    Parameters
    ----------
    counted
        What is counted from the beginning, at 0.

    Attributes
    ----------
    counts : dict[str, int]
        A plain dictionary, as a Counter is slower. `dead_` and `reason_` with a code come beside.
    contract : Contract
        The event types in force.
    """

    def __init__(self, counted: Iterable[str]) -> None:
        self.number = 0
        self._uncounted = dict.fromkeys(counted, 0)
        self.counts: dict[str, int] = self._uncounted.copy()
        self.source_names: Mapping[int, str] = {}
        self.clock = EventClock(0, 0, 1)
        self.contract: Contract = BUILT_IN
        self.ids = {name: IdMemory(1, 0) for name in BUILT_IN.types}
        # By class, which is at hand for each event; its tag isn't.
        self._ids_by_class = {cls: self.ids[of.name] for cls, of in BUILT_IN.by_class.items()}
        self._id_versions: dict[str, IdVersions] = {}
        self._id_limits = (1, 0)

    @property
    def compiled(self) -> bool:
        """Whether it decides in machine code; one that doesn't say so has plain Python only."""
        return False

    @property
    def several(self) -> bool:
        """Whether an input may lead to several decisions; one that doesn't say so gives one line at most."""
        return False

    def take_compiled(self) -> None:
        """Go on in machine code where that is there by now."""

    def _configure_base(self, settings: RunSettings) -> None:
        time, ids = settings.time, settings.ids
        self.contract = contract_of(settings.events)
        self.clock.configure(
            round(time.allowed_lateness_days * DAY_MS),
            round(time.future_skew_hours_max * HOUR_MS),
            time.quorum_min,
            time.quorum_alone_events,
            time.quorum_share,
        )
        self._id_limits = ids.memory_max, round(ids.memory_days_max * DAY_MS)
        for name in self.contract.types:
            self.ids.setdefault(name, IdMemory(*self._id_limits))
        for memory in self.ids.values():
            memory.configure(*self._id_limits)
        self._forget_types()
        self._give_versions()

    def _forget_types(self) -> None:
        """Drop the ids of types that aren't declared any more, once none would be remembered."""
        # Not at once: a type that is taken out by mistake, or for an hour, must not let its events in twice.
        for name in [name for name in self.ids if name not in self.contract.types]:
            if self.ids[name].outlived(self.clock.now):
                del self.ids[name]
                self._id_versions.pop(name, None)

    def _give_versions(self) -> None:
        """Let new ids have the version that the contract gives their type."""
        for name, event_type in self.contract.types.items():
            memory = self.ids[name]
            if event_type.declared or name in self._id_versions:
                versions = self._id_versions.setdefault(name, IdVersions())
                memory.version = versions.number(event_type.declared, memory)
        self._ids_by_class = {cls: self.ids[of.name] for cls, of in self.contract.by_class.items()}

    def _dead(self, why: Undecodable, payload: bytes, position: Position) -> Output:
        if why is NO_VALUE:
            self._count("tombstones")
            return _ABSENT
        self._count(f"dead_{why.reason}")
        source, offset, line = position
        letter = DeadLetter(
            reason=why.reason,
            message=why.message,
            field=why.field,
            source=self.source_names.get(source, ""),
            offset=offset,
            line=line,
            payload_base64=base64_text(payload),
        )
        if isinstance(payload, CutLine):
            letter = replace(
                letter, payload_bytes=payload.whole_bytes, payload_sha256=payload.whole_sha256.hex()
            )
        return (int(Kind.DEAD), encode_dead_letter(letter), _NOTHING)

    def _raised(self, error: Exception, payload: bytes, position: Position) -> Output:
        """Return the dead letter of an input with which something was raised; the state is as it was before.

        Raises
        ------
        MemoryError
            Which says nothing of the input.
        """
        # No property of the input: after a restart with more memory it is decided, so it must not become a
        # dead letter.
        if isinstance(error, MemoryError):
            raise error
        return self._dead(unexpected(error), payload, position)

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _set_clock(self, to_ms: int) -> None:
        """Put the clock to a time, at an operator's command; before the first event there is none to put."""
        if not self.clock.now:
            return
        if to_ms < self.clock.now:
            # Values stamped later than the clock would be read from the future until it has caught up with
            # them.
            dropped = self._put_back(to_ms)
            self.counts["values_put_back"] = self.counts.get("values_put_back", 0) + dropped
        self._count("clock_set")
        self.clock.set(to_ms)

    def _put_back(self, to_ms: int) -> int:
        """Drop what the state holds of the time after `to_ms`, and count it."""
        raise NotImplementedError

    def _digest_if_new(
        self, memory: IdMemory, event: Event, payload: bytes, position: Position
    ) -> int | Output:
        """Return the digest of an event that is new, or else what comes of it."""
        try:
            digest = canonical_digest(event)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing has changed
            return self._raised(error, payload, position)
        if event.event_id in memory.ids:
            known = self._known(memory, event, digest, payload, position)
            if known is not None:
                return known
        return digest

    def _known(
        self, memory: IdMemory, event: Event, digest: int, payload: bytes, position: Position
    ) -> Output | None:
        known = memory.known(event.event_id, digest)
        if known is Known.NEW:
            return None
        if known is Known.DUPLICATE or self._known_then(memory, event, payload):
            self._count("repeats")
            return _DUPLICATE
        message = f"event_id: {event.event_id!r} came before with other content"
        return self._dead(Undecodable("id_conflict", message, "event_id"), payload, position)

    def _known_then(self, memory: IdMemory, event: Event, payload: bytes) -> bool:
        """Whether an event is a duplicate under the contract that was in force when it came first."""
        name = self.contract.by_class[event.__class__].name
        versions = self._id_versions.get(name)
        return versions is not None and versions.same(memory, event.event_id, payload, name)

    # -- commands

    def command(self, command: Command, payload: bytes, position: Position) -> Output:
        """Carry out a command; one that is refused is a dead letter, and has changed nothing."""
        assert not isinstance(command, Retry), "what is tried once more comes as an input"
        if isinstance(command, Erase):
            self._erase(command)
        elif isinstance(command, SetClock):
            self._set_clock(command.to_ms)
            # What had waited for the clock to be followed there may be taken in now.
            self._settle_ahead()
        else:
            try:
                self._policy_command(command)
            except ValueError as error:
                return self._dead(Undecodable(REFUSED, str(error), None), payload, position)
            except Exception as error:  # noqa: BLE001  # the policy is as it was
                return self._raised(error, payload, position)
        self._count("commands")
        return _APPLIED

    def _policy_command(self, command: KillSwitch | ReloadList) -> None:
        """Switch to the action for emergencies or back, or put another content into a list.

        Raises
        ------
        ValueError
            If it is refused.
        """
        raise NotImplementedError

    def _erase(self, command: Erase) -> None:
        """Forget a person."""
        raise NotImplementedError

    def _settle_ahead(self) -> None:
        """Take in what came ahead of the clock, as far as the clock has followed; forget the rest."""

    # -- the state as a whole

    def _base_head(self) -> dict[str, Any]:
        """Return the small part of what is saved."""
        head = {
            "number": self.number,
            "counts": dict(sorted(self.counts.items())),
            "clock": self.clock.save(),
        }
        if self._id_versions:
            head["id_versions"] = {name: each.save() for name, each in sorted(self._id_versions.items())}
        return head

    def _saved_ids(self) -> dict[str, bytes | array[int] | array[float]]:
        return {f"ids/{name}": memory.save() for name, memory in self.ids.items()}

    def _load_base(self, head: Mapping[str, Any], blobs: Mapping[str, bytes]) -> None:
        self.number = head["number"]
        counts = self._uncounted | head["counts"]
        self.counts.clear()  # parts of the machine hold it
        self.counts.update(counts)
        self.clock.load(head["clock"])
        # States of before there were own fields have no versions: all their ids are of built-in types.
        for name, saved in head.get("id_versions", {}).items():
            self._id_versions.setdefault(name, IdVersions()).load(saved)
        for name, blob in under("ids/", blobs).items():
            self.ids.setdefault(name, IdMemory(*self._id_limits)).load(blob)
        self._give_versions()


def version_of(name: str, configured: Any) -> str:
    """Return a model's name with a digest of what it was configured with, as decisions have it."""
    digest = hashlib.sha256(orjson.dumps(configured, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{name}:{digest[:8]}"


def under(prefix: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the blobs of a part of the state, by their names in it."""
    return {name.removeprefix(prefix): blob for name, blob in blobs.items() if name.startswith(prefix)}
