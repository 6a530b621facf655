"""Removes a customer from a shard's memory."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.config.features import DistinctDeclaration
from headrace.config.fraud_flow import FraudSettings
from headrace.operators.decisions.pending import EarlyOutcomes, Pending
from headrace.operators.features import FeatureSet
from headrace.shard.commands import Erase
from headrace.shard.deduplication import IdMemory

__all__ = ["forget"]


def forget(
    erase: Erase,
    settings: FraudSettings,
    features: FeatureSet,
    pending: Pending,
    early: EarlyOutcomes,
    ids: Mapping[str, IdMemory],
) -> Mapping[str, None]:
    """Forget a customer's entities, decisions, outcomes and ids.

    What the customer's payments did to others stays: a merchant's counts, overall means, the model's weights.
    The result depends on the state and the command alone.

    Returns
    -------
    Mapping[str, None]
        Ids of the payments that were forgotten, in a fixed order: those that the command names, and, if it
        says so, those that are found by the customer's row.
    """
    payments = dict.fromkeys(erase.events.get("payment", ()))
    for number, (name, entity) in enumerate(settings.entities.items()):
        table = features.tables[name]
        row = table.index.get(erase.customer_id) if entity.key == "customer_id" else None
        if row is not None and erase.by_row:
            payments |= dict.fromkeys(pending.ids_of(number, row, int(table.created.values[row])))
        for key in erase.keys.get(entity.key, ()):
            table.forget(key)
    _forget_distinct(erase, settings, features)
    pending.forget(payments)
    early.forget(payments | dict.fromkeys(erase.about))
    for kind, memory in ids.items():
        memory.forget(payments if kind == "payment" else dict.fromkeys(erase.events.get(kind, ())))
    return payments


def _forget_distinct(erase: Erase, settings: FraudSettings, features: FeatureSet) -> None:
    """Take the values out of what other entities count as different values."""
    for name, table in features.tables.items():
        declared = [
            each
            for each in settings.features.values()
            if isinstance(each, DistinctDeclaration) and each.entity == name
        ]
        for declaration, column in zip(declared, table.distinct, strict=True):
            gone = erase.keys.get(declaration.value, ())
            for seen in filter(None, column) if gone else ():
                for key in gone:
                    seen.pop(key, None)
