"""Tables of entities: rows that are added by portions, and a saved state that fits."""

from __future__ import annotations

import pytest

from headrace.operators.decisions.attribution_baseline import AttributionBaseline
from headrace.operators.features.entities import Entities


def table(moves: list[int]) -> Entities:
    made = Entities(10_000, 1)
    made.column("d", 0.5, 3)
    made.moved = lambda: moves.append(len(made.columns[2].values))
    return made


def test_rows_come_by_portions_and_whoever_keeps_addresses_is_told() -> None:
    moves: list[int] = []
    entities = table(moves)
    values = entities.columns[2].values
    for number in range(5000):
        row = entities.create(f"e{number}", number)
        assert values[row * 3 : row * 3 + 3].tolist() == [0.5, 0.5, 0.5]
        assert moves[-1] == len(values)
    assert len(moves) < 100
    blobs = {name: bytes(blob) for name, blob in entities.save().items()}
    assert len(blobs["column-2"]) == 8 * 3 * 5001
    assert moves[-1] == len(values) == 3 * 5001
    entities.create("one more", 5000)
    other = table(later := [])
    other.load(blobs)
    assert later == [3 * 5001]
    assert other.index["e4999"] == 5000


def test_a_saved_state_of_another_length_is_refused() -> None:
    entities = table([])
    entities.create("a", 1)
    blobs = {name: bytes(blob) for name, blob in entities.save().items()}
    blobs["column-2"] = blobs["column-2"][:-8]
    with pytest.raises(ValueError, match=r"column 2 has 40 bytes, not 48"):
        table([]).load(blobs)
    with pytest.raises(ValueError, match=r"2 parts, not 3"):
        AttributionBaseline(3).load([0.0, 1.0, 2.0])
