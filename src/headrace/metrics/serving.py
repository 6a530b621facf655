"""Serves a run's metrics and its health over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT
from headrace.config.tables import MetricsSettings, RunSettings
from headrace.errors import ConfigError, Invalid
from headrace.metrics.http_server import HEALTH, METRICS, READY, HttpServer, WsgiApp, listen, say
from headrace.metrics.recorder import Recorder
from headrace.shard.kinds import kind_of

__all__ = ["Served", "listening", "served"]

_OPTION: Final = "--metrics-port"
_AT_ONCE: Final = (HEALTH, READY)


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
def served(
    settings: RunSettings,
    port: int | None,
    config_file: Path | str | None,
    given: socket.socket | None = None,
) -> Iterator[Served | None]:
    """Serve `/metrics`, `/healthz` and `/readyz` as long as the context is open; None if nobody asked for it.

    Parameters
    ----------
    settings
        The configuration of the run that will be told of.
    port
        Goes before the configured one; 0 for a free one.
    config_file
        Named when the port or the address can't be used; None for the shipped one.
    given
        A socket that listens already.

    Raises
    ------
    ConfigError
        If the Prometheus client isn't installed, or the address can't be listened on.
    """
    wanted = settings.metrics.port if port is None else port
    if wanted is None:
        yield None
        return
    place = _place(port, config_file)
    window = kind_of(settings).evaluation.window(settings.metrics.window_outcomes_max)
    recorder = Recorder(window)
    application = _routes(_metrics(recorder, settings, place), recorder, settings.metrics)
    # Given by a launcher, which listens too: so the port answers while this process is down.
    where = _listen(settings.metrics, wanted, place) if given is None else given
    with where, HttpServer(where, application, settings.metrics, _AT_ONCE).running():
        yield Served(recorder, _url(where))


def listening(
    settings: RunSettings, port: int | None, config_file: Path | str | None, count: int
) -> list[socket.socket]:
    """Sockets that listen for each of some processes, from the port on; none if nobody asked for it.

    Raises
    ------
    ConfigError
        If the address can't be listened on.
    """
    wanted = settings.metrics.port if port is None else port
    if wanted is None:
        return []
    place = _place(port, config_file)
    return [_listen(settings.metrics, wanted + index if wanted else 0, place) for index in range(count)]


def _place(port: int | None, config_file: Path | str | None) -> tuple[str, str]:
    """Who has named the port."""
    if port is not None:
        return _OPTION, ""
    return str(config_file or SHIPPED_ENVIRONMENT), "metrics.port"


def _listen(limits: MetricsSettings, port: int, place: tuple[str, str]) -> socket.socket:
    try:
        return listen(limits.host, port)
    except OSError as error:
        message = f"{limits.host}:{port} can't be listened on: {error.strerror or error}"
        raise ConfigError([Invalid(*place, message)]) from error


def _url(where: socket.socket) -> str:
    host, port = where.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"


def _metrics(recorder: Recorder, settings: RunSettings, place: tuple[str, str]) -> WsgiApp:
    try:
        from headrace.metrics.exposition import application
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        message = "needs the Prometheus client, which is not installed: pip install 'headrace[metrics]'"
        raise ConfigError([Invalid(*place, message)]) from error
    return application(recorder, settings)


# -- answers


def _routes(metrics: WsgiApp, recorder: Recorder, limits: MetricsSettings) -> WsgiApp:
    """One application for the three paths."""

    def health(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        said = _stalled(recorder, limits)
        return say(start, "503 Service Unavailable", said) if said else say(start, "200 OK", "ok")

    def ready(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        phase = recorder.current
        troubles = [each for each in (_stalled(recorder, limits), *recorder.troubles()) if each]
        # Not ready before the state is taken up, and not once it drains; but healthy in both, or it would be
        # restarted in the middle.
        if phase != "running":
            return say(start, "503 Service Unavailable", phase)
        if troubles:
            return say(start, "503 Service Unavailable", f"{phase}, but {'; '.join(troubles)}")
        return say(start, "200 OK", phase)

    def missing(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        return say(start, "404 Not Found", f"there are {', '.join(paths)}")

    paths: dict[str, WsgiApp] = {METRICS: metrics, HEALTH: health, READY: ready}

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer: WsgiApp = paths.get(environ["PATH_INFO"], missing)
        if method == "HEAD":
            return _headers_only(answer, environ, start)
        if method != "GET":
            return say(start, "405 Method Not Allowed", "GET or HEAD", ("Allow", "GET, HEAD"))
        return answer(environ, start)

    return application


def _stalled(recorder: Recorder, limits: MetricsSettings) -> str:
    """How long the flow has been stalled, if that is too long; empty otherwise."""
    seconds, limit = recorder.stalled_s, limits.stalled_seconds_max
    if seconds <= limit:
        return ""
    return f"stalled: the flow has not moved for {seconds:.1f} s (limit {limit:g} s)"


def _headers_only(answer: WsgiApp, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Answer as to a GET, without the body."""
    said: list[Any] = []
    length = sum(map(len, answer(environ | {"REQUEST_METHOD": "GET"}, lambda *given: said.extend(given))))
    status, headers = said
    start(
        status, [*(each for each in headers if each[0] != "Content-Length"), ("Content-Length", str(length))]
    )
    return []
