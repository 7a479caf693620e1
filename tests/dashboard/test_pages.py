import re
from datetime import UTC, datetime, timedelta
from html import escape as escape_html

import pytest
from psycopg import AsyncConnection

from app.dashboard.frame import ago, length
from app.queue.submit import Submission, submit

from ..application import Served, run_waiting_jobs
from .parts import hand_in

pytestmark = pytest.mark.anyio


def escape(text: str) -> str:
    """As a page has it."""
    return escape_html(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_nothing_yet(served: Served):
    """Without a job both pages say how to make the first."""
    for address in ("/dashboard", "/dashboard/jobs"):
        assert "curl -X POST http://localhost/tasks/fetch-joke" in (await served[1].get(address)).text


async def test_incident(served: Served):
    """The overview begins with what fails, how often, and leads to its jobs."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})
    await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert page.index("What is wrong") < page.index("no such luck") < page.index("The last 24 hours")
    assert "1 thing needs a look" in page
    assert 'href="/dashboard/jobs?task=sample.fail&amp;state=failed"' in page


async def test_open_breaker(served: Served):
    """What a dependency that is down holds back, and what fails because of it, stand together, with what to do."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}, "dependency": "shop"})
    await run_waiting_jobs(queue)
    await client.post("/dependencies/shop/isolate", json={"reason": "it is being moved"})
    for number in range(3):
        await client.post("/tasks/add", json={"args": {"a": number}, "dependency": "shop"})
    page = (await client.get("/dashboard")).text
    assert "1 thing needs a look" in page
    assert "holds back 3 jobs" in page
    assert page.index(">isolated<") < page.index("no such luck") < page.index("What to do:")
    assert 'href="/dashboard/dependencies/shop">Look at shop</a>' in page


async def test_what_comes_next(served: Served):
    """The overview says when the next job falls due."""
    _, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "3h"})
    page = (await client.get("/dashboard")).text
    assert re.search(r"<dt>Next due</dt><dd><time [^>]*>in (3 h|18[0-9] min)</time>", page)


def rows_of(page: str) -> str:
    """The list of a page, without the filters above it."""
    return page.partition('<ul class="rows">')[2].partition("</ul>")[0]


async def test_jobs_in_order(served: Served):
    """The page lists recent jobs, newest first, each with its state."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})
    await run_waiting_jobs(queue)
    page = rows_of((await client.get("/dashboard/jobs")).text)
    assert page.index("sample.fail") < page.index("sample.add")
    assert "no such luck" in page
    assert '<span class="state failed">failed</span>' in page
    assert '<span class="state succeeded">succeeded</span>' in page


async def test_ladder(served: Served):
    """The page of a job shows each attempt with its failure, its traceback and the reason of its decision."""
    queue, client = served
    job_id = (await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})).json()["job_id"]
    await run_waiting_jobs(queue)
    (attempt,) = (await client.get(f"/jobs/{job_id}/attempts")).json()["items"]
    page = (await client.get(f"/dashboard/jobs/{job_id}")).text
    assert page.count("<strong>attempt 1</strong>") == 1
    assert "no such luck" in page
    assert escape(attempt["reason"]) in page
    assert escape(attempt["traceback"].splitlines()[-1]) in page


async def test_unknown_job(served: Served):
    """A job that does not exist has no page."""
    assert (await served[1].get("/dashboard/jobs/7")).status_code == 404


async def test_unknown_page(served: Served):
    """An address without a page is told in a sentence, not by the name of its status twice."""
    page = (await served[1].get("/dashboard/nothing", headers={"accept": "text/html"})).text
    assert "There is no such page." in page
    assert "<p>Not Found</p>" not in page


async def test_one_state(served: Served):
    """The page can be narrowed to one state by a chip, which says that it is; one that does not exist is refused."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "x"}})
    await run_waiting_jobs(queue)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    chip = '<a class="chip" href="/dashboard/jobs?state=failed"'
    assert f"{chip}>failed</a>" in (await client.get("/dashboard/jobs")).text
    page = (await client.get("/dashboard/jobs", params={"state": "failed"})).text
    assert f'{chip} aria-current="true">failed</a>' in page
    assert "sample.fail" in rows_of(page)
    assert "sample.add" not in rows_of(page)
    assert (await client.get("/dashboard/jobs", params={"state": "asleep"})).status_code == 422


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("task", "add", "task: add"),
        ("correlation_id", "order-7", "correlation id: order-7"),
        ("text", "order-7", "text: order-7"),
        ("queue", "elsewhere", "queue: elsewhere"),
        ("task_type", "invoice", "type: invoice"),
    ],
)
async def test_filters(served: Served, name: str, value: str, told: str):
    """The page can be narrowed by its address; each filter is a chip that takes itself away."""
    _, client = served
    add = {"args": {"a": 1}, "correlation_id": "order-7", "queue": "elsewhere", "task_type": "invoice"}
    await client.post("/tasks/add", json=add)
    await client.post("/tasks/fail", json={"args": {"message": "x"}})
    page = (await client.get("/dashboard/jobs", params={name: value})).text
    assert "sample.add" in rows_of(page)
    assert "sample.fail" not in rows_of(page)
    assert f'<a class="chip taken" href="/dashboard/jobs" aria-label="Take away {name} {value}">{told} <' in page


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"within": "1h"}, [2]),
        ({"within": "7d"}, [2, 1]),
        ({"created_from": "2001-01-01T00:00"}, [2, 1]),
        ({"created_to": "2001-01-01T00:00"}, []),
        ({"created_to": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%S.000Z}"}, [1]),
        ({"within": "24h", "created_to": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}"}, [1]),
    ],
)
async def test_when_they_were_made(served: Served, conn: AsyncConnection, filters: dict[str, str], found: list[int]):
    """The page can be narrowed by when jobs were made, before now or by the clock."""
    _, client = served
    for _ in range(2):
        await client.post("/tasks/add", json={"args": {"a": 1}})
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '3 hours' WHERE job_id = 1")
    page = (await client.get("/dashboard/jobs", params=filters)).text
    assert [int(each) for each in re.findall(r'id="job-(\d+)"', page)] == found
    for name in filters:
        assert f'aria-label="Take away {name} ' in page


