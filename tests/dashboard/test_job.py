"""The page of one job: its course, why it runs when it runs, what its steps made, and where it leads."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.queue.progress import progress
from app.testing import drain, failing

from ..application import Served, run_waiting_jobs
from ..queue.workers import working
from .parts import live_worker

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, task: str, **body: object) -> int:
    """A job's id."""
    return int((await client.post(f"/tasks/{task}", json=body)).json()["job_id"])


async def page_of(client: httpx.AsyncClient, job_id: int) -> str:
    """Its page."""
    answer = await client.get(f"/dashboard/jobs/{job_id}")
    assert answer.status_code == 200
    return answer.text


async def test_course(served: Served):
    """What a job did is drawn to scale, and told in words."""
    queue, client = served
    job = await make(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    page = await page_of(client, job)
    assert "Runs and waits to scale" in page
    assert "<li>attempt 1 failed after" in page


async def test_rungs(served: Served, conn: AsyncConnection):
    """Each rung says when its attempt ended, how long that took, which worker ran it, and how it failed."""
    queue, client = served
    with failing(queue.tasks["sample.add"], httpx.ConnectError("connection refused")):
        job = await make(client, "add", args={"a": 1}, max_retries=1)
        await drain(queue, later=True)
    await conn.execute("UPDATE afresh.attempt SET started_at = ended_at - attempt * interval '45 s'")
    runs = await (await conn.execute("SELECT ended_at, worker_id FROM afresh.attempt ORDER BY attempt")).fetchall()
    assert len({worker for _, worker in runs}) == 2
    rungs = (await page_of(client, job)).split('<li class="rung failed">')[1:]
    for rung, (ended, worker), took in zip(rungs, runs, ("45 s", "90 s"), strict=True):
        assert f'<time datetime="{ended.astimezone(UTC).isoformat()}"' in rung
        assert f"</time>, took {took}, worker {worker}</span>" in rung
        assert "<strong>TRANSIENT_NETWORK</strong> <code>httpx.ConnectError</code> connection refused" in rung


async def test_next_run(served: Served):
    """A job that waits for its time says when that is, to the second, and why."""
    job = await make(served[1], "greet", args={"name": "you"}, run_in="1h")
    page = await page_of(served[1], job)
    assert " data-exact>in 60 min</time>, because:" in page
    assert "<li>asked for when it was handed in</li>" in page


async def test_due(served: Served, conn: AsyncConnection):
    """A job whose time has come, and that still waits, says since when it has been due."""
    job = await make(served[1], "greet", args={"name": "you"}, run_in="1h")
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now() - interval '5 minutes' WHERE id = %s", [job])
    assert '<p class="next">Due <time' in await page_of(served[1], job)


async def test_old_runs_are_left_out(served: Served, conn: AsyncConnection):
    """Of a job that was tried very often the latest runs are shown, and the page says so."""
    queue, client = served
    job = await make(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at)"
        " SELECT %s, 1, 'released', false, 'sample.fail', 'default', t, t"
        " FROM generate_series(now() - interval '100 minutes', now() - interval '1 minute', interval '1 minute') t",
        [job],
    )
    page = await page_of(client, job)
    assert "The latest 100;" in page
    assert page.count('<li class="rung ') == 100
    assert '<li class="rung failed">' in page


async def test_checkpoints(served: Served, conn: AsyncConnection):
    """What finished steps made is shown, without secrets."""
    job = await make(served[1], "add", args={"a": 1})
    await conn.execute(
        "INSERT INTO afresh.checkpoint (job_id, name, version, value, attempt) VALUES"
        """ (%s, 'draft', 2, '{"words": ["once", "upon"], "password": "hunter2"}', 3)""",
        [job],
    )
    page = await page_of(served[1], job)
    assert "<summary>draft, by attempt 3, version 2</summary>" in page
    assert '<span>"upon"</span>' in page
    assert "hunter2" not in page


async def test_numbers_of_any_length(served: Served, conn: AsyncConnection):
    """A number that only Postgres can hold breaks no page."""
    job = await make(served[1], "add", args={"a": 1})
    await conn.execute("UPDATE procrastinate_jobs SET args = '{\"a\": 1e30}' WHERE id = %s", [job])
    assert "1000000000000000000000000000000" in await page_of(served[1], job)


async def test_where_it_leads(served: Served):
    """The page leads to the failure group, the dependency, the dead letter, and every job in whose place it runs."""
    queue, client = served
    first = await make(client, "fail", args={"message": "no such luck"}, dependency="shop/api")
    await run_waiting_jobs(queue)
    page = await page_of(client, first)
    (attempt,) = (await client.get(f"/jobs/{first}/attempts")).json()["items"]
    letter = (await client.get(f"/jobs/{first}")).json()["dead_letter_id"]
    assert f'href="/dashboard/failures/groups/{attempt["fingerprint"]}"' in page
    assert 'href="/dashboard/dependencies/shop/api"' in page
    assert f'href="/dashboard/dead-letters/{letter}"' in page
    assert (edit := f"/dashboard/dead-letters/{letter}?edit=1") in page
    assert '<details class="action wide" id="replay" open>' in (await client.get(edit)).text
    second = (await client.post(f"/dead-letters/{letter}/replay", json={"reason": "again"})).json()["job_id"]
    for job, other in ((first, second), (second, first)):
        page = await page_of(client, job)
        assert f'<a href="/dashboard/jobs/{other}">job {other}</a>' in page
        assert "this job" in page
        assert "Edit and replay" not in page


