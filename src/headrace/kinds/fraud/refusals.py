"""Which decoded events the flow that decides on payments refuses."""

from __future__ import annotations

from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Event, Payment
from headrace.operators.events.decode import Undecodable
from headrace.shard.kinds import Refusals

__all__ = ["other_currency", "refusals"]


def other_currency(payment: Payment, currency: str) -> Undecodable:
    """Say that a payment is in another currency than the flow decides in."""
    message = f"currency: this flow decides in {currency}, not {payment.currency!r}"
    return Undecodable("other_currency", message, "currency")


def refusals(settings: FraudSettings) -> Refusals:
    """Tell payments in another currency."""
    currency = settings.flow.currency

    def refusal(event: Event) -> Undecodable | None:
        if isinstance(event, Payment) and event.currency != currency:
            return other_currency(event, currency)
        return None

    return refusal
