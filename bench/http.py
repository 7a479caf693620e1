"""Submitting over HTTP: `POST /tasks/noop` against a bare FastAPI with one INSERT, one uvicorn process each.

Both servers are started by the same command line and loaded by the same client, over connections that stay open.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
import uvloop

from app.store.keys import Role, create_key

from .bench import Bench
from .contenders import ROOT, defaults
from .row import Row, ratio

APPS = {"bare": "bench.contenders.bare:app", "ours": "app.api.main:app", "keyed": "app.api.main:app"}
"""Ours once with no key, as on a machine of one's own, and once as in production: with keys, each request signed in."""

CONNECTIONS = 16
"""Requests in flight at any moment."""

WARM_UP = 0.5
"""Seconds that are not counted: statements are prepared after some executions."""

_BODY = b'{"args": {}}'


def _request(key: str | None) -> bytes:
    signed = b"" if key is None else b"Authorization: Bearer %b\r\n" % key.encode()
    return (
        b"POST /tasks/noop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b"
        b"Content-Length: %d\r\n\r\n%b" % (signed, len(_BODY), _BODY)
    )


def rows(bench: Bench) -> Iterator[Row]:
    """Submissions per second, against bare."""
    per_second: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    bench.server.template("plain", ours=False)
    bench.server.template("ours", ours=True)
    for _ in bench.rounds("submitting over HTTP"):
        for name in APPS:
            with (
                bench.server.database("plain" if name == "bare" else "ours") as conninfo,
                serving(name, conninfo) as (address, process),
            ):
                request = _request(uvloop.run(new_key(conninfo)) if name == "keyed" else None)
                uvloop.run(_load(address, request, WARM_UP))
                before = _cpu_seconds(process)
                answered, seconds = uvloop.run(_load(address, request, bench.scale.seconds))
                per_second[name].append(answered / seconds)
                cpu[name].append(1000 * (_cpu_seconds(process) - before) / answered)
    for name, about in {"ours": "", "keyed": " with keys"}.items():
        yield ratio(
            f"POST /tasks/x per second{about}, against a bare FastAPI + psycopg INSERT",
            per_second[name],
            per_second["bare"],
            required=0.6,
            goal=0.8,
            of="requests/s",
        )
        # Where the disk or other processes are the bottleneck, this still tells what a request costs us.
        yield ratio(
            f"CPU of the API process per submission{about}, against bare",
            cpu[name],
            cpu["bare"],
            smaller_is_better=True,
            of="ms",
        )


async def new_key(conninfo: str) -> str:
    """An operator's key, and nine more that nobody uses."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        made = [await create_key(conn, f"key {number}", Role.OPERATOR, actor="bench") for number in range(10)]
    return made[0]


@contextmanager
def serving(name: str, conninfo: str) -> Iterator[tuple[tuple[str, int], psutil.Process]]:
    """A server's address and process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Accepted connections inherit it. uvicorn takes a descriptor for a socket file and does not set it, and then
        # each answer waits 40 ms for the acknowledgement of its headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", APPS[name], "--fd", str(descriptor), "--no-access-log"],
            cwd=ROOT,
            env=defaults(conninfo, "bench.contenders.tasks"),
            pass_fds=[descriptor],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if "BENCH_DEBUG" not in os.environ else None,
        )
        try:
            yield listener.getsockname(), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _load(address: tuple[str, int], request: bytes, seconds: float) -> tuple[int, float]:
    """Send requests for so many seconds from the first answer on; return how many were answered, in which time."""
    await _send(*await asyncio.open_connection(*address), request, until=0.0)
    begun = time.perf_counter()
    until = begun + seconds
    senders = [_send(*await asyncio.open_connection(*address), request, until=until) for _ in range(CONNECTIONS)]
    answered = sum(await asyncio.gather(*senders))
    return answered, time.perf_counter() - begun


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, *, until: float) -> int:
    """Send one request after the other, at least one; return how many were answered with 202."""
    answered = 0
    while not answered or time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"answered with {head.splitlines()[0].decode()}")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        await reader.readexactly(int(fields[b"content-length"]))
        answered += 1
    writer.close()
    await writer.wait_closed()
    return answered
