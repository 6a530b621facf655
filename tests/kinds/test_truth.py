"""The answers, and files that aren't answers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from headrace.errors import InputError
from headrace.kinds.fraud.truth import read_truth

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


@pytest.mark.parametrize("label", ["1", "1.0", "true", "True", "TRUE", " 1 "])
@pytest.mark.parametrize("other", ["0", "0.0", "false", "False"])
def test_labels_as_tools_spell_them(tmp_path, label, other):
    (tmp_path / "t.csv").write_text(f"event_id,fraud\np-1,{label}\np-2,{other}\n")
    assert read_truth(tmp_path / "t.csv") == {"p-1": 1, "p-2": 0}


@pytest.mark.parametrize("label", ["", "2", "-1", "0.5", "yes", "nan"])
def test_what_is_no_label(tmp_path, label):
    (tmp_path / "t.csv").write_text(f"event_id,fraud\np-1,{label}\n")
    with pytest.raises(InputError, match="line 2: no event_id with a fraud of 0 or 1"):
        read_truth(tmp_path / "t.csv")


def test_a_byte_order_mark_belongs_to_no_column(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_truth(tmp_path / "t.csv") == {"p-1": 0, "p-2": 1}


def test_a_truth_without_an_end_is_refused(tmp_path):
    with pytest.raises(InputError, match="has a line of more than 1048576 characters"):
        read_truth(Path("/dev/zero"))
    (tmp_path / "t.csv").write_text(GOOD)
    assert len(read_truth(tmp_path / "t.csv", 2)) == 2
    with pytest.raises(InputError, match=r"has more than 1 rows, input\.truth_rows_max"):
        read_truth(tmp_path / "t.csv", 1)
