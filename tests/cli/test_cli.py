"""The command line: what it makes of its options, what it says, and what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from headrace import __version__, errors
from headrace.cli import app as cli
from headrace.cli.exits import EXIT_CODES
from headrace.cli.reference import reference_page
from headrace.runtime.runs import Progress, RunSummary

DOCS = Path(__file__).parents[2] / "docs"


class Runtime:
    """Stands in for the runtime: keeps what it was asked for, and ends as it is told."""

    def __init__(self):
        self.request = None
        self.ending = RunSummary(progress=Progress(), seconds=1.0)

    def run(self, request, observer):
        self.request = request
        if isinstance(self.ending, Exception):
            raise self.ending
        observer.started(request)
        observer.finished(self.ending)
        return self.ending


@pytest.fixture
def runtime(monkeypatch):
    stand_in = Runtime()
    monkeypatch.setitem(sys.modules, "headrace.runtime.file_run", SimpleNamespace(run=stand_in.run))
    return stand_in


@pytest.fixture
def headrace(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        code = cli.main()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return call


def test_run_with_its_least_options(headrace, runtime):
    assert headrace("run", "fraud", "--from", "a.jsonl", "--to", "d.jsonl").code == 0
    asked = runtime.request
    assert (asked.flow, asked.sources, asked.to) == ("fraud", ("a.jsonl",), "d.jsonl")
    assert (asked.dead_letters, asked.state, asked.config_file, asked.truth) == (None,) * 4
    assert asked.speed is None
    assert asked.learn is True
    assert asked.settings.flow.shards == 1


def test_run_with_all_options(headrace, runtime, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("[flow]\nshards = 2\n")
    options = "--dead-letters x --speed 60.5 --no-learn --state S --truth t.csv --set flow.currency=USD"
    sources = "--from b --from a --to - --set policy.block_at=0.9"
    code = headrace("run", "fraud", "--config", config, *options.split(), *sources.split()).code
    asked = runtime.request
    assert code == 0
    assert (asked.sources, asked.to, asked.dead_letters) == (("b", "a"), "-", "x")
    assert (asked.speed, asked.learn, asked.state, asked.truth) == (60.5, False, Path("S"), Path("t.csv"))
    assert asked.config_file == config
    assert (asked.settings.flow.shards, asked.settings.flow.currency) == (2, "USD")
    assert asked.settings.policy.block_at == 0.9


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_that_is_none(headrace, runtime, speed):
    ended = headrace("run", "fraud", "--from", "a", "--to", "d", "--speed", speed)
    assert ended.code == 2
    assert "positive number, or max" in ended.err
    assert runtime.request is None


@pytest.mark.parametrize(
    "arguments",
    ["run", "run fraud --to d", "run fraud --from a", "run other --from a --to d", "nothing", "--nothing"],
)
def test_mistakes_of_the_command(headrace, runtime, arguments):
    ended = headrace(*arguments.split())
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert runtime.request is None


def test_mistakes_of_the_configuration_are_all_told(headrace, runtime):
    ended = headrace(
        "run", "fraud", "--from", "a", "--to", "d", "--set", "flow.shards=0", "--set", "policy.x=1"
    )
    assert ended.code == 2
    first, second, last = ended.err.splitlines()
    assert first.startswith("error: --set: flow.shards: ")
    assert second.startswith("error: --set: policy.x: unknown key")
    assert last == "error: 2 validation errors"
    assert runtime.request is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("a: not there"), 3),
        (errors.TruncatedInput("a.gz", 17, "ends early"), 4),
        (errors.JournalDamaged("journal", 3, "other bytes"), 6),
        (errors.StateMismatch(["one", "two"]), 7),
        (OSError(28, "No space left", "d.jsonl"), 1),
    ],
)
def test_errors_are_told_without_a_traceback(headrace, runtime, error, code):
    runtime.ending = error
    ended = headrace("run", "fraud", "--from", "a", "--to", "d")
    assert ended.code == code
    assert ended.out == ""
    assert all(line.startswith("error: ") for line in ended.err.splitlines())
    assert ended.err.count("error: ") == (2 if code == 7 else 1)


def test_a_run_that_ended_early_is_summarised_and_told(headrace, runtime):
    runtime.ending = RunSummary(
        progress=Progress(decisions=5), seconds=1.0, exit_code=4, error="a.gz: byte 17: ends early"
    )
    ended = headrace("run", "fraud", "--from", "a", "--to", "d")
    assert ended.code == 4
    assert "5 decisions" in ended.err
    assert ended.err.splitlines()[-1] == "error: a.gz: byte 17: ends early"


def test_nothing_but_decisions_goes_to_standard_output(headrace, runtime):
    ended = headrace("run", "fraud", "--from", "a", "--to", "-")
    assert ended.out == ""
    assert "decisions" in ended.err


def test_check(headrace, tmp_path):
    assert "digest" in headrace("check").out
    bad = tmp_path / "bad.toml"
    bad.write_text("[flow]\nshard = 1\n[policy]\nblock_at = 3\n")
    ended = headrace("check", bad)
    assert ended.code == 2
    assert ended.err.splitlines()[0] == f"error: {bad}: flow.shard: unknown key; did you mean shards?"
    assert ended.err.splitlines()[-1] == "error: 2 validation errors"


def test_check_looks_into_the_model_too(headrace):
    ended = headrace("check", "--set", "model.parameters.lrr=1", "--set", "flow.shards=0")
    first, second, _ = ended.err.splitlines()
    assert first.startswith("error: --set: flow.shards: ")
    assert second.startswith("error: --set: model.parameters.lrr: ")
    only = headrace("check", "--set", "model.name=none").err
    assert only.startswith("error: --set: model.name: there is no model 'none'")


def test_simulate(headrace, tmp_path):
    events, truth = tmp_path / "e.jsonl", tmp_path / "t.csv"
    ended = headrace(
        "simulate", "--preset", "tiny", "--seed", 3, "--to", events, "--truth", truth, "--days", 2
    )
    assert ended.code == 0
    lines = events.read_text().splitlines()
    assert f"{len(lines):,} events" in ended.err
    payments = [json.loads(line) for line in lines if '"payment"' in line]
    assert len(truth.read_text().splitlines()) == len(payments) + 1
    assert len({payment["event_time"][:10] for payment in payments}) == 2


def test_simulate_without_a_place_or_a_preset(headrace, tmp_path):
    assert "--to" in headrace("simulate").err
    ended = headrace("simulate", "--preset", "none", "--to", tmp_path / "e")
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "tiny" in headrace("simulate", "--presets").out


def test_simulate_writes_a_networks_further_truths(headrace, tmp_path):
    files = ("--to", tmp_path / "e.jsonl.gz", "--truths", tmp_path / "truths")
    assert headrace("simulate", "--preset", "storm", "--days", 1, *files).code == 0
    written = {path.name for path in (tmp_path / "truths").iterdir()}
    assert written == {"bots.csv", "drifts.csv", "frauds.csv", "lines.csv", "poisoned.csv", "rings.csv"}
    ended = headrace("simulate", "--preset", "tiny", "--to", tmp_path / "e", "--truths", tmp_path / "none")
    assert ended.code == 2
    assert ended.err.startswith("error: simulate: truths: ")
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("customers", [9, 0, -1])
def test_simulate_refuses_too_few_customers_at_the_option(headrace, tmp_path, customers):
    ended = headrace("simulate", "--to", tmp_path / "e", "--customers", customers)
    assert ended.code == 2
    assert "--customers" in ended.err
    assert "10" in ended.err
    assert "at least 10" in headrace("simulate", "--help").out


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_simulate_refuses_a_speed_that_is_none(headrace, tmp_path, speed):
    ended = headrace("simulate", "--to", tmp_path / "e", "--speed", speed)
    assert ended.code == 2
    assert "positive number, or max" in ended.err


def test_version(headrace):
    assert headrace("--version").out == f"headrace {__version__}\n"


def test_exit_codes_cover_the_errors():
    told = {code for code, _ in EXIT_CODES}
    ours = [getattr(errors, name) for name in errors.__all__]
    assert {error.exit_code for error in ours if hasattr(error, "exit_code")} <= told


def test_exit_codes_are_in_the_help(headrace):
    text = headrace("--help").out
    assert all(means in text for _, means in EXIT_CODES)


def test_the_reference_page_is_not_stale():
    page = reference_page(typer.main.get_command(cli.app), EXIT_CODES)
    assert (DOCS / "cli.md").read_text() == page, "run: headrace reference"


def test_schema_writes_what_the_documentation_holds(headrace, tmp_path):
    assert headrace("schema", "--to", tmp_path).code == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (DOCS / "schemas").iterdir()}, (
        "run: headrace schema"
    )


@pytest.mark.parametrize("command", ["--help", "run --help", "check"])
def test_help_is_quick_to_import(command):
    program = (
        "import sys; from headrace.cli.app import main; sys.argv[1:] = sys.argv[1].split(); main();"
        "sys.exit(any(name in sys.modules for name in ('bytewax', 'river', 'sklearn')))"
    )
    ended = subprocess.run([sys.executable, "-c", program, command], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()


def test_it_runs_as_a_module():
    ended = subprocess.run([sys.executable, "-m", "headrace", "--version"], check=True, capture_output=True)
    assert ended.stdout.decode() == f"headrace {__version__}\n"