async def test_waits_for_its_dependency(served: Served):
    """A job whose dependency lets nobody in says so, and leads there."""
    queue, client = served
    await run_waiting_jobs(queue)  # A worker says what its tasks rely on.
    await client.post("/dependencies/joke-api/isolate", json={"reason": "maintenance"})
    page = await page_of(client, await make(client, "fetch-joke"))
    assert 'Waits for <a href="/dashboard/dependencies/joke-api">joke-api</a>, which lets nobody in now' in page


async def test_nobody_takes_it(served: Served):
    """A job that could run says so where no living worker takes jobs of its queue, and leads to the queue."""
    queue, client = served
    job = await make(client, "add", args={"a": 1})
    told = 'No worker that lives takes jobs of its queue <a href="/dashboard/queues/sums">sums</a>'
    await live_worker(queue, queues=["letters"])
    assert told in await page_of(client, job)
    await live_worker(queue)
    assert told not in await page_of(client, job)


async def test_what_else_it_waits_for(served: Served):
    """A paused queue and a lock that another job has are told, each with where to look."""
    _, client = served
    first, second = [await make(client, "add", args={"a": 1}, lock="customer 7") for _ in range(2)]
    page = await page_of(client, second)
    assert 'its lock <a href="/dashboard/jobs?text=customer+7">customer 7</a>' in page
    await client.post("/queues/sums/pause", json={"reason": "maintenance"})
    page = await page_of(client, first)
    assert 'Its queue <a href="/dashboard/queues/sums">sums</a> is paused' in page
    assert "No worker" not in page


async def test_running(served: Served, conn: AsyncConnection):
    """A job that runs says since when, at which worker, that it was asked to stop, and by when it had to begin."""
    queue, client = served
    worker = await live_worker(queue)
    job = await make(client, "add", args={"a": 1}, deadline="2040-01-31T18:00:00Z")
    await conn.execute(
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s, abort_requested = true WHERE id = %s",
        [worker, job],
    )
    page = await page_of(client, job)
    told = f'</time> at <a href="/dashboard/workers#worker-{worker}">worker {worker}</a>; asked to stop</dd>'
    assert "<dt>Running</dt><dd>since <time" in page
    assert told in page
    assert '<dt>Deadline</dt><dd><time datetime="2040-01-31T18:00:00+00:00"' in page


async def test_waits_for_a_limit(served: Served):
    """A job that could run but for limits names those that leave no room, and what they allow."""
    queue, client = served
    await client.put("/limits/queue/sums", json={"rate": {"jobs": 1, "per": "7d"}, "reason": "contract"})
    await client.put("/limits/task/sample.add", json={"max_running": 5, "reason": "gentle"})
    first, second = [await make(client, "add", args={"a": 1}) for _ in range(2)]
    await run_waiting_jobs(queue)
    told = 'Waits for a limit: its queue <a href="/dashboard/queues/sums#limits">sums</a> has 1 per 7 d</p>'
    assert told in await page_of(client, second)
    assert "Waits for" not in await page_of(client, first)
    await client.put("/limits/task/sample.add", json={"rate": {"jobs": 1, "per": "1h"}, "reason": "gentler"})
    third = await make(client, "add", args={"a": 1}, queue="elsewhere")
    fourth = await make(client, "add", args={"a": 1}, queue="elsewhere")
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{third}")).json()["state"] == "succeeded"
    assert "Waits for a limit: task sample.add has 1 per 60 min</p>" in await page_of(client, fourth)


@pytest.fixture
async def copying(browser_page: Page) -> Page:
    """A tab that may use the clipboard."""
    await browser_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return browser_page


