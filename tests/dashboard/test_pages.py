from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.dashboard.pages import ago, length
from app.queue.app import Afresh

from ..application import run_waiting_jobs

pytestmark = pytest.mark.anyio

Served = tuple[Afresh, httpx.AsyncClient]
NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def test_nothing_yet(served: Served):
    """Without a job the page says how to make the first."""
    page = (await served[1].get("/dashboard")).text
    assert "curl -X POST http://localhost/tasks/fetch-joke" in page


async def test_jobs_with_attempts(served: Served):
    """The page lists recent jobs, newest first, each with its attempts and what they ended with."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})
    await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert page.index("sample.fail") < page.index("sample.add")
    assert "no such luck" in page
    assert '<span class="state failed">failed</span>' in page
    assert '<span class="state succeeded">succeeded</span>' in page
    assert page.count("<strong>attempt 1</strong>") == 2


async def test_one_state(served: Served):
    """The page can be narrowed to one state; one that does not exist is refused."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "x"}})
    await run_waiting_jobs(queue)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    page = (await client.get("/dashboard", params={"state": "failed"})).text
    assert "sample.fail" in page
    assert "sample.add" not in page
    assert (await client.get("/dashboard", params={"state": "asleep"})).status_code == 422


async def test_older_jobs(served: Served):
    """What does not fit on a page is on the next, whose address the page has."""
    _, client = served
    for number in range(52):
        await client.post("/tasks/add", json={"args": {"a": number}})
    page = (await client.get("/dashboard")).text
    assert page.count("<summary>") == 50
    assert 'href="/dashboard?before=3"' in page
    assert (await client.get("/dashboard?before=3")).text.count("<summary>") == 2


async def test_what_jobs_say_is_text(served: Served):
    """Markup in a job's data is shown, not obeyed."""
    queue, client = served
    evil = "<script>alert(1)</script>"
    await client.post("/tasks/fail", json={"args": {"message": evil}, "correlation_id": evil})
    await run_waiting_jobs(queue)
    page = (await client.get("/dashboard")).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


async def test_secrets(served: Served):
    """Secret arguments are not on the page."""
    await served[1].post("/tasks/fail", json={"args": {"message": "x", "password": "hunter2"}})
    page = (await served[1].get("/dashboard")).text
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
