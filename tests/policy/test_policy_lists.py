"""Files of lists: what a line may be, and which file and line is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.loading import load
from headrace.errors import ConfigError
from headrace.operators.policy import list_content, read_list, read_lists


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries.txt"


def validation_errors(path: Path, entries_max: int = 100) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as raised:
        read_list(path, entries_max)
    assert all(invalid.file == str(path) for invalid in raised.value.errors)
    return [(invalid.key, invalid.message) for invalid in raised.value.errors]


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"", ()),
        (b"b\na\nb\n", ("a", "b")),
        (b"a", ("a",)),
        (b"# a comment\n\n   \n a \r\n#b\n", ("a",)),
        (b"a # why\nb#1\nc\t# why\n", ("a", "b#1", "c")),
        (b"with space\n", ("with space",)),
        ("\N{BYTE ORDER MARK}ä\n".encode(), ("ä",)),
        (b"x" * 128, ("x" * 128,)),
    ],
)
def test_one_value_a_line(path, content, entries):
    path.write_bytes(content)
    assert read_list(path, 100).entries == entries


def test_order_repetitions_and_comments_make_no_difference(path):
    path.write_text("# first\nb\na\na\n")
    assert read_list(path, 2) == list_content(["a", "b"])
    assert list_content(["a", "b"]).digest != list_content(["ab"]).digest != list_content(["a"]).digest


def test_every_bad_line_is_named(path):
    path.write_bytes(b"a\n\xff\n" + b"x" * 129 + b"\nok\n" + b"y" * 9000 + b"\nbell\x07\nz\n")
    assert validation_errors(path) == [
        ("line 2", "not UTF-8 at byte 0"),
        ("line 3", "a value of more than 128 characters"),
        ("line 5", "longer than 4096 bytes"),
        ("line 6", "a value with a character that can't be printed ('bell\\x07')"),
    ]


def test_no_more_than_ten_mistakes(path):
    path.write_bytes(b"\xff\n" * 50)
    assert len(validation_errors(path)) == 10


def test_too_many_values(path):
    path.write_text("a\nb\nb\nc\nd\n")
    assert validation_errors(path, 2) == [("line 4", "more than 2 values")]
    assert len(read_list(path, 4).entries) == 4


def test_a_file_that_is_not_there(path):
    assert validation_errors(path) == [("", "can't be read: No such file or directory")]
    path.mkdir()
    assert validation_errors(path) == [("", "can't be read: Is a directory")]


def test_the_lists_of_a_configuration_are_read_beside_it(tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "z.txt").write_text("z\n")
    (tmp_path / "a.txt").write_text("a\n")
    table = 'key = "ip"\naction = "block"\ncode = "bad"\n'
    (tmp_path / "flow.toml").write_text(
        f'[policy.lists.z]\nfile = "lists/z.txt"\n{table}'
        f'[policy.lists.a]\nfile = "{tmp_path}/a.txt"\n{table}[reasons.texts]\nbad = "Bad."\n'
    )
    monkeypatch.chdir(tmp_path / "lists")
    settings = load(Path("../flow.toml"))
    monkeypatch.chdir("/")
    assert read_lists(settings) == [("z", list_content("z")), ("a", list_content("a"))]


@pytest.mark.parametrize("content", [None, b"# a comment\n" * 1_500_000])
def test_a_file_without_an_end_is_no_list(tmp_path, content):
    path = Path("/dev/zero") if content is None else tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="can't be read: is larger than 16777216 bytes"):
        read_list(path, 10)
