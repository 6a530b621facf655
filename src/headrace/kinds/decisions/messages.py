"""Which shard an event of declared decisions belongs to, and the message of a decision on it."""

from __future__ import annotations

from typing import Any, Final

from headrace.config.decision_flow import DecisionFlowSettings, EstimateSettings
from headrace.operators.events.declared import Contract, contract_of
from headrace.operators.events.decode import Undecodable
from headrace.shard.decision_line import decision_id
from headrace.shard.kinds import Route
from headrace.shard.outgoing import DECISION_BYTES_MAX, MessageOf, Outgoing
from headrace.shard.routing import keyed

__all__ = ["decision_bytes_max", "message_of", "route_by_party"]

_QUANTILE_BYTES: Final = 64


def route_by_party(settings: DecisionFlowSettings) -> Route:
    """Route by whom an event is about; what names nobody goes to all shards, and so do commands."""
    shards, contract = settings.flow.shards, contract_of(settings.events)
    return lambda event: _shard_of(event, contract, shards)


def _shard_of(event: Any, contract: Contract, shards: int) -> int | None:
    if isinstance(event, Undecodable):
        return 0
    if event.__class__ not in contract.by_class:
        return None
    party = contract.party(event)
    return None if party is None else keyed(party, shards)


def message_of(settings: DecisionFlowSettings) -> MessageOf:
    """Return what makes messages: the key is whom the event is about."""
    contract = contract_of(settings.events)

    def message(event: Any, line: bytes) -> Outgoing:
        party = contract.party(event)
        key = None if party is None else party.encode()
        return Outgoing(key, decision_id(line), line, event.event_time)

    return message


def decision_bytes_max(settings: DecisionFlowSettings) -> int:
    """Return how long a decision's line may be."""
    quantiles = [
        len(each.quantiles) for each in settings.decisions.values() if isinstance(each, EstimateSettings)
    ]
    return DECISION_BYTES_MAX + _QUANTILE_BYTES * max(quantiles, default=0)
