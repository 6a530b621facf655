"""Settings as the same bytes for the same meaning, and settings again from these bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from .flow_kinds import default_kind, settings_of
from .tables import RunSettings

__all__ = ["canonical", "digest", "restore"]

_RENAMED: Final = {
    "kafka": {"watermark_seconds": "output_offsets_seconds"},
    "time": {
        "late_days_max": "allowed_lateness_days",
        "ahead_hours_max": "future_skew_hours_max",
        "ahead_agree_events": "quorum_min",
        "ahead_agree_share": "quorum_share",
        "ahead_alone_events": "quorum_alone_events",
    },
}
"""By table: names that keys had, in what states have recorded, with those that they have now."""


def canonical(settings: RunSettings) -> bytes:
    """Return the settings as JSON, the same bytes for the same meaning.

    Keys are sorted, except the names in tables whose order has a meaning, as the settings' `ordered` says.
    """
    plain = settings.model_dump(mode="json")
    # A flow that declares none has the digest that it had before there were any.
    if not plain["events"]:
        del plain["events"]
    whole = _sorted(plain, "", frozenset(settings.ordered))
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(plain: Any, path: str, ordered: frozenset[str]) -> Any:
    if not isinstance(plain, dict):
        return plain
    under = f"{path}." if path else ""
    # Below a table whose names keep their order, each entry is sorted again: only the names mean something by
    # where they stand.
    keys = plain if path and _named_in(path, ordered) else sorted(plain)
    return {key: _sorted(plain[key], f"{under}{key}", ordered) for key in keys}


def _named_in(path: str, ordered: frozenset[str]) -> bool:
    """Whether a path is among some, in which a star stands for any one name."""
    if path in ordered:
        return True
    parts = path.split(".")
    return len(parts) > 1 and ".".join((parts[0], "*", *parts[2:])) in ordered


def restore(written: bytes) -> RunSettings:
    """Turn what `canonical` gave into settings again, of the flow that they name.

    A key that came later and changes what is decided has the value then that the code had without it.
    """
    read = json.loads(written)
    _rename(read)
    read.get("time", {}).setdefault("quorum_share", 0.0)
    kind = settings_of(read.get("flow", {}).get("kind", default_kind()))
    kind.upgrade(read)
    return kind.model_validate(read)


def _rename(read: dict[str, Any]) -> None:
    """Give the keys that had another name, where a state recorded them, the names that they have now."""
    for name, table in read.items():
        for before, now in _RENAMED.get(name, {}).items():
            if before in table:
                table[now] = table.pop(before)


def digest(settings: RunSettings) -> str:
    """SHA-256 of the canonical form, as hexadecimal digits."""
    return hashlib.sha256(canonical(settings)).hexdigest()
