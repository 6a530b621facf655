"""Settings as the same bytes for the same meaning, and settings again from these bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from .flow_kinds import FLOWS, SETTINGS
from .fraud_flow import FraudSettings
from .tables import RunSettings

__all__ = ["canonical", "digest", "restore"]

# The order in which these are declared has a meaning: references go back, and slots are numbered.
_ORDERED: Final[tuple[str, ...]] = ("entities", "features", "bins", "crosses")
# The first list that an event is on counts, and the first rule that it meets.
_ORDERED_IN_POLICY: Final = ("lists", "rules")
_RENAMED: Final = {
    "crosses": {"told_when": "report_if"},
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

    Keys are sorted, except the names of entities, features, bins, crosses, and of the policy's lists and
    rules, whose order has a meaning.
    """
    plain = settings.model_dump(mode="json")
    if not plain[
        "events"
    ]:  # so that a flow which declares none has the digest that it had before there were any
        del plain["events"]
    ordered = {key: _in_order(plain[key]) for key in _ORDERED if key in plain}
    policy = plain["policy"]
    kept = {key: _in_order(policy[key]) for key in _ORDERED_IN_POLICY if key in policy}
    ordered["policy"] = {key: kept.get(key) or _sorted(policy[key]) for key in sorted(policy)}
    whole = {key: ordered.get(key) or _sorted(plain[key]) for key in sorted(plain)}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _in_order(declared: dict[str, Any]) -> dict[str, Any]:
    return {name: _sorted(entry) for name, entry in declared.items()}


def _sorted(plain: Any) -> Any:
    return {key: _sorted(plain[key]) for key in sorted(plain)} if isinstance(plain, dict) else plain


def restore(written: bytes) -> RunSettings:
    """Turn what `canonical` gave into settings again, of the flow that they name.

    A key that came later and changes what is decided has the value then that the code had without it.
    """
    read = json.loads(written)
    _rename(read)
    if "list" in read:  # the table's name before
        read["slate"] = read.pop("list")
    read.get("time", {}).setdefault("quorum_share", 0.0)
    kind = read.get("flow", {}).get("kind", FLOWS[0])
    return SETTINGS.get(kind, FraudSettings).model_validate(read)


def _rename(read: dict[str, Any]) -> None:
    """Give the keys that had another name, where a state recorded them, the names that they have now."""
    crosses = [("crosses", cross) for cross in read.get("crosses", {}).values()]
    for name, table in [*crosses, *read.items()]:
        for before, now in _RENAMED.get(name, {}).items():
            if before in table:
                table[now] = table.pop(before)


def digest(settings: RunSettings) -> str:
    """SHA-256 of the canonical form, as hexadecimal digits."""
    return hashlib.sha256(canonical(settings)).hexdigest()
