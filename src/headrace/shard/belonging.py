"""Tells whether a state and the topics that a run names belong together, before anything is read or sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from headrace.config.addresses import partition_of
from headrace.config.flow_kinds import default_kind
from headrace.journal.end import JournalEnd
from headrace.shard.mismatch import differences
from headrace.shard.outgoing import DECISIONS

__all__ = ["Seen", "decisions_elsewhere", "newest_of_flow", "other_flow", "other_topics"]

_SHOWN_MAX: Final = 3


class Seen(NamedTuple):
    """A message of an output topic.

    Attributes
    ----------
    partition, offset
        Where it stands.
    id
        Its `ce_id`; None without one.
    """

    partition: int
    offset: int
    id: str | None


def newest_of_flow(messages: Iterable[Seen], names: Collection[str]) -> dict[str, Seen]:
    """Return the newest decision of each name among messages: the one with the highest offset.

    Parameters
    ----------
    messages
        Of a topic.
    names
        What ids of decisions begin with.
    """
    newest: dict[str, Seen] = {}
    for each in messages:
        kind, colon, _ = (each.id or "").partition(":")
        if colon and kind in names and (kind not in newest or each.offset >= newest[kind].offset):
            newest[kind] = each
    return newest


def other_flow(ends: Sequence[JournalEnd], kind: str) -> Iterator[str]:
    """Say that the state is of another flow."""
    kinds = {
        orjson.loads(end.provenance.settings)["flow"].get("kind", default_kind())
        for end in ends
        if end.provenance is not None
    }
    for each in sorted(kinds - {kind}):
        yield from differences(each, kind, "flow.kind")


def other_topics(ends: Sequence[JournalEnd], inputs: Sequence[str]) -> Iterator[str]:
    """Say that the state has read topics, and none of those that a run names."""
    found = {each[0] for end in ends for name in end.names.values() if (each := partition_of(name))}
    if not found or found & set(inputs):
        return
    known = ", ".join(f"kafka:{topic}" for topic in sorted(found)[:_SHOWN_MAX])
    given = ", ".join(f"kafka:{topic}" for topic in inputs[:_SHOWN_MAX])
    yield (
        f"the state was written for {known}, and {given} would be read into it. Name the state that belongs"
        " to this flow, or a new one; if the topic has got another name, --again goes on with this one"
    )


def decisions_elsewhere(
    ends: Sequence[JournalEnd],
    outputs: Mapping[str, str],
    newest: Mapping[str, Seen],
    names: Collection[str],
    *,
    from_now_on: bool,
) -> Iterator[str]:
    """Say that the topic of decisions has some that the state hasn't made, which would follow once more.

    Parameters
    ----------
    ends
        Of all shards' journals.
    outputs
        The topic of each output.
    newest
        By what their ids begin with, the newest decisions at the end of the topic of decisions.
    names
        What the ids of the flow begin with that is to run.
    from_now_on
        Whether a state that is new begins at the end of its inputs.
    """
    topic = outputs[DECISIONS]
    noted = [end.sinks[DECISIONS]["topic"] for end in ends if DECISIONS in end.sinks]
    if topic in noted:
        return
    for flow, seen in newest.items():
        where = f"{topic}[{seen.partition}] offset {seen.offset}: {seen.id}"
        if flow not in names:
            yield (
                f"kafka:{topic} has decisions of the flow {flow} ({where}). Name a topic of its own with"
                " --to; --again writes into this one"
            )
        elif not noted and not from_now_on:
            yield (
                f"kafka:{topic} has decisions of this flow ({where}), and the state is new: all that the"
                " input topics keep would be decided, and sent, once more. If --state was mistyped, name the"
                " right one; if it was lost, restore a backup (headrace state restore). Else --start latest"
                " begins behind what the input topics hold now, and what of that wasn't decided never is;"
                " --again decides all of it again"
            )
