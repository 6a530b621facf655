"""What verifying a past has found, as text for people and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from headrace.config.paths import path_text
from headrace.replay.verify import Rederived

__all__ = ["rederived_json", "rederived_lines"]


def rederived_json(state: Path, shards: Sequence[Rederived]) -> bytes:
    """Return what deriving once more has found, as indented JSON."""
    said = {
        "state": path_text(state),
        "same": all(shard.same for shard in shards),
        "shards": [{**asdict(shard), "same": shard.same} for shard in shards],
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2)


def rederived_lines(shards: Iterable[Rederived]) -> Iterator[str]:
    """Yield what deriving once more has found, as lines."""
    for shard in shards:
        yield f"{shard.shard}: {_verdict(shard)}"
        yield (
            f"  {shard.inputs:,} inputs applied again, {shard.decisions:,} decisions compared,"
            f" {shard.differences:,} differences"
        )
        begins = "the beginning of the journal" if shard.begins == "genesis" else shard.begins
        yield f"  from {begins}, inputs from {shard.ordinal_first:,} and before {shard.ordinal_next:,}"
        yield from _left_out(shard)
        yield f"  written by Headrace {', '.join(shard.codes) or 'unknown'}"
        yield f"  platform {'; '.join(shard.platforms) or 'not kept'}"


def _verdict(shard: Rederived) -> str:
    if shard.damage is not None:
        return f"DAMAGED: {shard.damage}"
    return "DIFFERENT" if shard.differences else "the same"


def _left_out(shard: Rederived) -> Iterator[str]:
    if shard.ordinal_first:
        yield (
            f"  the journal's beginning is gone; {shard.gone:,} inputs that are kept stand before the oldest"
            " checkpoint, and are left out"
        )
    if shard.erased:
        went_on = ", ".join(shard.resumed) or "nowhere"
        yield (
            f"  {shard.erased:,} erased; {shard.unknown:,} inputs behind them can't be derived,"
            f" {shard.unknown_decisions:,} decisions among them; went on from {went_on}"
        )
    for each in shard.passed_over:
        yield f"  passed over: {each}"
    if shard.torn is not None:
        yield f"  ends before {shard.torn}"
