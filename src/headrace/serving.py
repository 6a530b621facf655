"""Serves a run's metrics and its health over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, NamedTuple, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from headrace.config.settings import MetricsSettings, RunSettings, shipped
from headrace.errors import ConfigError, Mistake
from headrace.operators.recorder import Recorder

__all__ = ["Served", "served"]

WsgiApp: TypeAlias = Callable[..., Iterable[bytes]]

_OPTION: Final = "--metrics-port"
_SHUTDOWN_POLL_S: Final = 0.1
_QUEUE_CONNECTIONS: Final = 16
_REFUSED: Final = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PLAIN: Final = "text/plain; charset=utf-8"


class Served(NamedTuple):
    """What a run is told to tell, and where that can be read.

    Attributes
    ----------
    recorder
        The run's telemetry.
    url
        Of the metrics.
    """

    recorder: Recorder
    url: str


@contextmanager
def served(settings: RunSettings, port: int | None, config_file: Path | None) -> Iterator[Served | None]:
    """Serve `/metrics`, `/healthz` and `/readyz` as long as the context is open; None if nobody asked for it.

    Parameters
    ----------
    settings
        The configuration of the run that will be told of.
    port
        Goes before the configured one; 0 for a free one.
    config_file
        Named when the port or the address can't be used; None for the shipped one.

    Raises
    ------
    ConfigError
        If the Prometheus client isn't installed, or the address can't be listened on.
    """
    wanted = settings.metrics.port if port is None else port
    if wanted is None:
        yield None
        return
    place = (
        (_OPTION, "")
        if port is not None
        else (str(config_file or shipped(settings.flow.kind)), "metrics.port")
    )
    recorder = Recorder(settings.metrics.window_outcomes_max)
    application = _routes(_metrics(recorder, settings, place), recorder, settings.metrics)
    with _listening(settings.metrics, wanted, application, place) as server:
        host, listened = server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        yield Served(recorder, f"http://{shown}:{listened}/metrics")


def _metrics(recorder: Recorder, settings: RunSettings, place: tuple[str, str]) -> WsgiApp:
    try:
        from headrace.operators.metrics import application
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        message = "needs the Prometheus client, which is not installed: pip install 'headrace[metrics]'"
        raise ConfigError([Mistake(*place, message)]) from error
    return application(recorder, settings)


# -- answers


def _routes(metrics: WsgiApp, recorder: Recorder, limits: MetricsSettings) -> WsgiApp:
    """One application for the three paths."""

    def health(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seconds, limit = recorder.unmoved_s, limits.stalled_seconds_max
        if seconds <= limit:
            return _say(start, "200 OK", "ok")
        said = f"stalled: the flow has not moved for {seconds:.1f} s (limit {limit:g} s)"
        return _say(start, "503 Service Unavailable", said)

    def ready(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        phase = recorder.current
        return _say(start, "200 OK" if phase == "running" else "503 Service Unavailable", phase)

    def missing(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        return _say(start, "404 Not Found", f"there are {', '.join(paths)}")

    paths: dict[str, WsgiApp] = {"/metrics": metrics, "/healthz": health, "/readyz": ready}

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer: WsgiApp = paths.get(environ["PATH_INFO"], missing)
        if method == "HEAD":
            return _headers_only(answer, environ, start)
        if method != "GET":
            return _say(start, "405 Method Not Allowed", "GET or HEAD", ("Allow", "GET, HEAD"))
        return answer(environ, start)

    return application


def _say(start: Callable[..., Any], status: str, text: str, *headers: tuple[str, str]) -> list[bytes]:
    body = f"{text}\n".encode()
    start(status, [("Content-Type", _PLAIN), ("Content-Length", str(len(body))), *headers])
    return [body]


def _headers_only(answer: WsgiApp, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Answer as to a GET, without the body."""
    said: list[Any] = []
    length = sum(map(len, answer(environ | {"REQUEST_METHOD": "GET"}, lambda *given: said.extend(given))))
    status, headers = said
    start(
        status, [*(each for each in headers if each[0] != "Content-Length"), ("Content-Length", str(length))]
    )
    return []


# -- the server


class _Handler(WSGIRequestHandler):
    """Writes no log, and doesn't wait for ever."""

    def setup(self) -> None:
        """Give the connection the server's limit."""
        self.request.settimeout(getattr(self.server, "request_seconds_max", None))
        super().setup()

    def log_message(self, *_: object) -> None:
        """Say nothing: whoever asks sees the answer."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request, up to a limit; a request that takes too long makes room for the next."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = _QUEUE_CONNECTIONS

    def __init__(self, limits: MetricsSettings, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in limits.host else socket.AF_INET
        self.request_seconds_max = limits.request_seconds_max
        self._requests_max = limits.requests_max
        self._open: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__((limits.host, port), _Handler)

    def server_bind(self) -> None:
        """Listen without asking for the host's full name: that may wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or refuse."""
        now = time.monotonic()
        with self._lock:
            slow = [each for each, began in self._open.items() if now - began > self.request_seconds_max]
            full = len(self._open) - len(slow) >= self._requests_max
            if not full:
                self._open[request] = now
        for each in slow:
            _cut_off(each)
        if full:
            _refuse(request)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a request, answered or not."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a connection that broke alone; whoever asked knows."""


def _cut_off(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended meanwhile


def _refuse(request: socket.socket) -> None:
    try:
        request.settimeout(_SHUTDOWN_POLL_S)
        request.sendall(_REFUSED)
    except OSError:
        return  # whoever asked has gone


@contextmanager
def _listening(
    limits: MetricsSettings, port: int, application: WsgiApp, place: tuple[str, str]
) -> Iterator[_Server]:
    try:
        server = _Server(limits, port)
    except OSError as error:
        message = f"{limits.host}:{port} can't be listened on: {error.strerror or error}"
        raise ConfigError([Mistake(*place, message)]) from error
    server.set_app(application)
    thread = threading.Thread(
        target=server.serve_forever, args=(_SHUTDOWN_POLL_S,), name="headrace-metrics", daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