async def test_copying(served: Served, copying: Page):
    """What is copied is the traceback and the JSON themselves, whatever is folded, and it stays folded as it was."""
    queue, client = served
    job = await make(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    (attempt,) = (await client.get(f"/jobs/{job}/attempts")).json()["items"]
    page = copying
    await page.goto(f"/dashboard/jobs/{job}")
    await page.get_by_text("Traceback", exact=True).click()
    await page.locator("#traceback-1").get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.split() == attempt["traceback"].split()
    await page.locator("#args").get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    assert json.loads(await page.evaluate("navigator.clipboard.readText()")) == {"message": "no such luck"}


async def test_folding(served: Served, copying: Page):
    """Metadata and the result are trees that fold; a copy of one is its JSON, whatever is folded."""
    queue, client = served
    given = {"order": {"lines": [{"sku": "a-1"}, {"sku": "b-2"}]}, "paid": True}
    job = await make(client, "accept-anything", args=given, metadata={"customer": {"name": "Ada"}, "region": "eu"})
    await run_waiting_jobs(queue)
    page = copying
    await page.goto(f"/dashboard/jobs/{job}")
    for name, title, inner, value in (
        ("metadata", "Metadata", '"Ada"', {"customer": {"name": "Ada"}, "region": "eu"}),
        ("result", "Result", '"lines"', given),
    ):
        whole = page.locator(f"#{name}")
        await expect(whole.get_by_text(inner)).to_be_hidden()
        await whole.get_by_text(title, exact=True).click()
        await expect(whole.get_by_text(inner)).to_be_visible()
        await whole.locator(".tree details details > summary").first.click()
        await expect(whole.get_by_text(inner)).to_be_hidden()
        await whole.get_by_role("button", name="Copy").click()
        await expect(whole.get_by_role("button", name="Copied")).to_be_visible()
        assert json.loads(await page.evaluate("navigator.clipboard.readText()")) == value


async def test_countdown(served: Served, browser_page: Page):
    """The time until the next run goes down by the second while a person looks, above the steps that led to it."""
    queue, client = served
    busy = httpx.Response(503, headers={"retry-after": "1800"}, request=httpx.Request("GET", "http://shop"))
    with failing(queue.tasks["sample.add"], httpx.HTTPStatusError("busy", request=busy.request, response=busy)):
        job = await make(client, "add", args={"a": 1})
        await run_waiting_jobs(queue)
    page = browser_page
    await page.clock.install()
    await page.goto(f"/dashboard/jobs/{job}")
    told = page.locator(".next time")
    await page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    left = []
    for _ in range(3):
        ((minutes, seconds),) = re.findall(r"^in (\d+) min(?: (\d+) s)?$", await told.text_content() or "")
        left.append(int(minutes) * 60 + int(seconds or 0))
        await page.clock.run_for(1000)
    assert 27 * 60 < left[0] <= 29 * 60
    assert left == [left[0], left[0] - 1, left[0] - 2]
    await expect(page.locator(".next")).to_contain_text("because:")
    await expect(page.locator(".why li").last).to_have_text("retry-after 30 min is the floor → 30 min")


async def test_progress(served: Served, browser_page: Page):
    """The bar moves as the task reports, at the word of the job's own stream: the page is neither loaded nor polled."""
    queue, _ = served
    steps: asyncio.Queue[float] = asyncio.Queue()

    @queue.task(name="steps")
    async def work() -> None:
        while (fraction := await steps.get()) < 1:
            await progress(fraction, f"{fraction:.0%} of the lines")

    job = await work.defer_async()
    page = browser_page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    async with working(queue, shutdown_graceful_timeout=0):
        await page.goto(f"/dashboard/jobs/{job}")
        await page.evaluate("window.loadedOnce = true")
        await expect(page.locator("h1")).to_contain_text("running")
        for fraction in (0.25, 0.5, 0.75):  # That it began makes the page look twice at most.
            steps.put_nowait(fraction)
            await expect(page.get_by_label("Progress")).to_have_attribute("value", str(fraction))
            await expect(page.locator("#job")).to_contain_text(f"{fraction:.0%} of the lines")
        assert (asked.count(f"/jobs/{job}/events"), asked.count("/dashboard/changes")) == (1, 0)
        steps.put_nowait(1)
        await expect(page.locator("h1")).to_contain_text("succeeded")
    assert await page.evaluate("window.loadedOnce")


MIXED = """Traceback (most recent call last):
  File "/usr/lib/python3.13/asyncio/runners.py", line 4, in run
    return self._loop()
  File "/srv/shop/orders.py", line 7, in order
    pay()
  File "/srv/.venv/lib/python3.13/site-packages/httpx/_client.py", line 9, in get
    return self.send()
  File "/srv/shop/cards.py", line 8, in charge
    raise RefusedError
shop.cards.RefusedError: no such luck
"""


async def test_own_frames_first(served: Served, copying: Page, conn: AsyncConnection):
    """Of a traceback a person's own frames and what was raised are read first; all of it is folded, and is copied."""
    queue, client = served
    job = await make(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    await conn.execute("UPDATE afresh.attempt SET traceback = %s", [MIXED])
    await copying.goto(f"/dashboard/jobs/{job}")
    await copying.get_by_text("Traceback", exact=True).click()
    trace = copying.locator("#traceback-1")
    shown = (await trace.inner_text()).split("\n")
    told = [
        "orders.py",
        "pay()",
        "… 1 frame of httpx",
        "cards.py",
        "RefusedError: no such luck",
        "All of it, with 2 frames",
    ]
    places = [next(number for number, line in enumerate(shown) if each in line) for each in told]
    assert places == sorted(places)
    assert not [line for line in shown if "runners.py" in line or "_client.py" in line]
    await trace.get_by_role("button", name="Copy").click()
    await expect(trace.get_by_role("button", name="Copied")).to_be_visible()
    assert (await copying.evaluate("navigator.clipboard.readText()")).strip() == MIXED.strip()
    await trace.get_by_text("All of it, with 2 frames of Python, httpx").click()
    await expect(trace.get_by_text("runners.py")).to_be_visible()
