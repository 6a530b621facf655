"""Metrics and health over HTTP: what is answered, what is refused, and what can't be served."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headrace.config.settings import load
from headrace.errors import ConfigError
from headrace.operators.recorder import Recorder
from headrace.serving import Served, served


@contextmanager
def serving(*overrides: str) -> Iterator[Served]:
    with served(load(None, overrides), 0, None) as it:
        assert it is not None
        yield it


def port_of(it: Served) -> int:
    port = urlsplit(it.url).port
    assert port
    return port


def ask(it: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    with closing(
        http.client.HTTPConnection(str(urlsplit(it.url).hostname), port_of(it), timeout=20)
    ) as client:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_metrics_are_text_or_openmetrics_as_asked():
    with serving() as it:
        assert urlsplit(it.url).path == "/metrics"
        status, headers, body = ask(it, "/metrics")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        assert b"\nheadrace_build_info{" in body
        status, headers, body = ask(it, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


def test_readiness_is_the_phase():
    with serving() as it:
        said = [ask(it, "/readyz")[::2]]
        for phase in ("running", "draining"):
            it.recorder.phase(phase)
            said.append(ask(it, "/readyz")[::2])
    assert said == [(503, b"recovering\n"), (200, b"running\n"), (503, b"draining\n")]


def test_health_is_lost_when_a_running_flow_stands_still_and_comes_back():
    with serving("metrics.stalled_seconds_max=0.05") as it:
        time.sleep(0.1)
        assert ask(it, "/healthz")[::2] == (200, b"ok\n")  # a long recovery is no stall
        it.recorder.phase("running")
        time.sleep(0.1)
        status, _, body = ask(it, "/healthz")
        assert (status, body.startswith(b"stalled: "), body.endswith(b"(limit 0.05 s)\n")) == (
            503,
            True,
            True,
        )
    with serving("metrics.stalled_seconds_max=3600") as it:
        it.recorder.phase("running")
        it.recorder.turned()
        assert ask(it, "/healthz")[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
def test_a_head_is_answered_as_a_get_without_the_body(path):
    with serving() as it:
        status, headers, body = ask(it, path)
        status_only, headers_only, nothing = ask(it, path, "HEAD")
    assert (status_only, nothing) == (status, b"")
    assert headers_only["Content-Type"] == headers["Content-Type"]
    lengths = int(headers_only["Content-Length"]), len(body)
    assert lengths[0] == lengths[1] or (path == "/metrics" and lengths[0] > 1000)  # figures move on


def test_other_paths_and_methods_are_refused():
    with serving() as it:
        assert ask(it, "/")[0] == ask(it, "/metrics/")[0] == ask(it, "/favicon.ico")[0] == 404
        status, headers, _ = ask(it, "/metrics", "POST")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


def silent(it: Served) -> socket.socket:
    """A connection that asks for nothing."""
    return socket.create_connection(("127.0.0.1", port_of(it)), timeout=20)


def test_a_connection_that_asks_for_nothing_is_cut_off():
    with serving("metrics.request_seconds_max=0.1") as it, closing(silent(it)) as idle:
        assert idle.recv(1) == b""


def test_requests_beyond_the_limit_are_refused_and_slow_ones_make_room(monkeypatch):
    now = 0.0
    monkeypatch.setattr("headrace.serving.time.monotonic", lambda: now)
    limits = ("metrics.requests_max=2", "metrics.request_seconds_max=300")
    with serving(*limits) as it, closing(silent(it)) as one, closing(silent(it)) as other:
        assert ask(it, "/healthz")[0] == 503
        now = 301.0
        assert ask(it, "/healthz")[0] == 200
        assert one.recv(1) == other.recv(1) == b""


def test_nothing_is_served_unless_asked_for():
    with served(load(None), None, None) as it:
        assert it is None


def test_the_option_goes_before_the_configured_port_and_the_window_is_configured():
    settings = load(None, ("metrics.port=1", "metrics.window_outcomes_max=2"))
    with served(settings, 0, None) as it:
        assert it is not None
        assert port_of(it) != 1
        it.recorder.graded([(0.1, 0)] * 5, learnt=True)
        quality = it.recorder.window().quality()
        assert quality is not None
        assert quality.payments == 2


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="the machine has no IPv6")
def test_another_address_can_be_listened_on():
    with serving("metrics.host='::1'") as it:
        assert it.url.startswith("http://[::1]:")
        assert ask(it, "/healthz")[0] == 200


def test_an_address_that_cannot_be_listened_on_is_a_mistake_of_whoever_named_it(tmp_path):
    with serving() as it:
        taken = port_of(it)
        with pytest.raises(ConfigError, match=f"^--metrics-port: 127.0.0.1:{taken} can't be listened on: "):
            served(load(None), taken, None).__enter__()
        mine = tmp_path / "mine.toml"
        settings = load(None, (f"metrics.port={taken}",))
        with pytest.raises(ConfigError, match=r"mine\.toml: metrics\.port: .* can't be listened on: "):
            served(settings, None, mine).__enter__()


def test_the_server_ends_with_its_context():
    with serving() as it:
        port = port_of(it)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20)


def test_without_the_client_the_option_is_refused_and_everything_else_works(tmp_path):
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('No module named prometheus_client', name='prometheus_client')"
    )
    events, to = tmp_path / "events.jsonl", tmp_path / "decisions.jsonl"
    events.write_bytes(b"")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from headrace.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        code,
        str(tmp_path),
        "run",
        "fraud",
        "--from",
        str(events),
        "--to",
        str(to),
    ]
    plain = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert plain.returncode == 0, plain.stderr
    asked = subprocess.run(
        [*command, "--metrics-port", "0"], capture_output=True, text=True, check=False, timeout=60
    )
    assert asked.returncode == 2
    assert asked.stderr == (
        "error: --metrics-port: needs the Prometheus client, which is not installed:"
        " pip install 'headrace[metrics]'\n"
    )


def test_an_answer_that_fails_does_not_end_the_server(monkeypatch, capsys):
    with serving() as it:
        monkeypatch.setattr(Recorder, "events", lambda _self: 1 / 0)
        assert ask(it, "/metrics")[0] == 500
        monkeypatch.undo()
        assert ask(it, "/metrics")[0] == 200
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_limits_are_checked_with_everything_else(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text(
        "[metrics]\nport = 65536\nwindow_outcomes_max = 0\nstalled_seconds_max = 0.0\nhosts = 'x'\n"
    )
    with pytest.raises(ConfigError) as raised:
        load(Path(config))
    keys = [mistake.key for mistake in raised.value.mistakes]
    assert keys == [
        "metrics.port",
        "metrics.window_outcomes_max",
        "metrics.stalled_seconds_max",
        "metrics.hosts",
    ]
