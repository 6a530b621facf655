"""Quality of slates: the recommend flow's engine beside plain VMIS-kNN, on the same clicks.

Each click is learned from, a slate is made, and the session's next click evaluates it. The clicks of the last
file are evaluated, or of a single file its second half. Without files: clicks of the simulator's preset
`network-small`.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from _conditions import conditions, simulated
from _next_clicks import Evaluated, bootstrap

from headrace.config.recommend import EngineSettings
from headrace.operators.events.contract import Click
from headrace.operators.events.decode import Undecodable, decode_one
from headrace.operators.recommend.engine import Engine
from headrace.operators.recommend.vmis import PlainVmis

_CURVE = (100, 1000, 10_000, 100_000)
_LIST = 20


class Method(Protocol):
    """What takes a click and gives a slate."""

    def answer(self, click: Click, excluded: Sequence[str]) -> list[str]:
        """Learn from the click, and list what may come next."""


class Learned:
    """The flow's engine, called as its shard calls it."""

    def __init__(self) -> None:
        self._engine = Engine(EngineSettings())

    def answer(self, click: Click, excluded: Sequence[str]) -> list[str]:
        """Learn from the click, and list what may come next."""
        engine, session, at = self._engine, click.session_id, click.event_time
        item = engine.items.number_of(click.item_id)
        engine.learn_next(session, item, new=item not in engine.history(session))
        engine.take(session, item, at)
        known = map(engine.items.known, excluded)
        ranked = engine.rank(session, [number for number in known if number is not None], best=_LIST)
        return [engine.items.name_of(number) for number in ranked.items]


class Plain:
    """Plain VMIS-kNN."""

    def __init__(self) -> None:
        self._index = PlainVmis()

    def answer(self, click: Click, excluded: Sequence[str]) -> list[str]:
        """Learn from the click, and list what may come next."""
        self._index.take(click.session_id, click.item_id)
        return self._index.rank(click.session_id, _LIST, excluded)


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate both methods, and print what they reached."""
    options = _parser().parse_args(arguments)
    print(conditions(["numpy"]))
    with TemporaryDirectory(prefix="headrace-recommend-") as folder:
        files = options.events or [simulated("network-small", Path(folder))]
        clicks, begin = read(files, options.clicks_max)
    print(f"{len(clicks):,} clicks, evaluated from click {begin + 1:,} on; left out: {options.leave_out}")
    evaluated = [evaluate(clicks, method, options.leave_out) for method in (Learned(), Plain())]
    _print_quality(evaluated, begin, options.leave_out)
    _print_curve(evaluated)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "events", type=Path, nargs="*", help="events in JSON lines, .gz or not, in time order"
    )
    parser.add_argument("--leave-out", choices=("current", "seen", "nothing"), default="current")
    parser.add_argument("--clicks-max", type=int, default=200_000, help="how many to read of each file")
    return parser


def read(files: Sequence[Path], clicks_max: int) -> tuple[list[Click], int]:
    """Return the clicks of all files one after another, and where the evaluated ones begin."""
    parts = [list(islice(_clicks(path), clicks_max)) for path in files]
    clicks = [click for part in parts for click in part]
    return clicks, len(clicks) - len(parts[-1]) if len(parts) > 1 else len(clicks) // 2


def _clicks(path: Path) -> Iterator[Click]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            event = decode_one(line)
            if isinstance(event, Undecodable):
                raise SystemExit(f"{path}: {event}")
            if isinstance(event, Click):
                yield event


def evaluate(clicks: Sequence[Click], method: Method, leave_out: str) -> tuple[Evaluated, list[int]]:
    """Return what each next click says of the slate before it, and the place of the click that asked."""
    evaluated, asked = Evaluated(), []
    slates: dict[str, tuple[int, list[str]]] = {}
    seen: dict[str, dict[str, None]] = {}
    for place, click in enumerate(clicks):
        session, item = click.session_id, click.item_id
        before = seen.setdefault(session, {})
        new = item not in before
        if session in slates and (new or leave_out != "seen"):
            at, shown = slates[session]
            evaluated.note(session, shown, item, new=new)
            asked.append(at)
        before[item] = None
        slates[session] = place, method.answer(click, _left_out(leave_out, item, list(before)))
    return evaluated, asked


def _left_out(leave_out: str, item: str, seen: list[str]) -> list[str]:
    return {"current": [item], "seen": seen, "nothing": []}[leave_out]


def _part(evaluated: Evaluated, asked: Sequence[int], begin: int, end: int) -> Evaluated:
    kept = [row for row, place in enumerate(asked) if begin <= place < end]
    return Evaluated(
        [evaluated.sessions[row] for row in kept],
        [evaluated.ranks[row] for row in kept],
        [evaluated.new[row] for row in kept],
    )


def _print_quality(found: Sequence[tuple[Evaluated, list[int]]], begin: int, leave_out: str) -> None:
    learned, plain = (_part(evaluated, asked, begin, 1 << 62) for evaluated, asked in found)
    print(f"{'next clicks':<12} {'evaluated':>7}  {'method':<7} {'HR@20':>6} {'MRR@20':>6} {'NDCG@20':>7}")
    kinds = [("all", learned, plain), ("new", learned.only_new(), plain.only_new())]
    for kind, ours, base in kinds[leave_out == "seen" :]:
        for name, evaluated in (("engine", ours), ("plain", base)):
            hits, places, ndcg, count = evaluated.quality()
            print(f"{kind:<12} {count:>7,}  {name:<7} {hits:>6.3f} {places:>6.3f} {ndcg:>7.3f}")
        if ours.ranks:
            for measure, gain in zip(("HR", "MRR"), bootstrap(ours, base), strict=True):
                print(
                    f"{kind:<12} engine over plain, {measure}: {gain.mean:+.3f} ({gain.low:+.3f} to"
                    f" {gain.high:+.3f}, paired bootstrap over sessions, 95 %)"
                )


def _print_curve(found: Sequence[tuple[Evaluated, list[int]]]) -> None:
    print("from nothing: HR@20 / MRR@20 of the slates of the clicks up to")
    begin = 0
    for end in _CURVE:
        ours, base = (_part(evaluated, asked, begin, end).quality() for evaluated, asked in found)
        if not ours.evaluated:
            break
        print(
            f"{begin + 1:>7,} to {end:>7,}: engine {ours.hit_rate:.3f} / {ours.reciprocal_rank:.3f},"
            f" plain {base.hit_rate:.3f} / {base.reciprocal_rank:.3f} ({ours.evaluated:,} evaluated)"
        )
        begin = end


if __name__ == "__main__":
    main()
