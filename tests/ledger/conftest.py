"""States whose ledgers are read, and the commands that do so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from ledger_states import State, made

from headrace.cli import app as cli


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("two"), "--set", "flow.shards=2")


@pytest.fixture
def copied(state, tmp_path) -> State:
    """A copy that may be damaged."""
    subprocess.run(["cp", "-r", state.path, tmp_path / "state"], check=True)
    return State(tmp_path / "state", state.source, state.lines, state.decisions)


@pytest.fixture
def headrace(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


@pytest.fixture
def explain(headrace) -> Callable[[State, str], dict]:
    def call(state, decision_id):
        ended = headrace("explain", decision_id, "--state", state.path, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call
