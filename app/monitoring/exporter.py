"""/metrics of a worker: a thread of its own serves it, so that a task that blocks the loop does not hide what runs.

Knows no keys: it serves the loopback address, or what METRICS_HOST says, to whoever knows METRICS_TOKEN where that is
set. A port that is taken costs the worker its metrics, and never its work.
"""

import hmac
import ipaddress
import logging
import socket
import socketserver
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .metrics import Metrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from ..queue.app import Afresh

PATH = "/metrics"

PATIENCE = 10.0
"""Seconds that a client has for its request: one that says nothing must not keep a thread for ever."""

Answer = tuple[HTTPStatus, list[tuple[str, str]], bytes]

_logger = logging.getLogger("afresh.metrics")


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in: whoever knows the token; where there is none, whoever asks by a number or an own name.

    A page that points a name of its own at this machine asks by that name.
    """

    token: str | None = field(repr=False)
    allowed_hosts: Collection[str] = ()

    def refusal(self, environ: "WSGIEnvironment") -> "Answer | None":
        """Why a request is refused; None: it is not."""
        if self.token is not None:
            if carries(environ.get("HTTP_AUTHORIZATION"), self.token):
                return None
            return HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Bearer")], b"send METRICS_TOKEN as a bearer\n"
        host = _host(environ.get("HTTP_HOST", ""))
        if host == "localhost" or host in self.allowed_hosts or _is_number(host):
            return None
        return HTTPStatus.BAD_REQUEST, [], b"ALLOWED_HOSTS does not name this host\n"


@contextmanager
def exporting(app: "Afresh") -> Iterator[None]:
    """Count and serve meanwhile what a worker does; where WORKER_METRICS_PORT is not set, neither."""
    settings = app.settings.metrics
    if settings.worker_port is None:
        yield
        return
    metrics = Metrics(app)
    door = Door(settings.token, app.settings.api.allowed_hosts)
    with metrics.listening(), _serving(settings.host, settings.worker_port, answering(metrics, door)):
        yield


@contextmanager
def _serving(host: str, port: int, answer: "WSGIApplication") -> Iterator[None]:
    try:
        server = make_server(host, port, answer, _Server, _Handler)
    except OSError as error:
        server = None
        _logger.warning("Metrics cannot be served on %s:%s (%s); the worker goes on without", host, port, error)
    if server is None:
        yield
        return
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    _logger.info("Metrics are served on http://%s:%s%s", f"[{host}]" if ":" in host else host, server.server_port, PATH)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answering(metrics: Metrics, door: Door) -> "WSGIApplication":
    """The WSGI application that answers with what is counted."""

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        status, headers, body = door.refusal(environ) or _answer(environ, metrics)
        start(f"{status.value} {status.phrase}", [*headers, ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return answer


def _answer(environ: "WSGIEnvironment", metrics: Metrics) -> Answer:
    if environ["PATH_INFO"] != PATH:
        return HTTPStatus.NOT_FOUND, [], f"there is only {PATH}\n".encode()
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED, [("Allow", "GET, HEAD")], b""
    media_type, body = metrics.rendered(environ.get("HTTP_ACCEPT"))
    return HTTPStatus.OK, [("Content-Type", media_type)], body


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def carries(authorization: str | None, token: str) -> bool:
    """Whether a request's Authorization is this token. Takes as long for every wrong one of its length."""
    scheme, _, given = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As the base class, without asking for a name: where no name server answers, that takes seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # An address and a port.
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def address_string(self) -> str:
        """The number of the client, unresolved."""
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  The base class names it so.
        """Say nothing: Prometheus asks every few seconds."""
