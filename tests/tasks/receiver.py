"""A real HTTP server on loopback: it keeps what it is sent, and answers as it was told to."""

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        seconds: How long it takes to come.
        drip: Between two of its bytes.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    seconds: float = 0.0
    drip: float = 0.0


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Receiver:
    """The server, as a test sees it.

    Attributes:
        requests: What came in, in order.
    """

    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    replies: deque[Reply] = field(default_factory=deque)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def will(self, *replies: Reply) -> None:
        """Answer like this, one after the other; then with 200."""
        self.replies.extend(replies)


@contextmanager
def receiver(host: str = "127.0.0.1", port: int = 0, *, certificate: Path | None = None) -> Iterator[Receiver]:
    """A server that listens meanwhile; with a certificate it encrypts."""
    state = Receiver(host)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append(Request(self.command, self.path, self.headers, body))
            reply = state.replies.popleft() if state.replies else Reply()
            time.sleep(reply.seconds)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            for part in [reply.body[n : n + 1] for n in range(len(reply.body))] if reply.drip else [reply.body]:
                self.wfile.write(part)
                time.sleep(reply.drip)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815  http.server's.

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  As above.
            pass

    server = _Server((host, port), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Says nothing about clients that hang up: some tests are about them."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""
