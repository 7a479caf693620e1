"""Following a job over HTTP: real servers, real sockets."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from ..application import Served
from ..eventually import eventually
from ..queue.jobs import add, settle_successes, value
from ..queue.test_progress import running_job, write
from ..queue.test_watch import LISTENERS
from ..servers import Server
from .process import running

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


@pytest.fixture
def address(database_url: str, tmp_path: Path) -> Iterator[str]:
    """Where a server process of this test's database answers."""
    with running(tmp_path / "log", DATABASE_URL=database_url) as address:
        yield address


class Stream:
    """The events of one answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments: list[str] = []

    async def next(self) -> tuple[str, str, dict[str, Any]]:
        """Id, type and data of the next event."""
        fields: dict[str, str] = {}
        while True:
            line = await asyncio.wait_for(anext(self._lines), 30)
            if line.startswith(":"):
                self.comments.append(line)
            elif line:
                name, _, content = line.partition(": ")
                fields[name] = content
            elif "event" in fields:
                return fields["id"], fields["event"], orjson.loads(fields["data"])

    async def rest(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Every event until the server ends the stream."""
        events = []
        try:
            while True:
                events.append(await self.next())
        except StopAsyncIteration:
            return events


@asynccontextmanager
async def following(address: str, job_id: int, last_event_id: str | None = None) -> AsyncIterator[Stream]:
    """Follow a job."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
    async with (
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client,
        client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response,
    ):
        yield Stream(response)


async def report(conn: Connection, job_id: int, worker: int, number: int) -> None:
    """Let the job say that it has come a tenth further."""
    said = {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": number / 10}
    await write(conn, worker, said | {"message": f"step {number}", "report": number})


async def test_follow_to_the_end(address: str, conn: Connection):
    """A client hears what was, what is said while it listens, and the end; then the server closes."""
    job_id, worker = await running_job(conn)
    async with following(address, job_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        before = [await stream.next(), await stream.next()]
        await report(conn, job_id, worker, 1)
        said = await stream.next()
        await settle_successes(conn, worker, {job_id: 0})
        (end,) = await stream.rest()
    assert [(kind, data["state"]) for _, kind, data in before] == [("state", "ready"), ("state", "running")]
    assert (said[1], said[2]["progress"], said[2]["message"]) == ("progress", 0.1, "step 1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", said[2]["at"])
    assert (end[1], end[2]["state"]) == ("end", "succeeded")


async def test_resume(address: str, conn: Connection):
    """A client that was cut off resumes after what it saw last: nothing is missing, nothing comes twice."""
    job_id, worker = await running_job(conn)
    await report(conn, job_id, worker, 1)
    async with following(address, job_id) as stream:
        seen = [await stream.next() for _ in range(3)]
    await report(conn, job_id, worker, 2)
    await report(conn, job_id, worker, 3)
    async with following(address, job_id, seen[-1][0]) as stream:
        seen += [await stream.next()]
    await settle_successes(conn, worker, {job_id: 0})
    async with following(address, job_id, seen[-1][0]) as stream:
        seen += await stream.rest()
    assert [data.get("progress", data.get("state")) for _, _, data in seen] == [
        "ready",
        "running",
        0.1,
        0.2,
        0.3,
        "succeeded",
    ]
    async with following(address, job_id, seen[-1][0]) as stream:
        assert stream.response.status_code == 204  # Browsers then stop connecting.


async def test_refusals(address: str, conn: Connection):
    """No such job is 404, a foreign Last-Event-ID 422; both are problems and no streams."""
    (job_id,) = await add(conn)
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client:
        unknown = await client.get("/jobs/999/events")
        foreign = await client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "yesterday"})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:afresh:unknown-job")
    assert (foreign.status_code, foreign.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_head(address: str, conn: Connection):
    """HEAD is answered with the headers of the stream and ends there; the connection is free for what comes next."""
    (job_id,) = await add(conn)
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client:
        head = await client.head(f"/jobs/{job_id}/events")
        assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert (await client.get("/monitoring/live")).status_code == 200


async def test_restart_of_postgres(address: str, conn: Connection, db: Any, server: Server):
    """A restart of Postgres cuts no client off, and loses nothing."""
    if server.embedded is None:
        pytest.skip("this server is not ours to restart")
    job_id, worker = await running_job(conn)
    async with following(address, job_id) as stream:
        await report(conn, job_id, worker, 1)
        seen = [await stream.next() for _ in range(3)]
        await asyncio.to_thread(server.embedded.restart)
        async with await db.connect_async(application_name="test") as again:
            await report(again, job_id, worker, 2)
            seen.append(await stream.next())
            await eventually(lambda: _listeners(again, 1))
            await settle_successes(again, worker, {job_id: 0})
        seen += await stream.rest()
    assert [data.get("progress", data.get("state")) for _, _, data in seen] == [
        "ready",
        "running",
        0.1,
        0.2,
        "succeeded",
    ]


async def _listeners(conn: Connection, count: int) -> bool:
    return bool(await value(conn, LISTENERS) == count)


async def test_many_clients(address: str, conn: Connection):
    """500 clients share one listening connection, all hear all, and leave nothing behind."""
    job_id, worker = await running_job(conn)
    host, _, port = address.removeprefix("http://").partition(":")
    request = f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        await asyncio.wait_for(reader.readuntil(b'"state":"running"'), 30)
        return reader, writer

    clients = [client for _ in range(10) for client in await asyncio.gather(*(connect() for _ in range(50)))]
    await eventually(lambda: _listeners(conn, 1))
    connections = await value(conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    began = time.monotonic()
    await report(conn, job_id, worker, 1)
    await asyncio.gather(*(asyncio.wait_for(reader.readuntil(b"step 1"), 20) for reader, _ in clients))
    took = time.monotonic() - began
    for _, writer in clients[:250]:
        writer.close()
    await settle_successes(conn, worker, {job_id: 0})
    await asyncio.gather(*(asyncio.wait_for(reader.readuntil(b"event: end"), 20) for reader, _ in clients[250:]))
    await eventually(lambda: _listeners(conn, 0))
    for _, writer in clients[250:]:
        writer.close()
    assert (connections < 30, took < 5) == (True, True)


async def test_gone_clients_are_forgotten(address: str, conn: Connection):
    """With the last client that goes, the listening connection goes."""
    job_id, _ = await running_job(conn)
    async with following(address, job_id) as stream:
        await stream.next()
        await eventually(lambda: _listeners(conn, 1))
    await eventually(lambda: _listeners(conn, 0))


async def test_shutdown(database_url: str, conn: Connection, tmp_path: Path):
    """A server that is asked to stop ends its streams, without an end of the job, and stops."""
    job_id, _ = await running_job(conn)
    with ExitStack() as stack:
        address = stack.enter_context(running(tmp_path / "log", DATABASE_URL=database_url))
        async with following(address, job_id) as stream:
            await stream.next()
            await asyncio.to_thread(stack.close)
            assert [kind for _, kind, _ in await stream.rest()] == ["state"]


async def test_heartbeat(served: Served, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """A stream without news carries comments, so that nobody takes it for dead."""
    monkeypatch.setattr("app.api.events.HEARTBEAT_SECONDS", 0.1)
    from app.api.events import _stream
    from app.store.updates import Cursor

    job_id, _ = await running_job(conn)
    stream = _stream(served[0].hub, job_id, Cursor())
    chunks = [await asyncio.wait_for(anext(stream), 10) for _ in range(3)]
    assert chunks[0] == b"retry: 2000\n\n"
    assert chunks[2] == b": nothing new\n\n"
    await stream.aclose()  # type: ignore[attr-defined]  # It is a generator.
    assert len(served[0].hub) == 0
