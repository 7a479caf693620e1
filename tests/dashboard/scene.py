"""A service at work to look at in a browser: its pages, what has happened on them, and what axe says of one."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.store.audit import record

from ..application import Served, run_waiting_jobs
from .parts import live_worker

PAGES = {
    "overview": "/dashboard",
    "jobs": "/dashboard/jobs",
    "job": "/dashboard/jobs/1",
    "dependencies": "/dashboard/dependencies",
    "dependency": "/dashboard/dependencies/joke-api",
    "letters": "/dashboard/dead-letters",
    "letter": "/dashboard/dead-letters/1",
    "failures": "/dashboard/failures",
    "policies": "/dashboard/policies",
    "alerts": "/dashboard/alerts",
    "simulation": "/dashboard/policies/simulation?scenario=full+outage&jobs=100",
    "queues": "/dashboard/queues",
    "queue": "/dashboard/queues/sums",
    "workers": "/dashboard/workers",
    "audit": "/dashboard/audit",
    "system": "/dashboard/system",
}


async def fill(served: Served, times: int = 1) -> None:
    """Have some jobs fail and some succeed, the first of all failing, leave one waiting, and isolate a dependency."""
    queue, client = served
    for number in range(times):
        await client.post("/tasks/fail", json={"args": {"message": f"no such luck as {number}"}})
        await client.post("/tasks/add", json={"args": {"a": number}, "correlation_id": f"order-{number}"})
    await run_waiting_jobs(queue)
    await client.post("/tasks/greet", json={"args": {"name": "you"}, "run_in": "1h"})
    await client.post("/dependencies/joke-api/isolate", json={"reason": "its provider mends it"})


async def trouble(queue: Afresh, conn: AsyncConnection) -> None:
    """A worker that is well, one that is lost and one that is overloaded; open alerts; and breakers in every state."""
    await live_worker(queue, name="steady")
    lost = await live_worker(queue, name="silent")
    await live_worker(queue, name="full", overloaded=True)
    await conn.execute(  # The others stay well, however long somebody looks at them.
        "UPDATE procrastinate_workers"
        " SET last_heartbeat = now() + CASE id WHEN %s THEN -1 ELSE 1 END * interval '5 min'",
        [lost],
    )
    await conn.execute(
        "INSERT INTO afresh.alert (rule, subject, severity, opened_at, changed_at, value, threshold, cause, what_to_do)"
        " SELECT 'queue-size', severity, severity, now(), now(), 60, 50, 'jobs could run', 'add workers'"
        " FROM unnest(ARRAY['info', 'warning', 'critical']) severity"
    )
    await conn.execute(
        "INSERT INTO afresh.breaker (name, state, cause, changed_at, until)"
        " SELECT state || '-api', state, '5 of 5 calls failed', now() - interval '1 min', now() + interval '10 min'"
        " FROM unnest(ARRAY['open', 'half_open', 'ramping', 'held']) state"
    )
    await record(conn, actor="night", action="queue.pause", target="sums", reason="a deploy", details={"n": 1})


async def assert_accessible(page: Page, name: str) -> None:
    """Axe has no serious finding, and nothing is wider than the screen."""
    found = (await Axe().run(page)).response["violations"]
    assert not [each for each in found if each["impact"] in {"serious", "critical"}], name
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
