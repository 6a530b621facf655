"""Small inputs, and runs of the command line in forked children that may be killed at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from commands import ended, fork, run_main, warm

from headrace.operators import simulator

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def payment(number: int, **changes: object) -> bytes:
    """A payment, one a minute; `changes` replace fields."""
    fields: dict[str, object] = {
        "type": "payment",
        "event_id": f"p{number}",
        "event_time": START_MS + number * MINUTE_MS,
        "customer_id": f"c{number % 5}",
        "merchant_id": f"m{number % 3}",
        "amount": 10.0 + number * 37 % 400,
        "currency": "EUR",
    }
    return json.dumps(fields | changes).encode()


def outcome(about: int, after_ms: int = 3 * MINUTE_MS, **changes: object) -> bytes:
    """The outcome of a payment; every fourth is a fraud."""
    fields: dict[str, object] = {
        "type": "outcome",
        "event_id": f"o{about}",
        "event_time": START_MS + about * MINUTE_MS + after_ms,
        "about": f"p{about}",
        "label": int(about % 4 == 0),
        "customer_id": f"c{about % 5}",
    }
    return json.dumps(fields | changes).encode()


def stream(payments: int, first: int = 0) -> list[bytes]:
    """Payments with their outcomes three minutes later, among them lines that are no use and duplicates."""
    lines = []
    for number in range(first, first + payments):
        lines.append(payment(number))
        if number >= first + 3:
            lines.append(outcome(number - 3))
        if number % 7 == 3:
            lines.append(b'{"type": "payment", "event_id": "cut off')
        if number % 11 == 5:
            lines.extend([payment(number), payment(number, amount=1.0)])
    return lines


def tiny_world(lines: int) -> list[bytes]:
    """The first lines of a simulated shop, with some that are no use."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        simulator.write(simulator.simulate("tiny", 1), path, None)
        world = path.read_bytes().splitlines()[:lines]
    for place in range(len(world) - 1, 0, -97):
        world.insert(place, b'{"type": "payment", "event_time": "\xff"}')
        world.insert(place, world[place // 2])
    return world


def click(number: int, session: int, item: int, **changes: object) -> bytes:
    """A click, one in ten seconds."""
    fields: dict[str, object] = {
        "type": "click",
        "event_id": f"k{number}",
        "event_time": START_MS + number * 10_000,
        "session_id": f"s{session}",
        "item_id": f"i{item}",
    }
    return json.dumps(fields | changes).encode()


def clicks(lines: int, seed: int = 1) -> list[bytes]:
    """Clicks of sessions that go through a small shop, with what else happens there and some of no use."""
    draws, world = random.Random(seed), []
    walks = [(session, draws.randrange(120)) for session in range(8)]
    for number in range(lines):
        place = draws.randrange(len(walks))
        session, item = walks[place]
        item = (item + draws.choice((1, 1, 2, 7))) % 120 if draws.random() < 0.9 else draws.randrange(120)
        walks[place] = (session, item) if draws.random() < 0.85 else (number + 8, draws.randrange(120))
        event = click(number, session, item)
        kind = draws.random()
        if kind < 0.05:
            event = click(number, session, item, type="cart")
        elif kind < 0.08:
            bought = [{"item_id": f"i{item + by}", "quantity": 1, "price": 2.5} for by in (0, 1)]
            fields = json.loads(event) | {"type": "order", "order_id": f"r{number}", "customer_id": "c1"}
            event = json.dumps(fields | {"items": bought}).encode()
        elif kind < 0.12:
            event = click(number, session, item, type="item", available=draws.random() < 0.5)
        world.append(event)
    for place in range(len(world) - 1, 0, -97):
        world.insert(place, b'{"type": "click", "event_time": "\xff"}')
        world.insert(place, world[place // 2])
    return world


def write_lines(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@dataclass(frozen=True)
class World:
    """An input, and where its outputs and its state go."""

    folder: Path
    sources: tuple[Path, ...]
    options: tuple[str, ...] = ()
    flow: str = "fraud"

    @property
    def decisions(self) -> Path:
        return self.folder / "decisions.jsonl"

    @property
    def dead_letters(self) -> Path:
        return self.folder / "dead.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def said(self) -> str:
        """What the last run said."""
        return (self.folder / "said").read_text()

    @property
    def arguments(self) -> list[str]:
        sources = [part for source in self.sources for part in ("--from", str(source))]
        outputs = ["--to", str(self.decisions), "--dead-letters", str(self.dead_letters)]
        return ["run", self.flow, *sources, *outputs, "--state", str(self.state), *self.options]

    def outputs(self) -> tuple[bytes, bytes]:
        return self.decisions.read_bytes(), self.dead_letters.read_bytes()

    def shards(self) -> list[Path]:
        return sorted(self.state.glob("shard-*"))

    def run(self, before: Callable[[], None] = lambda: None) -> int:
        """Run the command line in a forked child to its end; `before` is called in the child first."""
        return ended(self.start(before))

    def start(self, before: Callable[[], None] = lambda: None) -> int:
        """Start the command line in a forked child; return the child."""
        self.folder.mkdir(exist_ok=True)
        warm(self.flow)
        return fork(lambda: run_main(self.arguments, self.folder / "said", before))

    def kill(self, child: int) -> int:
        """Kill a child that was started, if it still runs; return how it ended."""
        os.kill(child, signal.SIGKILL)
        return ended(child)

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()


def overrides(**settings: object) -> tuple[str, ...]:
    """Options that set `section__key`."""
    return tuple(
        part for key, value in settings.items() for part in ("--set", f"{key.replace('__', '.')}={value}")
    )


def all_of(world: World) -> Iterator[Path]:
    """Every file of the state."""
    yield from sorted(path for path in world.state.rglob("*") if path.is_file())


def decided(of: World) -> list[dict]:
    """The decisions of a run, a line each."""
    return [json.loads(line) for line in of.decisions.read_bytes().splitlines()]
