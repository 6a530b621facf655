"""The answers, and files that aren't answers."""

from __future__ import annotations

import gzip

import pytest

from headrace.errors import InputError
from headrace.operators.truth import read_truth

GOOD = (
    "event_id,event_time,customer_id,fraud\np-1,2024-01-01T00:00:00Z,c-1,0\np-2,2024-01-01T00:00:00Z,c-1,1\n"
)


def test_labels_by_payment(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    assert read_truth(tmp_path / "t.csv") == {"p-1": 0, "p-2": 1}
    assert read_truth(tmp_path / "t.csv.gz") == {"p-1": 0, "p-2": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: no column event_id and no column fraud"),
        (b"event_id,label\np,1\n", "line 1: no column fraud"),
        (b"event_id,fraud\np,1\nq,2\n", "line 3"),
        (b"event_id,fraud\np\n", "line 2"),
        (b"event_id,fraud\n\xff,1\n", "can't be read"),
    ],
)
def test_what_is_no_truth(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_truth(tmp_path / "t.csv")


def test_a_truth_that_is_not_there_or_cut_off(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_truth(tmp_path / "none.csv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-12])
    with pytest.raises(InputError, match="can't be read"):
        read_truth(tmp_path / "t.csv.gz")
