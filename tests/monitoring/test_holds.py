"""A bill that is not paid, from the first answer of a real server to the one alert and the jobs that run when it is."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import AlertSettings, Settings
from app.queue.app import Afresh
from app.queue.task import task

from ..application import run_waiting_jobs, settings_for
from ..queue.jobs import rows, value
from .watchman import Watchman
from .webhook import Webhook

pytestmark = pytest.mark.anyio

JOBS = 30
WHY = {"reason": "the bill is paid"}


class Bank:
    """Answers 402 until its bill is paid; `asked` is how often it was called."""

    def __init__(self) -> None:
        self.paid = False
        self.asked = 0
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bank.asked += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200 if bank.paid else 402)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's.
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/charges"


@pytest.fixture
def settings(database_url: str, hook: Webhook) -> Settings:
    """Alerts are sent."""
    return settings_for(database_url, alert=AlertSettings(urls=(hook.url,)))


@pytest.fixture
def bank() -> Iterator[Bank]:
    """One that listens meanwhile."""
    made = Bank()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@task(name="sample.bill", slug="bill", depends_on="card-processor")
async def bill(url: str) -> int:
    """Charge a card."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.post(url, json={})).raise_for_status().status_code


async def counts(conn: AsyncConnection) -> dict[str, int]:
    """The jobs that charge cards, by status."""
    query = "SELECT status::text, count(*) AS jobs FROM procrastinate_jobs WHERE task_name = 'sample.bill' GROUP BY 1"
    return {row["status"]: row["jobs"] for row in await rows(conn, query)}


async def of_the_breaker(client: httpx.AsyncClient) -> list[tuple[str, str, str]]:
    """The alerts that there ever were of dependencies."""
    response = await client.get("/monitoring/alerts", params={"rule": "breaker-open"})
    return [(each["subject"], each["severity"], each["state"]) for each in response.json()["items"]]


async def test_a_bill_that_is_not_paid(  # noqa: PLR0913, PLR0917 - all of these have their part in it.
    bank: Bank, queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, watchman: Watchman, hook: Webhook
):
    """Three jobs that are answered 402 hold their dependency: the others wait, with two dead letters at most, one row
    and one alert, however long that takes. Once it is paid a probe lets them out, and the alert is resolved.
    """  # noqa: D205 - one sentence after the other
    batch = {"jobs": [{"args": {"url": bank.url}}] * JOBS}
    assert (await client.post("/tasks/bill/batch", json=batch)).status_code == 202
    await run_waiting_jobs(queue)
    held = [each for each in (await client.get("/dependencies")).json() if each["state"] != "closed"]
    assert [(each["name"], each["state"], each["failure_type"]) for each in held] == [
        ("card-processor", "held", "PERMANENT_AUTH")
    ]
    assert held[0]["cause"].startswith("3 jobs failed with PERMANENT_AUTH")
    waiting = await counts(conn)
    assert waiting.get("failed", 0) <= 2
    assert waiting["todo"] >= JOBS - 2
    assert bank.asked <= 10  # Those in flight.
    assert await value(conn, "SELECT count(*) FROM afresh.dead_letter") == waiting.get("failed", 0)
    assert await value(conn, "SELECT count(*) FROM afresh.breaker") == 1
    for _ in range(3):
        await watchman.look()
    assert await of_the_breaker(client) == [("card-processor", "warning", "open")]
    await watchman.deliver()
    assert await counts(conn) == waiting
    assert [each for each in hook.titles if "card-processor" in each] == ["[warning] card-processor is not called"]
    bank.paid = True
    assert (await client.post("/dependencies/card-processor/probe", json=WHY)).status_code == 200
    await run_waiting_jobs(queue)
    shown = (await client.get("/dependencies/card-processor")).json()
    assert [(each["after"], each["cause"]) for each in shown["history"]][:1] == [("ramping", "a probe worked")]
    await conn.execute("UPDATE afresh.breaker SET rate = 1000, tokens_at = now() - interval '1 s'")
    await run_waiting_jobs(queue)
    done = {"succeeded": waiting.pop("todo")}
    assert await counts(conn) == waiting | done
    for _ in range(2):
        await watchman.look()
    assert await of_the_breaker(client) == [("card-processor", "warning", "resolved")]
