"""Allow and block lists: their content, and the list that a payment is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from headrace.config.lists import ListContent, list_content, read_list
from headrace.config.policy import ListSettings
from headrace.config.settings import FraudSettings
from headrace.operators.events import Payment
from headrace.operators.policy.verdict import Decider, Verdict, trace_of

__all__ = ["ListContent", "list_content", "read_list", "read_lists", "with_lists"]


def read_lists(settings: FraudSettings) -> list[tuple[str, ListContent]]:
    """The lists of a configuration with what their files say now, in the order of the file.

    Raises
    ------
    ConfigError
        If a file can't be read or has mistakes.
    """
    return [
        (name, read_list(Path(each.file), each.entries_max)) for name, each in settings.policy.lists.items()
    ]


def with_lists(
    lists: Mapping[str, ListSettings], contents: Mapping[str, Sequence[str]], then: Decider
) -> Decider:
    """Decide by the first list that the payment is on, else go on.

    Lists of one key are laid into one table, so that a payment costs one look-up for each key however many
    lists and entries there are.

    Parameters
    ----------
    lists
        In the order in which they are tried.
    contents
        Entries by the list's name; a list without content is empty.
    then
        Who decides on payments that are on no list.
    """
    verdicts = [_verdict(name, each) for name, each in lists.items()]
    none = len(verdicts)
    tables = [(attrgetter(key), table.get) for key, table in _tables(lists, contents).items()]

    def decide(
        payment: Payment, values: tuple[float, ...], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        first = none
        for key, find in tables:
            rank = find(key(payment), none)
            if rank < first:  # noqa: PLR1730 -- min() would cost more than all the rest
                first = rank
        return verdicts[first] if first < none else then(payment, values, score, time_ms, overdue)

    return decide


def _tables(
    lists: Mapping[str, ListSettings], contents: Mapping[str, Sequence[str]]
) -> dict[str, dict[str | None, int]]:
    """For each key a table from values to the number of the first list that they are on."""
    tables: dict[str, dict[str | None, int]] = {}
    for rank, (name, each) in reversed([*enumerate(lists.items())]):
        tables.setdefault(each.key, {}).update(dict.fromkeys(contents.get(name, ()), rank))
    return tables


def _verdict(name: str, settings: ListSettings) -> Verdict:
    trace = trace_of("list", list=name, key=settings.key)
    return Verdict(settings.action, "list", f"list.{name}", (settings.code,), None, trace)
