"""A joke API on loopback that misbehaves as it is told, for the demo and for tests.

Real HTTP over real sockets; it never answers to another machine.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from types import MappingProxyType
from typing import Any, Self

JOKES = (
    ("Why did the job cross the queue?", "Its lock was on the other side."),
    ("How many workers does it take to change a light bulb?", "One, at least once."),
    ("What did the breaker say to the API?", "I need some space. A minute will do."),
    ("Why are retries bad at parties?", "They leave, come back, and tell the same story."),
    ("What is a dead letter's favourite word?", "Again."),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Where nothing is said it is a joke, at once.

    Attributes:
        status: The HTTP status.
        delay: Seconds before anything is sent.
        headers: Besides those that every answer has.
        body: In place of a joke, or of a few words about the error.
        hang_up: Close the connection without a word.
    """

    status: int = 200
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes | None = None
    hang_up: bool = False


OK = Reply()

Behaviour = Callable[[str], Reply]
"""What is answered to a request for a path."""


class JokeServer:
    """The server, running between ``with`` and its end.

    It answers what was queued by `will`, in order, and then as `behave` says; at first with jokes only.
    """

    def __init__(self, *, port: int = 0, behaviour: Behaviour | None = None) -> None:
        """Listen on `port` of the loopback address; 0 takes a free one."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._queued: deque[Reply] = deque()
        self._behaviour: Behaviour = behaviour or always(OK)
        self._visits: list[str] = []
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is, for API_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def visits(self) -> tuple[str, ...]:
        """The paths that were asked for so far, in order."""
        with self._lock:
            return tuple(self._visits)

    def will(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each."""
        with self._lock:
            self._queued.extend(replies)

    def behave(self, behaviour: Behaviour) -> None:
        """Answer from now on as `behaviour` says, once what `will` queued is used up."""
        with self._lock:
            self._behaviour = behaviour

    def reply_to(self, path: str) -> Reply:
        """Note a request and choose its answer."""
        with self._lock:
            self._visits.append(path)
            if self._queued:
                return self._queued.popleft()
            behaviour = self._behaviour
        return behaviour(path)

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the server's own end."""
        self._closing.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def always(reply: Reply) -> Behaviour:
    """Give every request the same answer."""
    return lambda _: reply


def joke(number: int) -> dict[str, Any]:
    """The joke of that number; there is one for each."""
    setup, punchline = JOKES[number % len(JOKES)]
    return {"id": number, "type": "programming", "setup": setup, "punchline": punchline}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: JokeServer) -> None:
        super().__init__(address, _Handler)
        self.owner = owner


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        owner = self.server.owner
        reply = owner.reply_to(self.path)
        owner.pause(reply.delay)
        if reply.hang_up:
            self.close_connection = True
            self.connection.shutdown(SHUT_RDWR)
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        status, body = (reply.status, reply.body) if reply.body is not None else self._content(reply.status)
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # Whoever asked has given up waiting.
            self.close_connection = True

    def _content(self, status: int) -> tuple[int, bytes]:
        """The joke that was asked for, or a few words."""
        kind, _, number = self.path.strip("/").partition("/")
        if status != 200:  # noqa: PLR2004 - OK.
            return status, json.dumps({"message": f"misbehaving with {status}, as told"}).encode()
        if kind == "random_joke":
            return 200, json.dumps(joke(len(self.server.owner.visits))).encode()
        if kind == "jokes" and number.isdecimal():
            return 200, json.dumps(joke(int(number))).encode()
        return 404, json.dumps({"message": "there is no such page"}).encode()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it.
        """Say nothing: whoever runs this server shows what it does in their own way."""
