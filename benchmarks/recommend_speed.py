"""Measures what a click costs the recommend engine, and what it remembers, with a full index.

The index is filled first; then for each further click all is done that a shard does: evaluate, learn, update,
and rank 20 items. Clicks are made up: sessions keep to a kind of item mostly, and kinds and items differ in
how much they are liked.

usage: python benchmarks/recommend_speed.py [--clicks 1000000] [--items 50000] [--plain-clicks 50000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from _conditions import conditions, held_to_one_core

from headrace.config.recommend import NETWORK, EngineSettings, RankerSettings
from headrace.operators.compiled.kernels import compiles
from headrace.operators.recommend.engine import Engine
from headrace.operators.recommend.kernels import FEATURE_NAMES
from headrace.operators.recommend.pointwise import Pointwise
from headrace.operators.recommend.prepared import prepare

KINDS: Final = 1000
RANKERS: Final = ("river_logistic_adagrad", "river_hoeffding_adaptive_tree", "river_arf")
LIVE: Final = 2000  # sessions that go on at the same time
START_MS: Final = 1_700_000_000_000
MEASURED: Final = 20_000


def clicks(count: int, items: int) -> Iterator[tuple[str, str, int]]:
    """Session, item and time of made-up clicks; sessions have five on average."""
    draw, each_kind = np.random.default_rng(1), max(items // KINDS, 1)
    kinds = draw.choice(KINDS, size=count, p=_falling(KINDS, 0.8)).tolist()
    liked = draw.choice(each_kind, size=count, p=_falling(each_kind, 0.9)).tolist()
    who, ends, strays = draw.integers(0, LIVE, count).tolist(), draw.random(count), draw.random(count)
    sessions = [(f"s{number}", kinds[number % count]) for number in range(LIVE)]
    begun = LIVE
    for place in range(count):
        if ends[place] < 0.2:
            sessions[who[place]] = f"s{begun}", kinds[place]
            begun += 1
        session, kind = sessions[who[place]]
        kind = kinds[place] if strays[place] < 0.15 else kind
        yield session, f"i-{kind * each_kind + liked[place]}", START_MS + 1000 * place


def _falling(count: int, power: float) -> np.ndarray:
    weights = 1.0 / np.arange(1, count + 1) ** power
    shares: np.ndarray = weights / weights.sum()
    return shares


def measure(full: int, items: int, ranker: str) -> tuple[np.ndarray, Engine]:
    """CPU seconds of each measured click after so many that only fill the index, and the engine."""
    prepare()
    model = None if ranker == NETWORK else Pointwise(RankerSettings(name=ranker))
    engine, seconds = Engine(EngineSettings(), model), []
    measured = MEASURED if model is None else MEASURED // 10
    for place, (session, item_id, at_ms) in enumerate(clicks(full + measured, items)):
        if place < full:
            engine.take(session, engine.items.number_of(item_id), at_ms)
            continue
        begun = time.thread_time()
        item = engine.items.number_of(item_id)
        engine.learn_next(session, item, new=item not in engine.history(session))
        engine.take(session, item, at_ms)
        engine.rank(session, (item,), best=20)
        seconds.append(time.thread_time() - begun)
    return np.array(seconds), engine


def remembered(engine: Engine, full: int) -> list[str]:
    """Lines that say what clicks, items, sessions and slates take."""
    of, used = engine._arrays.of, engine._used()

    def held(*names: str) -> int:
        return sum(min(used.get(name, len(of[name])), len(of[name])) * of[name].itemsize for name in names)

    names = (
        sys.getsizeof(engine.items.by_name)
        + sys.getsizeof(engine.items.names)
        + sys.getsizeof(engine.items.number_at)
    )
    names += sum(sys.getsizeof(name) + sys.getsizeof(number) for name, number in engine.items.by_name.items())
    items = held("newest", "bought", "heat", "clicks", "tag", "gone", "mark", "touched") + names
    live = sys.getsizeof(engine._sessions) + held("last", "number")
    live += sum(sys.getsizeof(name) + sys.getsizeof(place) for name, place in engine._sessions.items())
    slates = held("shown", "features", "size", "length")
    return [
        f"a click {held('blocks', 'chunks') / full:.1f} bytes",
        f"an item {items / len(engine):.0f} bytes ({len(engine):,})",
        f"a live session {live / len(engine._sessions):.0f} bytes ({len(engine._sessions):,})",
        f"what a slate was ranked by {slates / len(engine._slates):,.0f} bytes ({len(engine._slates):,})",
    ]


def rankers() -> Iterator[str]:
    """Lines that say what other rankers take for one slate: scoring 128 candidates, and learning from 11."""
    steps = np.random.default_rng(1).integers(0, 251, (128, len(FEATURE_NAMES))).astype(np.uint8)
    for name in RANKERS:
        ranker = Pointwise(RankerSettings(name=name))
        for chosen in range(30):
            ranker.learn(steps, chosen, range(10))
        took = []
        for work in (lambda: ranker.shares(steps), lambda: ranker.learn(steps, 20, range(10))):  # noqa: B023
            begun = time.thread_time()
            for _ in range(20):
                work()
            took.append((time.thread_time() - begun) / 20 * 1e3)
        yield f"{name}: {took[0]:.2f} ms to score 128 candidates, {took[1]:.2f} ms to learn from 11"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure compiled and plain code, and print both."""
    options = _parser().parse_args(arguments)
    held_to_one_core()
    if options.only:
        seconds, engine = measure(options.clicks, options.items, options.ranker)
        _print(seconds, options.clicks, options.ranker)
        for line in remembered(engine, options.clicks):
            print(f"  {line}")
        return
    print(conditions(["numba", "numpy", "river"]))
    runs = (("0", options.clicks, NETWORK), ("1", options.plain_clicks, NETWORK))
    for switch, full, ranker in (*runs, ("0", options.plain_clicks, options.ranker)):
        command = [sys.executable, str(Path(__file__)), "--only", "--clicks", str(full), "--ranker", ranker]
        subprocess.run(
            [*command, "--items", str(options.items)],
            check=True,
            env={**os.environ, "NUMBA_DISABLE_JIT": switch},
        )

    for line in rankers():
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=1_000_000, help="how many fill the index")
    parser.add_argument("--plain-clicks", type=int, default=50_000, help="the same for plain Python")
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--ranker", default="river_logistic_adagrad", help="what takes the network's place")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    return parser


def _print(seconds: np.ndarray, full: int, ranker: str) -> None:
    p50, p99, p999 = np.quantile(seconds * 1e3, (0.5, 0.99, 0.999))
    how = "compiled" if compiles() else "plain Python"
    print(
        f"{how}, {ranker}, {full:,} clicks in the index: CPU a click p50 {p50:.3f} ms, p99 {p99:.3f} ms,"
        f" p99.9 {p999:.3f} ms (evaluate, learn, update, rank 20; {len(seconds):,} clicks)"
    )


if __name__ == "__main__":
    main()
