"""What slates have learned a moment ago holds across kill -9: nothing waits for a checkpoint."""

from __future__ import annotations

import json
import os
import signal

import pytest
from worlds import World, click, overrides, write_lines

from headrace.journal.checkpoint import checkpoint_numbers
from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

OLD, NEW = 1, 2


def three_sessions() -> list[bytes]:
    """Other items are clicked first; then three sessions click an old item, and a new one after it."""
    seen = [click(number, number, 10 + number % 5) for number in range(20)]
    return seen + [click(20 + number, 100 + number // 2, (OLD, NEW)[number % 2]) for number in range(6)]


def slates(world: World) -> list[dict]:
    return [json.loads(line) for line in world.decisions.read_bytes().splitlines()]


def items(decision: dict) -> list[str]:
    return [each["item_id"] for each in decision["items"]]


def killed_at_its_end() -> None:
    """Kill the run when everything is journalled, and before a shard is closed with a checkpoint.

    One that is being written by a child of its own is let be finished.
    """

    def kill(shard: DurableShard, **_options: object) -> None:
        shard.wait_for_checkpoint()
        os.kill(os.getpid(), signal.SIGKILL)

    DurableShard.close = kill  # type: ignore[method-assign]


@pytest.mark.parametrize("checkpoint_inputs", [7, 1_000_000])
def test_a_new_item_of_three_sessions_is_recommended_in_the_fourth_after_a_kill(tmp_path, checkpoint_inputs):
    options = overrides(input__batch_lines_max=2, journal__checkpoint_inputs_max=checkpoint_inputs)
    first = write_lines(tmp_path / "first.jsonl", three_sessions())
    killed = World(tmp_path / "run", (first,), options, "recommend")
    assert killed.run(killed_at_its_end) == -signal.SIGKILL, killed.said
    assert len(slates(killed)) == 26
    held = checkpoint_numbers(killed.shards()[0])
    assert bool(held) == (checkpoint_inputs == 7)
    further = write_lines(tmp_path / "further.jsonl", [click(40, 200, OLD), click(41, 103, 10)])
    recovered = World(killed.folder, (first, further), options, "recommend")
    assert recovered.run() == 0, recovered.said
    fourth = slates(recovered)[-2]
    assert fourth["event_id"] == "k40"
    assert items(fourth)[0] == f"i{NEW}"


def test_a_session_goes_on_after_a_kill_with_its_last_click(tmp_path):
    alone = click(30, 102, 77)
    first = write_lines(tmp_path / "first.jsonl", [*three_sessions(), alone])
    killed = World(tmp_path / "run", (first,), (), "recommend")
    assert killed.run(killed_at_its_end) == -signal.SIGKILL, killed.said
    further = write_lines(tmp_path / "further.jsonl", [click(40, 102, 99)])
    recovered = World(killed.folder, (first, further), (), "recommend")
    assert recovered.run() == 0, recovered.said
    assert "i77" in items(slates(recovered)[-1])
