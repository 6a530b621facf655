"""The layout of what a shard keeps of a decision in the journal only."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from headrace.config.loading import load
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.decisions.detail import detail_layout, detail_struct, read_trace
from headrace.operators.events.decode import decode_one

PAYMENT = (
    b'{"type":"payment","event_id":"p","event_time":"2026-03-01T00:00:00Z","customer_id":"c","merchant_id":"m",'
    b'"amount":12.5,"currency":"EUR"}'
)


@pytest.mark.parametrize("model", ["logistic_adagrad", "river_hoeffding_adaptive_tree"])
def test_a_layout_reads_what_a_shard_packs(model):
    settings = load(None, [f"model.name={model}", "model.parameters={}"])
    layout = detail_layout(settings)
    shard = FraudShard(settings)
    _, _, packed = shard.apply(decode_one(PAYMENT), PAYMENT, (0, 0, 1))
    detail = layout.read(packed)
    named = dict(zip(layout.features, detail.values, strict=True))
    assert named["amount"] == 12.5
    assert named["customer_payments"] == 0.0
    assert math.isnan(named["amount_ratio"])
    assert layout.features == tuple(settings.features)
    assert len(detail.contributions) == len(layout.inputs)
    assert layout.inputs == (tuple(settings.crosses) if model == "logistic_adagrad" else layout.features)
    assert layout.always_explained is (model == "logistic_adagrad")
    for slot, group in zip(detail.slots, layout.groups, strict=True):
        assert group.offset <= slot < group.offset + group.size
    assert detail.trace == b""


@pytest.mark.parametrize("slots", [100, 70_000])
def test_the_columns_are_the_packed_part(slots):
    layout = detail_layout(load(None, ["model.slots_max=100000"]))
    packed = detail_struct(3, slots, 2, 4)
    layout = type(layout)(layout.groups[:3], slots, ("a", "b"), tuple("wxyz"), packed, True)
    raw = packed.pack(1, 2, slots - 1, 0.5, -1.5, 1.0, 2.0, math.nan, 1e300) + b"trace"
    detail = layout.read(raw)
    (row,) = np.frombuffer(raw[: packed.size], dtype=list(layout.columns))
    assert row["slots"].tolist() == list(detail.slots) == [1, 2, slots - 1]
    assert row["contributions"].tolist() == list(detail.contributions) == [0.5, -1.5]
    assert str(row["values"].tolist()) == str(list(detail.values)) == "[1.0, 2.0, nan, 1e+300]"
    assert detail.trace == b"trace"


def test_a_detail_that_is_too_short_is_refused():
    layout = detail_layout(load(None))
    with pytest.raises(ValueError, match="expected are at least"):
        layout.read(bytes(layout.packed.size - 1))


def test_layouts_of_one_configuration_are_equal():
    assert detail_layout(load(None)) == detail_layout(load(None, ["policy.block_at=0.9"]))
    fewer = load(None, ["crosses.amount.of=['amount', 'history']"])
    assert detail_layout(load(None)) != detail_layout(fewer)


def test_a_trace_is_read_as_what_it_is():
    said = {"path": "rule", "costs": {"approve": 1.5}, "list": ["a", 1]}
    assert read_trace(msgspec.msgpack.encode(said)) == said
    assert read_trace(b"") is None
    assert read_trace(b"\xc1\x00") == "c100"