@pytest.mark.parametrize(
    "filters",
    [
        {"within": "1y"},
        {"created_from": "yesterday"},
        {"created_to": "9999-01-01T00:00"},
        {"within": "1h", "created_from": "2001-01-01T00:00"},
    ],
)
async def test_odd_times(served: Served, filters: dict[str, str]):
    """What is no time is refused, and so are two beginnings."""
    assert (await served[1].get("/dashboard/jobs", params=filters)).status_code == 422


async def some_own(served: Served) -> None:
    """A job of a person's, and one that the clock makes for the service itself."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    async with queue.connection() as conn:
        given = Submission(task_name="app.tasks.monitoring.evaluate_alerts", queue="monitoring", args={"timestamp": 1})
        await submit(conn, given)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [1]),
        ({"state": "ready"}, [1]),
        ({"queue": "monitoring"}, []),
        ({"own": "yes"}, [2, 1]),
        ({"own": "yes", "queue": "monitoring"}, [2]),
        ({"text": "evaluate_al"}, [2]),
        ({"task": "evaluate-alerts"}, [2]),
    ],
)
async def test_own(served: Served, filters: dict[str, str], found: list[int]):
    """What the clock makes for the service itself is left out, unless it is asked for or looked for by name."""
    await some_own(served)
    page = (await served[1].get("/dashboard/jobs", params=filters)).text
    assert [int(each) for each in re.findall(r'id="job-(\d+)"', page)] == found
    assert f"{len(found)} in all" in page


async def test_own_chip(served: Served):
    """A chip shows them and takes them away again, whatever else is filtered; a queue's page leads to all its jobs."""
    await some_own(served)
    client = served[1]
    page = (await client.get("/dashboard/jobs?queue=monitoring")).text
    assert page.count('href="/dashboard/jobs?queue=monitoring&amp;own=yes"') == 2
    assert "1 in all, without the service's own" in (await client.get("/dashboard/jobs")).text
    page = (await client.get("/dashboard/jobs?queue=monitoring&own=yes")).text
    assert 'href="/dashboard/jobs?queue=monitoring" aria-label="Take away the service\'s own"' in page
    page = (await client.get("/dashboard/queues/monitoring")).text
    assert 'href="/dashboard/jobs?queue=monitoring&amp;own=yes"' in page
    assert (await client.get("/dashboard/jobs?own=no")).status_code == 422


async def test_a_number(served: Served):
    """Whoever searches for a job's number is led to that job; a number of none finds what holds it as text."""
    _, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}, "correlation_id": "order-4711"})
    for text in ("1", "#1", " 1 "):
        page = (await client.get("/dashboard/jobs", params={"text": text})).text
        assert 'Job <a href="/dashboard/jobs/1">1</a>' in page
    page = (await client.get("/dashboard/jobs", params={"text": "4711"})).text
    assert "Job <a" not in page
    assert 'id="job-1"' in page


async def test_older_jobs(served: Served):
    """What does not fit on a page is on the next, whose address the page has."""
    _, client = served
    await hand_in(client, 52)
    page = (await client.get("/dashboard/jobs")).text
    assert page.count('<li class="row ') == 50
    assert 'href="/dashboard/jobs?before=3"' in page
    assert (await client.get("/dashboard/jobs?before=3")).text.count('<li class="row ') == 2


async def test_what_jobs_say_is_text(served: Served):
    """Markup in a job's data is shown, not obeyed."""
    queue, client = served
    evil = "<script>alert(1)</script>"
    job = await client.post("/tasks/fail", json={"args": {"message": evil}, "correlation_id": evil})
    await run_waiting_jobs(queue)
    for address in ("/dashboard", "/dashboard/jobs", f"/dashboard/jobs/{job.json()['job_id']}"):
        page = (await client.get(address)).text
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


async def test_secrets(served: Served):
    """Secret arguments are not on the page of their job."""
    job = await served[1].post("/tasks/fail", json={"args": {"message": "x", "password": "hunter2"}})
    page = (await served[1].get(f"/dashboard/jobs/{job.json()['job_id']}")).text
    assert "password" in page
    assert "hunter2" not in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.215, "215 ms"), (1.25, "1.2 s"), (45, "45 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"),
     (172_800, "2 d")],
)  # fmt: skip
def test_length(seconds: float, text: str):
    """A duration is told in the unit that fits it."""
    assert length(seconds) == text


def test_ago():
    """A moment is told by its distance."""
    assert ago(NOW - timedelta(minutes=5), NOW) == "5 min ago"
    assert ago(NOW + timedelta(seconds=30), NOW) == "in 30 s"
    assert ago(NOW, NOW) == "now"
    assert ago(None, NOW) == "-"
