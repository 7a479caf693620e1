import httpx
import pytest

from app.api.main import create_app
from app.queue.app import Afresh
from app.web.auth import VIEWER
from app.web.reading import READ_SECONDS, ReadingConnection

from ..application import client_of, serving, settings_for

pytestmark = pytest.mark.anyio


async def asked(queue: Afresh, statement: str) -> httpx.Response:
    """The answer of a server that has one more page, which runs a statement."""
    app = create_app(queue)

    @app.get("/statement", dependencies=[VIEWER])
    async def run(conn: ReadingConnection) -> None:
        await conn.execute(statement.encode())

    async with client_of(app) as client:
        return await client.get("/statement")


async def test_slow_reads_end(database_url: str):
    """A read that keeps the database busy is ended after two seconds, and the client may try again."""
    async with serving(settings_for(database_url)) as (queue, _):
        response = await asked(queue, f"SELECT pg_sleep({10 * READ_SECONDS})")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert READ_SECONDS <= response.elapsed.total_seconds() < 4 * READ_SECONDS


async def test_reads_change_nothing(database_url: str):
    """What a page reads with cannot write, and afterwards its connection is as before."""
    async with serving(settings_for(database_url)) as (queue, client):
        response = await asked(
            queue, "INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('queue', 'a', '', '')"
        )
        made = await client.post("/tasks/fetch-joke")
    assert (response.status_code, made.status_code) == (500, 202)
