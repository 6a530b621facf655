"""Whatever comes in, nothing raises, and what is no use leaves no trace in decisions or in the state."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from hostile import FIELDS, Mutator, good, kept, line_of
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.loading import load
from headrace.config.tables import RunSettings
from headrace.control.dead_letters import Letter, payload_shown
from headrace.control.reader import batch_of
from headrace.erasure.search import find_customer
from headrace.journal.batches import Batch, Mark
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE, Kind
from headrace.journal.segments import first_boundary
from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.decode import Undecodable, canonical_digest, decode, decode_one
from headrace.operators.events.event_times import times_of
from headrace.shard.commands import Retry, decode_command, encode_command, retry_of
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import build_machine

pytestmark = pytest.mark.property

FLOWS = {
    "fraud": load(None, ("outcomes.legitimate_after_days=1",), flow="fraud"),
    "recommend": load(None, flow="recommend"),
}
DECIDED_TYPE = {"fraud": "payment", "recommend": "click"}


@cache
def machines() -> list[Any]:
    """One of each flow, which has met whatever was there before."""
    return list(map(build_machine, FLOWS.values()))


def stream(flow: str, count: int) -> Iterator[bytes]:
    """Good events of all types, most of them of the one that is decided on."""
    for number in range(count):
        kind = DECIDED_TYPE[flow] if number % 3 else list(FIELDS)[number // 3 % len(FIELDS)]
        event = good(kind, number) | ({"about": f"p{number - 2}"} if kind == "outcome" else {})
        event |= {name: f"{name[0]}{number % 7}" for name in ("customer_id", "session_id") if name in event}
        yield line_of(event)


def spoiled(flow: str, count: int, seed: int) -> list[bytes]:
    """Good events with broken ones between them, whose ids are others'."""
    mutator, lines = Mutator(seed), []
    for line in stream(flow, count):
        lines.append(line)
        if mutator.rng.random() < 0.7:
            kind = mutator.rng.choice(list(FIELDS))
            other = good(kind, 0) | {"event_id": f"bad-{len(lines)}"}
            lines.append(mutator.mutated(line_of(other)))
    return lines


def applied(settings_: RunSettings, lines: Iterable[bytes]) -> tuple[list[tuple[int, bytes, bytes]], Any]:
    state = build_machine(settings_)
    events = decode(list(lines), settings_.input.line_bytes_max)
    outputs = [state.apply(event, line, (0, 0, 1)) for event, line in zip(events, lines, strict=True)]
    return outputs, traces(state)


def traces(state: Any) -> dict[str, Any]:
    """What a state saves, but for how many dead letters and duplicates there were."""
    saved = {name: bytes(blob) for name, blob in state.save().items()}
    head = msgspec.msgpack.decode(saved["head"])
    counts = {
        name: count for name, count in head["counts"].items() if not name.startswith(("dead_", "repeats"))
    }
    return saved | {"head": head | {"counts": counts}}


def check_no_trace(flow: str, lines: list[bytes]) -> None:
    outputs, state = applied(FLOWS[flow], lines)
    used = [line for line, output in zip(lines, outputs, strict=True) if output[0] < Kind.DEAD]
    assert applied(FLOWS[flow], used) == ([each for each in outputs if each[0] < Kind.DEAD], state)


