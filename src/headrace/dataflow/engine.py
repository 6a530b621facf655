"""Starts the engine that a flow runs on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from bytewax.testing import cluster_main

__all__ = ["run_alone", "run_as_member"]


def run_alone(flow: Dataflow) -> None:
    """Run a flow in this process until its sources are at their end."""
    cli_main(flow)  # type: ignore[no-untyped-call]  # Bytewax leaves it without types


def run_as_member(flow: Dataflow, addresses: Sequence[str], index: int, *, epoch: timedelta) -> None:
    """Run this process's part of a flow that several processes share.

    Parameters
    ----------
    flow
        The same one in each.
    addresses
        Of all processes, each as HOST:PORT.
    index
        Of this one among them.
    epoch
        How long an epoch lasts.
    """
    cluster_main(flow, list(addresses), index, epoch_interval=epoch)  # type: ignore[no-untyped-call]
