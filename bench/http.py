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
import uvloop

from .bench import Bench
from .contenders import ROOT
from .row import Row, ratio

APPS = {"bare": "bench.contenders.bare:app", "ours": "app.api.main:app"}

CONNECTIONS = 16
"""Requests in flight at any moment."""

WARM_UP = 0.5
"""Seconds that are not counted: statements are prepared after some executions."""

_BODY = b'{"args": {}}'
_REQUEST = (
    b"POST /tasks/noop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
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
                bench.server.database("ours" if name == "ours" else "plain") as conninfo,
                serving(name, conninfo) as (address, process),
            ):
                uvloop.run(_load(address, WARM_UP))
                before = _cpu_seconds(process)
                answered, seconds = uvloop.run(_load(address, bench.scale.seconds))
                per_second[name].append(answered / seconds)
                cpu[name].append(1000 * (_cpu_seconds(process) - before) / answered)
    yield ratio(
        "POST /tasks/x per second, against a bare FastAPI + psycopg INSERT",
        per_second["ours"],
        per_second["bare"],
        required=0.6,
        goal=0.8,
        of="requests/s",
    )
    # Where the disk or other processes are the bottleneck, this still tells what a request costs us.
    yield ratio(
        "CPU of the API process per submission, against bare", cpu["ours"], cpu["bare"], smaller_is_better=True, of="ms"
    )


@contextmanager
def serving(name: str, conninfo: str) -> Iterator[tuple[tuple[str, int], psutil.Process]]:
    """A server's address and process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        environment |= {"DATABASE_URL": conninfo, "TASK_MODULES": "bench.contenders.tasks"}
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", APPS[name], "--fd", str(descriptor), "--no-access-log"],
            cwd=ROOT,
            env=environment,
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


async def _load(address: tuple[str, int], seconds: float) -> tuple[int, float]:
    """Send requests for so many seconds from the first answer on; return how many were answered, in which time."""
    await _send(*await asyncio.open_connection(*address), until=0.0)
    begun = time.perf_counter()
    senders = [_send(*await asyncio.open_connection(*address), until=begun + seconds) for _ in range(CONNECTIONS)]
    answered = sum(await asyncio.gather(*senders))
    return answered, time.perf_counter() - begun


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, until: float) -> int:
    """Send one request after the other, at least one; return how many were answered with 202."""
    answered = 0
    while not answered or time.perf_counter() < until:
        writer.write(_REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"answered with {head.splitlines()[0].decode()}")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        await reader.readexactly(int(fields[b"content-length"]))
        answered += 1
    writer.close()
    await writer.wait_closed()
    return answered
