"""Files of other formats are recognised by their first bytes, and lines of JSON objects are not."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest
from commands import simulated

from headrace.errors import InputError
from headrace.files.file_bytes import refuse_foreign_formats
from headrace.files.formats import HEAD_BYTES, foreign_format
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader

LINES = simulated(200)
GOOD = b"\n".join(LINES) + b"\n"
OBJECTS = [json.loads(line) for line in LINES]


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("events.jsonl", GOOD)  # not compressed: its lines can be read in it
    return packed.getvalue()


def parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as written

    file = io.BytesIO()
    written.write_table(pyarrow.table({"event_id": ["p-1", "p-2"]}), file)
    return file.getvalue()


def zstd() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.Codec("zstd").compress(GOOD, asbytes=True)


FOREIGN = {
    "zstd-compressed": zstd,
    "bzip2-compressed": lambda: bz2.compress(GOOD),
    "xz-compressed": lambda: lzma.compress(GOOD),
    "a zip archive": zipped,
    "Parquet": parquet,
    "inside gzip": lambda: gzip.compress(GOOD),
}
TEXTS = {
    "in UTF-16; ": GOOD.decode().encode("utf-16"),
    "in UTF-16LE; ": GOOD.decode().encode("utf-16-le"),
    "in UTF-16BE; ": GOOD.decode().encode("utf-16-be"),
    "in UTF-32; ": GOOD.decode().encode("utf-32"),
    "in UTF-32BE; ": GOOD.decode().encode("utf-32-be"),
}
ARRAYS = {
    "one line": json.dumps(OBJECTS),
    "laid out": json.dumps(OBJECTS, indent=4),
    "an object a line": "[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]\n",
    "two objects": "[\n" + ",\n".join(map(json.dumps, OBJECTS[:2])) + "\n]\n",
    "one object": json.dumps(OBJECTS[:1]),
    "spaces before": "\n  " + json.dumps(OBJECTS),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_packed_and_binary_files(name):
    assert name in foreign_format(FOREIGN[name]()[:HEAD_BYTES])


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_another_encoding(name):
    assert name in foreign_format(TEXTS[name][:HEAD_BYTES])


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_in_place_of_lines(name):
    assert "one JSON array" in foreign_format(ARRAYS[name].encode()[:HEAD_BYTES])


def test_objects_over_several_lines():
    text = "\n".join(json.dumps(each, indent=2) for each in OBJECTS)
    assert "several lines" in foreign_format(text.encode()[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("event_id,amount\np-1,5\np-2,6\n", "CSV"),
        ('"event_id","amount"\n"p-1","5"\n', "CSV"),
        ("\ufeffevent_id;amount\np-1;5\n", "CSV with semicolons"),
        ("event_id\tamount\np-1\t5\n", "tab-separated"),
        ("event_id,amount\n", "CSV"),
        ("when,who,what\n1,2,3\n4,5,6\n", "CSV"),
    ],
)
def test_tables_of_text(text, name):
    assert name in foreign_format(text.encode())


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n\n",
        GOOD,
        GOOD[: len(LINES[0]) // 2],
        b"\xef\xbb\xbf" + GOOD,
        b"[oops\n" + GOOD,
        b'[{"a":1}\n' + GOOD,
        b"[1,2]\n" + GOOD,
        b"a,b\n" + GOOD,
        b"event_id,amount\n" + GOOD,
        b"{\n" + GOOD,
        b"BZh is a text\n" + GOOD,
        b"PAR1\n" + GOOD,
        b"PK\x03\x04" + GOOD,
        b"\x28\xb5\x2f\xfd" + GOOD,
        b"\x1f\x8b\n" + GOOD,
        b'[{"a":1},\n{"b":2},\n' + LINES[0],
        b"[\n" + LINES[0] + b",\n" + LINES[1] + b"\n" + LINES[2] + b"\n]\n",
        b"\xff\xfe\n" + GOOD,
        b"\0" * 600 + b"\n" + GOOD,
        b"some words\nand more\n",
        b"2026-03-01 started, then stopped\n2026-03-01 ended\n",
    ],
)
def test_lines_of_objects_with_broken_ones_among_them_are_read(head):
    assert foreign_format(head[:HEAD_BYTES]) is None


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_reader_hands_out_nothing_of_another_format(tmp_path, pack):
    path = tmp_path / "e.jsonl"
    path.write_bytes(pack(b"event_id,amount\np-1,5\n"))
    reader = MergedReader([LineReader(str(path))])
    with pytest.raises(InputError, match="looks like CSV") as raised:
        reader.next_batch()
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("name", ["plain.gz", "packed.jsonl"])
def test_what_a_name_says_of_compression_does_not_matter(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(GOOD if name == "plain.gz" else gzip.compress(GOOD))
    refuse_foreign_formats([str(path)])
    payloads, _, _ = LineReader(str(path)).take(500)
    assert payloads == LINES


def test_all_files_of_other_formats_are_told_at_once(tmp_path):
    (tmp_path / "a").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b").write_bytes(lzma.compress(GOOD))
    (tmp_path / "c").write_bytes(GOOD)
    with pytest.raises(InputError) as raised:
        refuse_foreign_formats([str(tmp_path / name) for name in ("a", "b", "c", "none")] + ["-"])
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"{tmp_path / 'a'}: looks like CSV")
    assert second.startswith(f"{tmp_path / 'b'}: looks like it is xz-compressed")
