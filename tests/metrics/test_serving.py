"""Metrics and health over HTTP: what is answered, what is refused, and what can't be served."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headrace.config.loading import load
from headrace.errors import ConfigError
from headrace.metrics.http_server import standing_in
from headrace.metrics.recorder import Recorder
from headrace.metrics.serving import Served, listening, served

PATIENCE_S = 600
PATIENT = ("metrics.request_seconds_max=300", "metrics.stalled_seconds_max=3600")


@contextmanager
def serving(*overrides: str) -> Iterator[Served]:
    """A server whose limits of time don't hold on a busy machine either, but for those that are given."""
    with served(load(None, (*PATIENT, *overrides)), 0, None) as it:
        assert it is not None
        yield it


def port_of(it: Served) -> int:
    port = urlsplit(it.url).port
    assert port
    return port


def ask(it: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    with closing(
        http.client.HTTPConnection(str(urlsplit(it.url).hostname), port_of(it), timeout=PATIENCE_S)
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
    return socket.create_connection(("127.0.0.1", port_of(it)), timeout=PATIENCE_S)


def test_a_connection_that_asks_for_nothing_is_cut_off():
    with serving("metrics.request_seconds_max=0.1") as it, closing(silent(it)) as idle:
        assert idle.recv(1) == b""


def test_slow_clients_take_nothing_from_health_nor_from_metrics():
    with serving("metrics.requests_max=1") as it, ExitStack() as stack:
        for place in range(40):
            slow = stack.enter_context(closing(silent(it)))
            slow.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: "[: place % 30])
        it.recorder.phase("running")
        it.recorder.turned()
        for _ in range(50):
            assert [ask(it, path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_beyond_the_limit_of_connections_the_oldest_makes_room():
    with serving("metrics.connections_max=8") as it, ExitStack() as stack:
        slow = [stack.enter_context(closing(silent(it))) for _ in range(12)]
        assert ask(it, "/healthz")[0] == 200
        assert [each.recv(1) for each in slow[:4]] == [b""] * 4
        slow[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert slow[-1].recv(12) == b"HTTP/1.0 200"


def test_metrics_beyond_the_limit_are_refused_and_health_is_not(monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(_self: Recorder) -> dict[str, int]:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return {}

    monkeypatch.setattr(Recorder, "events", slow)
    with serving("metrics.requests_max=1") as it, ExitStack() as stack:
        first = stack.enter_context(closing(silent(it)))
        first.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert begun.wait(PATIENCE_S)
        assert ask(it, "/metrics")[0] == 503
        assert ask(it, "/healthz")[0] == 200
        go_on.set()
        assert first.recv(12) == b"HTTP/1.0 200"
        assert ask(it, "/metrics")[0] == 200


def test_an_answer_that_nobody_takes_is_cut_off_and_makes_room(monkeypatch):
    monkeypatch.setattr(
        Recorder, "events", lambda _self: {f"{number:04}" * 10_000: 1 for number in range(200)}
    )
    # It takes no time to make; a busy machine that took longer than the limit would cut each answer off.
    with serving("metrics.requests_max=1", "metrics.request_seconds_max=2") as it, ExitStack() as stack:
        idle = stack.enter_context(closing(silent(it)))
        idle.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        until, status = time.monotonic() + PATIENCE_S, b""
        while status != b"HTTP/1.0 200":
            assert time.monotonic() < until
            with closing(silent(it)) as other:
                other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                status = other.recv(12)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"\xff\x00\r\n\r\n", b"400"),
        (b"GET /healthz\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\n\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000, b"431"),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"405"),
    ],
)
def test_what_is_no_request_is_told_so(request_bytes, status):
    with serving() as it, closing(silent(it)) as client:
        client.sendall(request_bytes)
        assert client.recv(12).split()[1] == status
        assert ask(it, "/healthz")[0] == 200


def test_a_running_flow_is_not_ready_while_something_troubles_it():
    with serving("metrics.stalled_seconds_max=3600") as it:
        it.recorder.phase("running")
        it.recorder.beside = lambda: ["process 1 is stalled"]
        assert ask(it, "/readyz")[::2] == (503, b"running, but process 1 is stalled\n")
        assert ask(it, "/healthz")[0] == 200


def test_someone_answers_for_a_process_that_is_away():
    settings = load(None, ())
    (where,) = listening(settings, 0, None, 1)
    port = where.getsockname()[1]
    with where, standing_in(where, settings.metrics, lambda: "it waits for room on the disk"):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as client:
            client.request("GET", "/healthz")
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"it waits for room on the disk\n")
        for path in ("/readyz", "/metrics"):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as client:
                client.request("GET", path)
                assert client.getresponse().status == 503
    assert listening(settings, None, None, 2) == []


def test_nothing_is_served_unless_asked_for():
    with served(load(None), None, None) as it:
        assert it is None


def test_the_option_goes_before_the_configured_port_and_the_window_is_configured():
    settings = load(None, ("metrics.port=1", "metrics.window_outcomes_max=2"))
    with served(settings, 0, None) as it:
        assert it is not None
        assert port_of(it) != 1
        it.recorder.evaluated([(0.1, 0)] * 5, learned=True)
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
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def test_without_the_client_the_option_is_refused_and_everything_else_works(tmp_path):
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('No module named prometheus_client', name='prometheus_client')"
    )
    events, to = tmp_path / "events.jsonl", tmp_path / "decisions.jsonl"
    events.write_bytes(b"")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from headrace.cli.app import main; sys.exit(main())"
    )
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
    plain = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert plain.returncode == 0, plain.stderr
    asked = subprocess.run(
        [*command, "--metrics-port", "0"], capture_output=True, text=True, check=False, timeout=PATIENCE_S
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
    keys = [invalid.key for invalid in raised.value.errors]
    assert keys == [
        "metrics.port",
        "metrics.window_outcomes_max",
        "metrics.stalled_seconds_max",
        "metrics.hosts",
    ]
