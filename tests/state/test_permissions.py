"""What commands make: nobody but the owner and the group can read it, and less where the umask says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import headrace, simulated

from headrace.config.private_files import make_folder, open_file

pytestmark = pytest.mark.integration


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_files_and_folders_that_are_made(umask: int, tmp_path: Path) -> None:
    os.close(open_file(tmp_path / "file", os.O_WRONLY | os.O_CREAT))
    make_folder(tmp_path / "above" / "folder")
    make_folder(tmp_path / "above")
    folder = 0o750 & ~umask
    assert modes(tmp_path) == {"file": 0o640 & ~umask, "above": folder, "above/folder": folder}


def test_everything_that_commands_make(tmp_path: Path) -> None:
    """With the umask that most systems have; commands fork, so that it holds for them."""
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join([*simulated(300), b"no json"]) + b"\n")
    made = tmp_path / "made"
    made.mkdir()
    before = os.umask(0o000)
    try:
        for command in (
            "run fraud --from ../events.jsonl --to out.jsonl --state deep/state",
            "control kill-switch on --state deep/state",
            "control kill-switch off --state deep/state",
            "run fraud --from ../events.jsonl --to out.jsonl --state deep/state",
            "control kill-switch on --state deep/state",  # which waits in its folder
            "ledger index --state deep/state",
            "ledger export --state deep/state --to table.csv",
            "ledger export --state deep/state --to table.jsonl",
            "replay --state deep/state --set policy.review_at=0.01 --html page.html",
            "state backup --state deep/state --to backup.tar",
            "state backup --state deep/state --to backup",
            "state restore --from backup.tar --state far/restored",
            "state restore --from backup --state again",
            "erase --customer nobody --state again",
        ):
            ended = headrace(*command.split(), folder=made)
            assert ended.code == 0, (command, ended.said)
    finally:
        os.umask(before)
    found = modes(made)
    for name in ("out.jsonl", "out.dead-letters.jsonl", "table.csv", "page.html", "backup.tar", "again/lock"):
        assert name in found, sorted(found)
    assert any(name.endswith(".idx") for name in found), sorted(found)
    wide = {name: oct(mode) for name, mode in found.items() if mode & 0o027}
    assert wide == {}
