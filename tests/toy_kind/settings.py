"""Settings of the toy: will an order be sent back, and is it to be wrapped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.config.base import Settings
from headrace.config.tables import FlowTable, RunSettings


class ReturnsFlow(FlowTable):
    """What is decided."""

    kind: Literal["returns"] = "returns"


class ChecksTable(Settings):
    """When an order is looked at before it is shipped.

    Attributes
    ----------
    check_at
        From this probability on that it comes back.
    wrap_every
        Every so many orders of a customer are wrapped.
    pending_max
        Orders that wait for their outcome.
    """

    check_at: float = Field(default=0.5, ge=0.0, le=1.0)
    wrap_every: int = Field(default=3, ge=1, le=1000)
    pending_max: int = Field(default=10_000, ge=1, le=1_000_000)


class ReturnsSettings(RunSettings):
    """All settings of the flow."""

    flow: ReturnsFlow = ReturnsFlow()
    checks: ChecksTable = ChecksTable()
