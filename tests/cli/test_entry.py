"""How the program starts: with closed standard streams, and in a folder with Python files of other people."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import simulated

from headrace.runtime.child import Child
from headrace.runtime.members import Member

pytestmark = pytest.mark.integration

HEADRACE = [sys.executable, "-m", "headrace"]
HOSTILE = 'open({marker!r}, "a").write("imported"); raise SystemExit("foreign code")\n'
NAMES = ("calendar", "random", "tempfile", "numpy", "yaml", "typer", "orjson")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of data with modules that say when they were imported."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE.format(marker=str(tmp_path / "imported")))
    (folder / "e.jsonl").write_bytes(b"\n".join(simulated(50)) + b"\n")
    return folder


@pytest.mark.parametrize("closed", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_become_a_file_of_the_run(tmp_path, closed):
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(simulated(50)) + b"\n")
    run = "run fraud --from e.jsonl --to - --dead-letters dl --state st"
    shell = f'exec "$@" {run} {closed}'
    ended = subprocess.run(
        ["sh", "-c", shell, "sh", *HEADRACE],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "st" / "lock").read_bytes() == b""
    assert (tmp_path / "dl").read_bytes() == b""
    assert bool(ended.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_what_is_opened_next_gets_no_number_of_a_standard_stream(tmp_path):
    code = (
        "import os; from headrace.__main__ import open_standard_streams; open_standard_streams();"
        "opened = [os.open('x', os.O_CREAT | os.O_WRONLY), *map(os.fstat, range(3))];"
        "os.write(2, b'lost'); os._exit(opened[0])"
    )
    shell = f'exec {sys.executable} -c "$1" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell, "sh", code], cwd=tmp_path, check=False).returncode > 2
    assert (tmp_path / "x").read_bytes() == b""


@pytest.mark.parametrize("interpreter", ["-m", "script"])
def test_nothing_is_imported_from_the_folder_one_works_in(hostile, interpreter):
    script = [str(Path(sys.executable).with_name("headrace"))]
    ended = subprocess.run(
        [*(HEADRACE if interpreter == "-m" else script), "run", "fraud", "--from", "e.jsonl", "--to", "d"],
        cwd=hostile,
        capture_output=True,
        check=False,
    )
    assert not (hostile.parent / "imported").exists()
    assert ended.returncode == 0, ended.stderr


def test_members_import_nothing_from_the_folder_one_works_in(hostile, monkeypatch):
    monkeypatch.chdir(hostile)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    lock = os.open(os.devnull, os.O_RDONLY)
    # A member that can't begin: what is told apart is whether it got as far as saying so.
    run = ("run", "fraud", "--from", "kafka:x", "--to", "kafka:y", "--set", "flow.shards=0")
    child = Child(Member(0, 1, ()), run, lock)
    try:
        assert child.process.wait(600) == 2
    finally:
        child.close()
        os.close(lock)
    assert not (hostile.parent / "imported").exists()
