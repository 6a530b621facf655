"""A small HTTP server whose health answers under any load: one loop reads all requests, some threads answer.

Reading costs no thread, so a client that is slow to ask takes nothing from others. What is quick to answer is
answered by the loop itself; the rest has slots of its own.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from headrace.config.tables import MetricsSettings

__all__ = ["HEALTH", "METRICS", "READY", "HttpServer", "WsgiApp", "listen", "say", "standing_in"]

WsgiApp: TypeAlias = Callable[..., Iterable[bytes]]

HEALTH: Final = "/healthz"
READY: Final = "/readyz"
METRICS: Final = "/metrics"
_PLAIN: Final = "text/plain; charset=utf-8"
_QUEUE_CONNECTIONS: Final = 128
_HEAD_BYTES_MAX: Final = 16_384
_READ_BYTES: Final = 65_536
_LOOK_S: Final = 0.1
_NO_DESCRIPTOR_S: Final = 0.05


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, without asking for the host's full name, which may take long.

    Raises
    ------
    OSError
        If the address can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_QUEUE_CONNECTIONS)


def say(start: Callable[..., Any], status: str, text: str, *headers: tuple[str, str]) -> list[bytes]:
    """Answer with a line of text."""
    body = f"{text}\n".encode()
    start(status, [("Content-Type", _PLAIN), ("Content-Length", str(len(body))), *headers])
    return [body]


class _Client:
    """A connection: what came of its request, and what is left of its answer."""

    __slots__ = ("answer", "asked", "began", "head", "socket")

    def __init__(self, connection: socket.socket, now_s: float) -> None:
        self.socket, self.began = connection, now_s
        self.head = bytearray()
        self.asked = False
        self.answer: memoryview | None = None


class HttpServer:
    """Answers GET and HEAD, one request a connection.

    Parameters
    ----------
    listening
        Where connections come; the caller's to close.
    application
        Answers, as WSGI has it.
    limits
        How many connections and answers there may be at a time, and how long one may take.
    at_once
        Paths that are answered by the loop, before all others and in any number.
    """

    def __init__(
        self,
        listening: socket.socket,
        application: WsgiApp,
        limits: MetricsSettings,
        at_once: Collection[str],
    ) -> None:
        self._listening, self._application, self._limits = listening, application, limits
        self._at_once = frozenset(at_once)
        self._clients: dict[socket.socket, _Client] = {}
        self._answering = 0
        self._answered: deque[tuple[_Client, bytes]] = deque()
        self._ending = False
        listening.setblocking(False)
        # Threads that have made an answer wake the loop through it; `select` knows of nothing but
        # descriptors.
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ)
        self._selector.register(self._ours, selectors.EVENT_READ)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of its own as long as the context is open."""
        thread = threading.Thread(target=self._serve, name="headrace-http", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending = True
            self._wake()
            thread.join()

    def _wake(self) -> None:
        with suppress(OSError):
            self._theirs.send(b"\0")

    def _serve(self) -> None:
        try:
            while not self._ending:
                for key, _ in self._selector.select(_LOOK_S):
                    self._serve_one(key.fileobj)
                self._send_answers()
                self._cut_slow()
        finally:
            for client in list(self._clients.values()):
                self._close(client)
            self._selector.close()
            self._ours.close()
            self._theirs.close()

    def _serve_one(self, which: Any) -> None:
        if which is self._listening:
            self._accept()
        elif which is self._ours:
            with suppress(BlockingIOError):
                self._ours.recv(_READ_BYTES)
        else:
            client = self._clients.get(which)
            if client is not None:
                self._advance(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except BlockingIOError:
            return  # another process that listens here too was quicker
        except OSError:
            # No descriptor is left. The connection still waits, so `select` would return at once, over and
            # over.
            time.sleep(_NO_DESCRIPTOR_S)
            return
        connection.setblocking(False)
        if len(self._clients) >= self._limits.connections_max:
            self._close(next(iter(self._clients.values())))  # the oldest makes room
        client = self._clients[connection] = _Client(connection, time.monotonic())
        self._selector.register(connection, selectors.EVENT_READ)
        self._advance(client)

    def _cut_slow(self) -> None:
        now, limit_s = time.monotonic(), self._limits.request_seconds_max
        for client in list(self._clients.values()):
            if now - client.began <= limit_s:
                break  # they stand in the order in which they came
            self._close(client)

    def _close(self, client: _Client) -> None:
        if self._clients.pop(client.socket, None) is None:
            return
        if client.answer is not None and client.asked:
            self._answering -= 1
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()

    # -- a request

    def _advance(self, client: _Client) -> None:
        """Take in more of a request, or send more of its answer."""
        try:
            if client.answer is not None:
                self._send(client)
            elif not client.asked:
                self._take_in(client)
        except BlockingIOError:
            return
        except OSError:
            self._close(client)

    def _take_in(self, client: _Client) -> None:
        some = client.socket.recv(_READ_BYTES)
        client.head += some
        head = bytes(client.head)
        end = min((at for at in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if at >= 0), default=-1)
        if end >= 0:
            self._answer(client, head[:end])
        elif not some:
            self._close(client)
        elif len(head) > _HEAD_BYTES_MAX:
            self._refuse(client, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _answer(self, client: _Client, head: bytes) -> None:
        environ = _environ(head)
        if environ is None:
            self._refuse(client, HTTPStatus.BAD_REQUEST)
        # Health is answered by the loop itself: it must come also when every thread is busy with metrics.
        elif environ["PATH_INFO"] in self._at_once:
            self._begin_sending(client, _made(self._application, environ))
        elif self._answering >= self._limits.requests_max:
            self._refuse(client, HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._answering += 1
            client.asked = True
            self._selector.unregister(client.socket)
            # A thread for each, but never more than `requests_max`: a scrape comes every few seconds, and a
            # pool would idle.
            threading.Thread(target=self._make, args=(client, environ), daemon=True).start()

    def _make(self, client: _Client, environ: dict[str, Any]) -> None:
        # Only the loop touches sockets and the selector; a thread hands over bytes, and a deque's `append`
        # needs no lock.
        self._answered.append((client, _made(self._application, environ)))
        self._wake()

    def _send_answers(self) -> None:
        while self._answered:
            client, answer = self._answered.popleft()
            if client.socket in self._clients:
                self._begin_sending(client, answer)
            else:
                self._answering -= 1  # it was cut off meanwhile

    def _refuse(self, client: _Client, status: HTTPStatus) -> None:
        self._begin_sending(client, _head(f"{status.value} {status.phrase}", [("Content-Length", "0")]))

    def _begin_sending(self, client: _Client, answer: bytes) -> None:
        client.answer = memoryview(answer)
        if client.asked:
            self._selector.register(client.socket, selectors.EVENT_WRITE)
        else:
            self._selector.modify(client.socket, selectors.EVENT_WRITE)
        self._advance(client)

    def _send(self, client: _Client) -> None:
        assert client.answer is not None
        while client.answer:
            client.answer = client.answer[client.socket.send(client.answer) :]
        # What is still unread of the request would have the system drop the answer with the connection.
        with suppress(OSError):
            client.socket.shutdown(socket.SHUT_WR)
            client.socket.recv(_READ_BYTES)
        self._close(client)


@contextmanager
def standing_in(where: socket.socket, limits: MetricsSettings, why: Callable[[], str]) -> Iterator[None]:
    """Answer for a process that doesn't run, or doesn't answer: it is healthy to wait for it, but not ready.

    Parameters
    ----------
    where
        A socket that listens for it.
    limits
        Of the server.
    why
        Says what it waits for.
    """

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        path, text = environ["PATH_INFO"], why()
        answer = say(start, "200 OK" if path == HEALTH else "503 Service Unavailable", text)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else answer

    with HttpServer(where, application, limits, (HEALTH, READY, METRICS)).running():
        yield


def _environ(head: bytes) -> dict[str, Any] | None:
    """Return a request as WSGI has it; None if it is none."""
    first, *lines = head.decode("latin-1").splitlines() or [""]
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return None
    path, _, query = words[1].partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": words[0], "PATH_INFO": path, "QUERY_STRING": query}
    for line in lines:
        name, _, value = line.partition(":")
        environ.setdefault(f"HTTP_{name.strip().upper().replace('-', '_')}", value.strip())
    return environ


def _made(application: WsgiApp, environ: dict[str, Any]) -> bytes:
    """All bytes of an answer; one that fails is told as such, and the error on standard error."""
    told: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
        told[:] = status, headers

    try:
        body = b"".join(application(environ, start))
        status, headers = told
    except Exception:  # noqa: BLE001  # whatever it was, the server goes on
        traceback.print_exc()
        return _head("500 Internal Server Error", [("Content-Length", "0")])
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    return _head(status, headers) + body


def _head(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.0 {status}", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
