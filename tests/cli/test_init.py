"""The project that `headrace init` makes: its Makefile's targets do what they say, also from a wheel."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import contents, headrace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = {"HEADRACE": f"{shlex.quote(sys.executable)} -m headrace", "PYTHON": shlex.quote(sys.executable)}


def make(
    project: Path, target: str, environ: Mapping[str, str] = PROGRAM
) -> subprocess.CompletedProcess[str]:
    given = [f"{name}={value}" for name, value in PROGRAM.items()]
    return subprocess.run(
        ["make", "--no-print-directory", "-C", str(project), target, *given],
        capture_output=True,
        text=True,
        env=os.environ | dict(environ),
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ended = headrace("init", tmp_path / "mine/shop")
    assert ended.code == 0, ended.said
    return tmp_path / "mine/shop"


def test_every_target_does_what_it_says(project):
    listed = make(project, "help").stdout
    targets = [line.split()[1] for line in listed.splitlines()]
    assert targets == ["help", "check", "test", "run", "show", "clean"]
    assert {path.name for path in project.iterdir() if path.is_dir()} == {
        "flows",
        "config",
        "operators",
        "tests",
    }
    before = contents(project)
    for target in ("check", "test", "run", "show"):
        ended = make(project, target)
        assert ended.returncode == 0, ended.stderr
    assert len((project / "var/decisions.jsonl").read_bytes().splitlines()) == 4
    assert make(project, "clean").returncode == 0
    left = {path: content for path, content in contents(project).items() if "__pycache__" not in path.parts}
    assert left == before


def test_its_test_runs_the_flow(project):
    flow = project / "flows/shop.toml"
    flow.write_text(flow.read_text().replace("amount > 500", "amount > 5000"))
    ended = make(project, "test")
    assert ended.returncode != 0
    assert "'p-2': ('approve', [])" in ended.stderr


def test_its_check_finds_errors_in_either_file(project):
    production = project / "config/production.toml"
    production.write_text(production.read_text().replace("port = 9464", "prot = 9464"))
    ended = make(project, "check")
    assert ended.returncode != 0
    assert "config/production.toml: metrics.prot: unknown key; did you mean port?" in ended.stderr


def test_nothing_is_written_where_something_is(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.hidden").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name, said in (("file", "file is a file"), ("full", "is not empty; nothing was written")):
        ended = headrace("init", tmp_path / name)
        assert ended.code == 2
        assert said in ended.said
    assert headrace("init", tmp_path / "empty").code == 0
    assert [path.name for path in (tmp_path / "full").iterdir()] == [".hidden"]


@pytest.mark.slow
def test_a_wheel_has_all_that_it_needs(tmp_path):
    built = subprocess.run(
        [*(sys.executable, "-m", "build", "--wheel", "--no-isolation"), "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environ = {"PYTHONPATH": str(tmp_path / "installed")}
    program = [sys.executable, "-c", "import headrace; print(headrace.__file__)"]
    where = subprocess.run(program, capture_output=True, text=True, env=os.environ | environ, check=True)
    assert where.stdout.startswith(str(tmp_path / "installed"))
    for arguments in (("init", str(tmp_path / "shop")), ("check", "fraud-sessions"), ("check", "recommend")):
        ended = subprocess.run(
            [sys.executable, "-m", "headrace", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | environ,
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    ended = make(tmp_path / "shop", "test", environ)
    assert ended.returncode == 0, ended.stderr
