"""Which event types were in force, as a journal's notes say."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

from headrace.config.canonical import restore
from headrace.journal.records import Kind, Record
from headrace.operators.events.declared import Contract, contract_of

__all__ = ["contract_of_settings", "noted_contract"]

_CONTRACTS_KEPT: Final = 16


@lru_cache(maxsize=_CONTRACTS_KEPT)
def contract_of_settings(written: bytes) -> Contract:
    """Return the contract of settings in their canonical form."""
    return contract_of(restore(written).events)


def noted_contract(record: Record) -> Contract | None:
    """Return the contract of the configuration that a record notes; None where it notes none."""
    if record.kind != Kind.CONTROL or record.erased:
        return None
    written = orjson.loads(record.input).get("settings")
    return None if written is None else contract_of_settings(written.encode())
