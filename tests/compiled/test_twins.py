"""Plain Python decides until machine code is there, and hands over between two batches, to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import clicks, tiny_world

from headrace.config.loading import load
from headrace.operators.compiled import generated, kept, kernels
from headrace.operators.compiled.twins import TWINS, Twins
from headrace.operators.events.decode import decode
from headrace.shard.kinds import build_machine

pytest.importorskip("numba")
LINES = {"fraud": tiny_world(240), "recommend": clicks(160), "decisions": tiny_world(200)}
DECISIONS = (
    'entities.customer.key="customer_id"',
    'features.amount={kind="field", value="amount"}',
    'features.spent={kind="sum", entity="customer", on="payment", value="amount", window="7d"}',
    'bins.amount={of="amount", edges=[10, 50, 100]}',
    'bins.spent={of="spent", edges=[50, 500]}',
    'crosses.both={of=["amount", "spent"], code="both"}',
    (
        'decisions.risk={kind="score", on="payment", crosses=["both"], target={on="outcome",'
        ' join={about="event_id"}, value="label", within="30d"}}'
    ),
)
SETTINGS = {
    "fraud": load(None, ["policy.review_at=0.01", "entities.customer.entities_max=20"]),
    "recommend": load(
        None,
        ["engine.items_max=60", "engine.sessions_max=8", "engine.shown_max=8", "engine.chunks_max=64"],
        flow="recommend",
    ),
    "decisions": load(None, DECISIONS, flow="decisions"),
}


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Nothing is in memory, nor kept; gives what lets what was there before be found again."""
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        patch.setattr(generated, "_made_here", {})
        patch.setattr(kernels, "_made_here", {})
        yield patch.undo


def machine(flow: str) -> Any:
    return build_machine(SETTINGS[flow])


def applied(shard: Any, flow: str, first: int, after: int) -> list[Any]:
    lines = LINES[flow][first:after]
    events = decode(lines, 65_536)
    return [
        shard.apply(event, line, (0, place, 0))
        for place, (event, line) in enumerate(zip(events, lines, strict=True), start=first)
    ]


def saved(shard: Any) -> dict[str, bytes]:
    return {name: bytes(blob) for name, blob in shard.save().items()}


def plain_machine(flow: str) -> Any:
    """One that has begun without machine code, which is there from here on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated, "is_kept", lambda _name: False)
        patch.setattr(kernels, "is_kept", lambda _name: False)
        patch.setattr(generated, "_made_here", {})
        patch.setattr(kernels, "_made_here", {})
        with TWINS.plain_first(lambda: None):
            made = machine(flow)
    assert not made.compiled
    return made


@settings(max_examples=6)
@given(st.data())
@pytest.mark.parametrize("flow", LINES)
def test_a_machine_that_took_over_has_done_what_either_twin_does(flow: str, data: st.DataObject) -> None:
    count = len(LINES[flow])
    at = data.draw(st.integers(0, count))
    compiled, plain, both = machine(flow), plain_machine(flow), plain_machine(flow)
    assert compiled.compiled
    expected = applied(compiled, flow, 0, count)
    assert applied(plain, flow, 0, count) == expected
    outputs = applied(both, flow, 0, at)
    both.take_compiled()
    assert both.compiled
    outputs += applied(both, flow, at, count)
    assert outputs == expected
    assert saved(both) == saved(compiled) == saved(plain)


@pytest.mark.parametrize("flow", LINES)
def test_a_state_that_was_loaded_is_taken_over(flow: str) -> None:
    count = len(LINES[flow])
    whole, first, then = machine(flow), plain_machine(flow), plain_machine(flow)
    expected = applied(whole, flow, 0, count)
    outputs = applied(first, flow, 0, count // 3)
    then.load(saved(first))
    outputs += applied(then, flow, count // 3, count // 2)
    then.take_compiled()
    outputs += applied(then, flow, count // 2, count)
    assert outputs == expected
    assert saved(then) == saved(whole)


@pytest.mark.parametrize("flow", LINES)
def test_nothing_is_taken_over_before_it_is_there(flow: str, nothing_compiled: Callable[[], None]) -> None:
    missed: list[None] = []
    with TWINS.plain_first(lambda: missed.append(None)):
        one, other = machine(flow), machine(flow)
        assert missed == [None]
        one.take_compiled()
        assert not one.compiled
        nothing_compiled()
        TWINS.ready()
        one.take_compiled()
        assert one.compiled
        assert not other.compiled
    assert machine(flow).compiled


def test_a_thread_that_compiles_is_not_put_off() -> None:
    twins, missed = Twins(), []
    assert not twins.misses(there=False)
    with twins.plain_first(lambda: missed.append(None)):
        assert not twins.misses(there=True)
        with twins.at_once():
            assert not twins.misses(there=False)
        assert twins.misses(there=False)
        assert twins.misses(there=False)
        assert missed == [None]
        twins.failed("why")
        assert (twins.changes, twins.failures, twins.failure) == (1, 1, "why")
        assert twins.misses(there=False)
        twins.ready()
        assert not twins.misses(there=False)
    assert not twins.misses(there=False)


def test_what_was_compiled_for_another_machine_is_not_taken_for_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not kept.is_kept("a")
    kept.note_kept("a")
    assert kept.is_kept("a")
    assert not kept.is_kept("b")
    monkeypatch.setattr(kept, "_machine", lambda: "another")
    assert not kept.is_kept("a")
