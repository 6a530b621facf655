"""What is gathered of payments, outcomes and changed decisions while the past is decided again."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from headrace.kinds.fraud.actions import ACTIONS
from headrace.ledger.keys import about_key
from headrace.operators.events.contract import Outcome, Payment

__all__ = [
    "ACTIONS",
    "UNKNOWN",
    "Bools",
    "Columns",
    "Decided",
    "Example",
    "Floats",
    "Ints",
    "Outcomes",
    "Payments",
    "decided_of",
    "example_of",
]

UNKNOWN: Final = -1
_NUMBER_OF: Final = {action: number for number, action in enumerate(ACTIONS)}

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Payments(NamedTuple):
    """Payments that both configurations decided, n of them; each array has the shape (n,).

    Attributes
    ----------
    time_ms
        Event time.
    amount
        Units of the flow's currency.
    customer
        Number of the customer, from 0.
    old_action, new_action
        As numbers of `ACTIONS`; of a configuration in shadow mode, what it would have done.
    old_score, new_score
        0 to 1.
    stopped
        Whether the payment was really blocked then.
    label
        Of the last outcome: 0, 1, or `UNKNOWN`.
    """

    time_ms: Ints
    amount: Floats
    customer: Ints
    old_action: Ints
    new_action: Ints
    old_score: Floats
    new_score: Floats
    stopped: Bools
    label: Ints


class Example(NamedTuple):
    """A payment that the two configurations treat differently, with both decisions."""

    event_id: str
    event_time: int
    customer_id: str
    merchant_id: str
    amount: float
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    label: int | None


class Decided(NamedTuple):
    """One side's decision."""

    action: int
    score: float
    stopped: bool
    line: bytes


def decided_of(line: bytes) -> Decided:
    """Read a decision's line; in shadow mode, the action is what would have been done."""
    said = orjson.loads(line)
    action = said["action"]
    would = said.get("shadow_action") or action
    return Decided(_NUMBER_OF[would], said["score"], action == "block", line)


@dataclass(slots=True)
class Columns:
    """Columns of `Payments` while they grow, 48 bytes a payment."""

    key: array[int] = field(default_factory=lambda: array("Q"))
    time_ms: array[int] = field(default_factory=lambda: array("q"))
    amount: array[float] = field(default_factory=lambda: array("d"))
    customer: array[int] = field(default_factory=lambda: array("I"))
    old_action: array[int] = field(default_factory=lambda: array("b"))
    new_action: array[int] = field(default_factory=lambda: array("b"))
    old_score: array[float] = field(default_factory=lambda: array("d"))
    new_score: array[float] = field(default_factory=lambda: array("d"))
    stopped: array[int] = field(default_factory=lambda: array("b"))
    hidden: array[int] = field(default_factory=lambda: array("b"))

    def add(self, payment: Payment, customer: int, old: Decided, new: Decided, hidden: bool) -> None:
        """Add a payment; its outcome is hidden if the configuration of the time withheld it."""
        self.key.append(about_key(payment.event_id))
        self.time_ms.append(payment.event_time)
        self.amount.append(payment.amount)
        self.customer.append(customer)
        self.old_action.append(old.action)
        self.new_action.append(new.action)
        self.old_score.append(old.score)
        self.new_score.append(new.score)
        self.stopped.append(old.stopped)
        self.hidden.append(hidden)


class Outcomes:
    """Labels by the payment that they are about, in the order in which they came, 17 bytes each."""

    def __init__(self) -> None:
        self._keys, self._labels, self._times = array("Q"), array("b"), array("q")

    def add(self, outcome: Outcome) -> None:
        """Take in one."""
        self._keys.append(about_key(outcome.about))
        self._labels.append(outcome.label)
        self._times.append(outcome.event_time)

    def join(self, keys: NDArray[np.uint64]) -> tuple[Ints, Ints, Bools]:
        """Label of the last outcome and time of the first one for each key, and whether there is any."""
        known = np.array(self._keys, dtype=np.uint64)
        order = np.argsort(known, kind="stable")
        known = known[order]
        labels = np.array(self._labels, dtype=np.int64)[order]
        times = np.array(self._times, dtype=np.int64)[order]
        first = np.searchsorted(known, keys, side="left")
        behind = np.searchsorted(known, keys, side="right")
        there = behind > first
        if not known.size:
            nothing = np.zeros(keys.size, dtype=np.int64)
            return nothing + UNKNOWN, nothing, there
        # The last outcome says how it turned out, and the first one how long that took.
        label = np.where(there, labels[np.maximum(behind - 1, 0)], UNKNOWN)
        return label, times[np.minimum(first, known.size - 1)], there


def example_of(change: tuple[Payment, bytes, bytes], labels: Mapping[str, int]) -> Example:
    """Return a changed decision with the label of its payment, if that is known."""
    payment, old, new = change
    return Example(
        payment.event_id,
        payment.event_time,
        payment.customer_id,
        payment.merchant_id,
        payment.amount,
        orjson.loads(old),
        orjson.loads(new),
        labels.get(payment.event_id),
    )
