"""Messages of slates."""

from __future__ import annotations

from typing import Any, Final

from headrace.config.recommend_flow import RecommendSettings
from headrace.operators.events.contract import Click
from headrace.shard.decision_line import decision_id
from headrace.shard.outgoing import DECISION_BYTES_MAX, Outgoing, decided_on

__all__ = ["slate_bytes_max", "slate_message"]

_ITEM_BYTES_MAX: Final = 1024  # an id of 128 characters, which as JSON may take six bytes each, and the rest


def slate_message(event: Any, line: bytes) -> Outgoing:
    """Return the message of a slate: its key is the click's session."""
    if isinstance(event, Click):
        return Outgoing(event.session_id.encode(), decision_id(line), line, event.event_time)
    return decided_on(event, line)


def slate_bytes_max(settings: RecommendSettings) -> int:
    """Return how long a slate's line may be at most."""
    return DECISION_BYTES_MAX + settings.slate.items_max * _ITEM_BYTES_MAX
