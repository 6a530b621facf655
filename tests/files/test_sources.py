"""Numbers of sources: who keeps one, who gets a new one, and who has moved."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from headrace.errors import ChangedSource, InputError
from headrace.files.line_reader import LineReader
from headrace.files.sources import IfMoved, number_sources, open_together
from headrace.journal.batches import Mark


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class State:
    """What a state knows: names by number, and marks behind all that the files held."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        self.folder = folder
        self.known, self.marks = {}, {}
        for number, (name, content) in enumerate(files.items()):
            (folder / name).write_bytes(content)
            self.known[number] = str(folder / name)
            self.marks[number] = Mark(number, len(content), 1, zlib.crc32(content))

    def numbers(self, *paths: str, if_moved: IfMoved = IfMoved.REFUSE) -> list[int]:
        numbered = number_sources(paths, self.known, self.marks, if_moved)
        for path, number in zip(paths, numbered.numbers, strict=True):
            assert numbered.names[number] == (path if path == "-" else str(self.folder / path))
        return numbered.numbers


def test_a_known_source_keeps_its_number_and_further_ones_get_the_next(folder):
    state = State(folder, a=b"a\n", b=b"b\n")
    (folder / "c").write_bytes(b"c\n")
    assert state.numbers("c", "b", "-", "a") == [2, 1, 3, 0]


def test_standard_input_keeps_the_last_of_its_numbers(folder):
    state = State(folder, a=b"a\n")
    state.known |= {1: "-", 2: "-"}
    assert state.numbers("-") == [2]


def test_what_came_through_standard_input_is_no_file(folder):
    state = State(folder, a=b"a\n")
    state.known[0] = "-"
    assert state.numbers("a") == [1]


@pytest.mark.parametrize("if_moved", IfMoved)
def test_a_file_of_which_nothing_was_read_is_no_beginning(folder, if_moved):
    state = State(folder, a=b"")
    (folder / "b").write_bytes(b"b\n")
    assert state.numbers("b", if_moved=if_moved) == [1]


def test_all_that_moved_are_told(folder):
    state = State(folder, a=b"a\n", b=b"b\n")
    os.rename("a", "c")
    os.rename("b", "d")
    with pytest.raises(ChangedSource) as raised:
        state.numbers("c", "d")
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"c: begins with all 2 bytes that were read of {folder / 'a'}; if it was moved,")
    assert second.startswith("d: ")
    assert state.numbers("c", "d", if_moved=IfMoved.AGAIN) == [2, 3]
    assert state.numbers("d", "c", if_moved=IfMoved.FOLLOW) == [1, 0]


def test_of_several_sources_the_file_follows_the_one_of_which_most_was_read(folder):
    state = State(folder, a=b"x\n", b=b"x\ny\n", c=b"z\n")
    (folder / "d").write_bytes(b"x\ny\nz\n")
    assert state.numbers("d", if_moved=IfMoved.FOLLOW) == [1]


@pytest.mark.parametrize("if_moved", [IfMoved.REFUSE, IfMoved.FOLLOW])
def test_a_copy_of_a_source_that_is_named_too_is_refused(folder, if_moved):
    state = State(folder, a=b"a\n")
    (folder / "b").write_bytes(b"a\nb\n")
    with pytest.raises(ChangedSource, match="which is a source of this run too"):
        state.numbers("a", "b", if_moved=if_moved)


def test_files_that_were_rotated_are_followed(folder):
    state = State(folder, log=b"new\n", log1=b"old\n")
    os.rename("log1", "log2")
    os.rename("log", "log1")
    (folder / "log").write_bytes(b"newest\n")
    paths = ("log", "log1", "log2")
    with pytest.raises(ChangedSource, match="if it was moved"):
        state.numbers(*paths)
    assert state.numbers(*paths, if_moved=IfMoved.FOLLOW) == [2, 0, 1]


def test_every_source_that_can_not_be_opened_is_told(folder):
    (folder / "a").write_bytes(b"a\n")
    (folder / "b").write_bytes(b"b\n")
    changed = Mark(0, 2, 1, zlib.crc32(b"x\n"))
    held = len(os.listdir("/dev/fd"))
    openings = [
        lambda: LineReader("a"),
        lambda: LineReader("none"),
        lambda: LineReader("b", start=changed),
        lambda: LineReader("nothing"),
    ]
    with pytest.raises(InputError) as raised:
        open_together(openings)
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == ["none", "b", "nothing"]
    assert raised.value.exit_code == 3
    with pytest.raises(ChangedSource):
        open_together(openings[2:3])
    assert len(os.listdir("/dev/fd")) == held
