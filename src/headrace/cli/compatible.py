"""Says what a change of a flow breaks, for `check --compatible-with`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.cli.terminal import echo
from headrace.errors import Incompatible

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.operators.events.compatibility import Change

__all__ = ["changes", "tell"]


def tell(before: RunSettings, now: RunSettings, name: str) -> None:
    """Say what is other than it was, and for whom.

    Parameters
    ----------
    before, now
        The settings that others rely on, and those that are to hold.
    name
        What the former are called.

    Raises
    ------
    Incompatible
        If some of it breaks what they rely on.
    """
    found = sorted(
        set(changes(before, now)), key=lambda change: (not change.breaks, change.whom, change.what)
    )
    broken = [change for change in found if change.breaks]
    echo(f"\nagainst {name}: {_counted(len(found), 'change')}, of which {_counted(len(broken), 'break')}")
    for change in found:
        echo(f"  {'breaks' if change.breaks else 'changes':<8} {change.whom:<9}  {change.what}")
    if broken:
        raise Incompatible(
            f"{_counted(len(broken), 'change')} would break what consumers or senders of {name} rely on"
        )


def _counted(number: int, what: str) -> str:
    """Return how many there are: `1 change`, `2 changes`; of what they do `1 breaks`, `2 break`."""
    if what == "break":
        return f"{number} breaks" if number == 1 else f"{number} break"
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def changes(before: RunSettings, now: RunSettings) -> Iterator[Change]:
    """Yield what of a flow's contract, decisions, reasons and messages is other than it was."""
    from headrace.operators.events.compatibility import of_decisions, of_events, of_reasons
    from headrace.operators.events.declared import contract_of
    from headrace.shard.kinds import kind_of

    was, is_now = kind_of(before), kind_of(now)
    yield from of_decisions(was.decision_schemas(before), is_now.decision_schemas(now))
    yield from of_reasons(was.reason_codes(before), is_now.reason_codes(now))
    yield from of_events(contract_of(before.events).types, contract_of(now.events).types)
    yield from _of_messages(before, now)


def _of_messages(before: RunSettings, now: RunSettings) -> Iterator[Change]:
    """Yield what is other in headers of messages, by which consumers may route and filter."""
    from headrace.operators.events.compatibility import CONSUMERS, SENDERS, Change

    was, is_now = before.kafka, now.kafka
    if was.ce_source != is_now.ce_source:
        yield Change(True, CONSUMERS, f"topics: ce_source is {is_now.ce_source} (was {was.ce_source})")
    for header in was.pass_headers:
        if header not in is_now.pass_headers:
            yield Change(True, CONSUMERS, f"topics: the header {header} is no longer passed on")
    for word, then, after in (
        ("lines", before.input.line_bytes_max, now.input.line_bytes_max),
        ("messages", was.message_bytes_max, is_now.message_bytes_max),
    ):
        if after < then:
            whom = SENDERS if word == "lines" else CONSUMERS
            yield Change(
                word == "lines", whom, f"topics: {word} have at most {after:,} bytes (were {then:,})"
            )