class TestCorpus:
    def test_each_input_decodes_as_ever(self):
        for told, line in kept():
            found = decode_one(line)
            name = found.reason if isinstance(found, Undecodable) else found.__struct_config__.tag
            assert name == told, line[:200]

    def test_times_are_found_or_there_is_none(self):
        lines = [line for _, line in kept()]
        assert len(times_of(lines)) == len(lines)

    @pytest.mark.parametrize("flow", FLOWS)
    def test_it_leaves_no_trace_between_good_events(self, flow):
        lines, spoil = [], [line.replace(b'"event_id":"', b'"event_id":"bad-') for _, line in kept()]
        for number, line in enumerate(stream(flow, 300)):
            lines += [line, *spoil[number::300]]
        check_no_trace(flow, lines)

    def test_dead_letters_are_shown_whatever_they_hold(self):
        for _, line in kept():
            letter = DeadLetter(
                reason="", message="", field=None, source="", offset=0, line=1, payload_base64=""
            )
            each = Letter(1, letter, line)
            assert isinstance(payload_shown(line), str)
            assert each.event_id is None or isinstance(each.event_id, str)

    def test_no_line_of_it_is_a_command_or_breaks_what_reads_commands(self):
        for _, line in kept():
            if not line.startswith(b'{"type":"control"'):
                with pytest.raises(ValueError, match="no command"):
                    decode_command(line)

    def test_erasing_looks_through_journals_that_hold_it(self, tmp_path):
        lines = [line for _, line in kept()]
        shard = DurableShard(tmp_path / "shard-00", FLOWS["fraud"])
        process(shard, lines)
        assert find_customer([tmp_path / "shard-00"], "c1").inputs > 100


def process(shard: DurableShard, lines: list[bytes]) -> None:
    count, ordinal = len(lines), shard.position
    marks = (Mark(0, ordinal + count, ordinal + count, 0),)
    batch = Batch(0, 0, ordinal, lines, [0] * count, list(range(count)), [1] * count, marks)
    shard.process(batch, decode(lines, shard.settings.input.line_bytes_max), None)


@pytest.mark.parametrize("flow", FLOWS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_mutations_leave_no_trace_between_good_events(flow, seed):
    check_no_trace(flow, spoiled(flow, 60, seed))


@settings(deadline=None)
@given(
    kind=st.sampled_from(list(FIELDS)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    data=st.data(),
)
def test_any_value_of_any_field_is_used_or_refused(kind, value, data):
    field = data.draw(st.sampled_from([*good(kind, 1), "extra"]))
    event = good(kind, 1) | {field: value}
    line = msgspec.json.encode(event)
    found = decode_one(line)
    assert isinstance(found, Undecodable) or 0 <= canonical_digest(found) < 2**32
    for machine in machines():
        kind_, out, _ = machine.apply(found, line, (0, 0, 1))
        assert (kind_ == Kind.DEAD) == (b'"reason"' in out)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_used_or_refused(line):
    line = line.replace(b"\n", b" ")
    found = decode_one(line)
    assert len(times_of([line])) == 1
    for machine in machines():
        machine.apply(found, line, (0, 0, 1))
    with pytest.raises(ValueError, match="no command"):
        decode_command(line)


@pytest.mark.parametrize("flow", FLOWS)
def test_what_is_given_once_more_through_the_control_channel_leaves_no_trace_either(flow, tmp_path):
    rng, mutator = random.Random(5), Mutator(5)
    plain = DurableShard(tmp_path / "plain", FLOWS[flow])
    tried = DurableShard(tmp_path / "tried", FLOWS[flow])
    letters = [line for told, line in kept() if told not in FIELDS]
    for number, line in enumerate(stream(flow, 120), start=1):
        for shard in (plain, tried):
            process(shard, [line])
        some = [rng.choice(letters), mutator.mutated(rng.choice(letters))]
        some = [each for each in some if isinstance(decode_one(each), Undecodable)]
        retries: list[Any] = [retry_of(each, "/in", 0, 1) for each in some]
        lines = list(map(encode_command, retries))
        assert all(isinstance(decode_command(each), Retry) for each in lines)
        mark = Mark(CONTROL_SOURCE, number, len(lines), 0)
        if retries:
            batch = batch_of(retries, lines, ordinal=tried.position, number=number, marks=(mark,), sources={})
            tried.process(batch, decode(batch.payloads), None)
    assert traces(tried.state) == traces(plain.state)
    decided = [
        [
            record.output
            for frame in JournalReader(folder, first_boundary(folder), cut_torn_tail=False).frames()
            for record in frame.records
            if record.kind == Kind.DECIDED
        ]
        for folder in (tmp_path / "plain", tmp_path / "tried")
    ]
    assert decided[0] == decided[1]
    assert len(decided[0]) > 70
