"""A real webhook on loopback, which takes what it is sent, or refuses it as often as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """What came in.

    Attributes:
        url: Its address as Apprise wants it.
        taken: The bodies that were taken.
        refusals: How many more are refused.
        asked: How often it was called.
    """

    url: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0
    asked: int = 0

    @property
    def titles(self) -> list[str]:
        """Of what was taken."""
        return [each["title"] for each in self.taken]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook that listens meanwhile."""
    state, lock = Webhook(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:  # Messages come at the same time.
                state.asked += 1
                refused = state.refusals > 0
                state.refusals -= refused
                if not refused:
                    state.taken.append(json.loads(body))
            self.send_response(503 if refused else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's.
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"json://127.0.0.1:{server.server_port}/?secret-token=xyz"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
