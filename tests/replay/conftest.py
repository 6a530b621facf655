"""States that are replayed, and the command that does so."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from replayed_states import OFTEN, THRESHOLDS, TINY, State, made, world

from headrace.cli import app as cli


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("plain"), world(), *THRESHOLDS)


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("shards"), world(), *THRESHOLDS, "--set", "flow.shards=3")


@pytest.fixture(scope="session")
def segments(tmp_path_factory) -> State:
    return made(tmp_path_factory.mktemp("segments"), world(), *THRESHOLDS, *OFTEN)


@pytest.fixture
def copied(tmp_path) -> Callable[[State], State]:
    """A copy that may be damaged."""

    def copy(state: State) -> State:
        shutil.copytree(state.path, tmp_path / "state")
        return State(tmp_path / "state", state.source, state.to)

    return copy


@pytest.fixture
def replay(monkeypatch, capsys) -> Callable[..., SimpleNamespace]:
    def call(state: State, *arguments):
        command = ["headrace", "replay", "--state", state.path, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


@pytest.fixture
def compared(replay) -> Callable[..., dict]:
    def call(state: State, *arguments) -> dict:
        ended = replay(state, "--json", *TINY, *arguments)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call
