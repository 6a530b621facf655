"""Removes a customer from a shard's memory."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.operators.decisions.decision import Decision
from headrace.operators.features import EventFeatures
from headrace.shard.commands import Erase
from headrace.shard.deduplication import IdMemory

__all__ = ["forget"]


def forget(
    erase: Erase,
    settings: DecisionFlowSettings,
    features: EventFeatures,
    decisions: Mapping[str, Decision],
    ids: Mapping[str, IdMemory],
) -> Mapping[str, Mapping[str, None]]:
    """Forget a customer's entities, decisions, what was told of them, and ids.

    What the customer's events did to others stays: a merchant's counts, overall means, the models' weights.
    The result depends on the state and the command alone.

    Returns
    -------
    Mapping[str, Mapping[str, None]]
        Ids of the events that were forgotten, by type, in a fixed order: those that the command names,
        and, if it says so, those that are found by the customer's rows.
    """
    gone = {kind: dict.fromkeys(events) for kind, events in erase.events.items()}
    # Before the entities are forgotten: their rows say which decisions wait for them.
    for number, name in enumerate(settings.entities):
        for row, created in features.rows_of(name, erase.keys):
            for decision in decisions.values() if erase.by_row else ():
                found = decision.waiting.ids_of(number, row, created)
                gone.setdefault(decision.settings.on, {}).update(dict.fromkeys(found))
    features.forget(erase.keys)
    keys = {value: None for values in erase.keys.values() for value in values} | dict.fromkeys(erase.about)
    for decision in decisions.values():
        events = gone.get(decision.settings.on, {})
        decision.forget(events, keys | events)
    for kind, memory in ids.items():
        memory.forget(gone.get(kind, {}))
    return gone
