"""Messages of decisions on payments."""

from __future__ import annotations

from typing import Any

from headrace.operators.events.contract import FRAUD_ID, Payment
from headrace.shard.outgoing import Outgoing, decided_on

__all__ = ["payment_message"]


def payment_message(event: Any, line: bytes) -> Outgoing:
    """Return the message of a decision: its key is the payment's customer."""
    if event.__class__ is Payment:  # as all are: neither calls nor reading the line
        return Outgoing(event.customer_id.encode(), FRAUD_ID + event.event_id, line, event.event_time)
    return decided_on(event, line)
