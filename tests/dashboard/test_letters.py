"""The pages of dead letters as HTML."""

from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.store.paging import SEARCHED

from ..api.test_dead_letters import bury, insert
from ..application import Served, run_waiting_jobs
from ..store.history import fail
from .test_pages import escape

pytestmark = pytest.mark.anyio

LIST = "/dashboard/dead-letters"


async def page_of(client: httpx.AsyncClient, address: str = LIST, **filters: str) -> str:
    """The page as HTML."""
    answer = await client.get(address, params=filters)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_no_letters(served: Served):
    """Where nothing has died, the page is calm, and says what would come here."""
    page = await page_of(served[1])
    assert "No job has died." in page
    assert "By failure type" not in page


async def test_summary(served: Served, conn: AsyncConnection):
    """The page begins with how many letters are pending, retrying, resolved and abandoned, each a filter."""
    await insert(conn, 3)
    await insert(conn, 2, status="abandoned")
    page = await page_of(served[1])
    for status, count in {"pending": 3, "retrying": 0, "resolved": 0, "abandoned": 2}.items():
        tile = page[page.index(f'href="{LIST}?status={status}"') :]
        assert f"<strong>{count}</strong>" in tile[: tile.index("</a>")]


async def test_distribution(served: Served, conn: AsyncConnection):
    """Failure types, tasks and causes are counted, with a bar that words stand for, and lead to their letters."""
    await insert(conn, 1_200, failure_type="EXTERNAL_API_DOWN")
    await insert(conn, 2, status="resolved")
    page = await page_of(served[1])
    assert "<title>EXTERNAL_API_DOWN: 1,200 pending</title>" in page
    assert "<title>UNKNOWN: 2 resolved</title>" in page
    assert f'<a href="{LIST}?failure_type=EXTERNAL_API_DOWN">EXTERNAL_API_DOWN</a>' in page
    assert f'<a href="{LIST}?task=sample.add">sample.add</a>' in page
    assert f'<a href="{LIST}?cause=permanent">permanent</a>' in page


async def test_rows(served: Served):
    """A row says which letter, in which status, of which task, why it died, and leads to its page."""
    letter = await bury(*served)
    page = await page_of(served[1])
    assert f'<a class="open" href="{LIST}/{letter["id"]}" id="letter-{letter["id"]}">' in page
    assert '<span class="state pending">pending</span>' in page
    assert "sample.fail" in page
    assert escape(f"{letter['failure_type']}: no luck") in page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "abandoned"),
        ("task", "fail"),
        ("queue", "elsewhere"),
        ("failure_type", "EXTERNAL_API_DOWN"),
        ("group", "abcd"),
        ("dependency", "shop"),
        ("cause", "worker_lost"),
        ("text", "wanted"),
        ("within", "24h"),
        ("died_to", "2001-01-01T00:00:00Z"),
    ],
)
async def test_filters(served: Served, conn: AsyncConnection, name: str, value: str):
    """The page can be narrowed by its address, each filter being a chip that takes itself away."""
    wanted: dict[str, Any] = {
        "status": {"status": "abandoned"},
        "task": {"task_name": "sample.fail"},
        "queue": {"queue_name": "elsewhere"},
        "failure_type": {"failure_type": "EXTERNAL_API_DOWN"},
        "group": {"fingerprint": "abcd"},
        "dependency": {"dependency": "shop"},
        "cause": {"cause": "worker_lost"},
        "text": {"message": "this is wanted"},
        "within": {},
        "died_to": {"died_at": "2000-01-01T00:00:00Z"},
    }[name]
    await insert(conn, died_at="2020-01-01T00:00:00Z")
    await insert(conn, 1, **{"died_at": "2030-01-01T00:00:00Z"} | wanted)
    page = await page_of(served[1], **{name: value})
    assert page.count('<li class="row">') == 1
    assert f'href="{LIST}/2"' in page
    if name != "status":
        assert f'<a class="chip taken" href="{LIST}" aria-label="Take away {name} {value}">' in page


async def test_times_without_a_zone(served: Served, conn: AsyncConnection):
    """A time as a form has it is one in UTC; the chip and a bulk action have it with its zone."""
    await insert(conn, died_at="2020-01-01T00:00:00Z")
    await insert(conn, died_at="2020-01-03T00:00:00Z")
    page = await page_of(served[1], died_from="2020-01-02T12:00", died_to="2020-01-04T12:00")
    assert page.count('<li class="row">') == 1
    assert "2020-01-02 12:00 UTC</time>" in page
    assert '<input type="hidden" name="died_from" value="2020-01-02T12:00:00Z">' in page


async def test_fields_left_empty(served: Served, conn: AsyncConnection):
    """What a form leaves empty is no filter."""
    await insert(conn)
    page = await page_of(served[1], task="", queue="", failure_type="", within="", text="")
    assert page.count('<li class="row">') == 1
    assert "Take away" not in page


BOTH = "?within=1h&died_from=2020-01-01T00:00:00Z"


async def test_unknown_filter_values(served: Served):
    """A status or type that does not exist is refused."""
    for address in ("?status=asleep", "?failure_type=NONE", "?within=1y", "?cursor=x", "?died_to=noon", BOTH):
        assert (await served[1].get(LIST + address)).status_code == 422


async def test_older_letters(served: Served, conn: AsyncConnection):
    """What does not fit on a page is on the next, with the same filters."""
    await insert(conn, 52)
    page = await page_of(served[1], status="pending")
    assert page.count('<li class="row">') == 50
    assert f'rel="next" href="{LIST}?status=pending&amp;cursor=3"' in page
    assert (await page_of(served[1], status="pending", cursor="3")).count('<li class="row">') == 2


async def test_search_further(served: Served, conn: AsyncConnection):
    """A search that found nothing among the newest letters says so, and goes on with older ones."""
    await insert(conn, message="very rare")
    await insert(conn, SEARCHED)
    page = await page_of(served[1], text="rare")
    assert "None among the newest that were searched" in page
    assert "at least 0 of 5,001 in all" in page
    assert '<li class="row">' in await page_of(served[1], text="rare", cursor="2")


async def test_the_whole_story(served: Served):
    """A letter's page tells what died, why, what helps, its arguments without secrets, and every attempt."""
    queue, client = served
    letter = await bury(queue, client)
    page = await page_of(client, f"{LIST}/{letter['id']}")
    for words in (letter["meaning"][1:], letter["reason"], letter["exception_type"], "[redacted]"):
        assert escape(words) in page
    assert "What helps: " in page
    assert "hunter2" not in page
    (job,) = letter["jobs"]
    assert f'<a href="/dashboard/jobs/{job["job_id"]}">' in page
    assert escape(job["runs"][0]["traceback"].splitlines()[-1]) in page


async def test_the_chain(served: Served):
    """Jobs that ran in its place follow the first one, each with its attempts."""
    queue, client = served
    letter = await bury(queue, client)
    await client.post(f"/dead-letters/{letter['id']}/replay")
    await run_waiting_jobs(queue)
    page = await page_of(client, f"{LIST}/{letter['id']}")
    assert page.index(">Job 1</a>") < page.index(">Job 2</a>")
    assert page.count("<strong>attempt 1</strong>") == 2


async def test_a_long_chain(served: Served, conn: AsyncConnection):
    """Of a letter that was replayed again and again the first job is told and the latest, and how many are not."""
    queue, client = served
    letter = await bury(queue, client)
    await conn.execute(
        "WITH job AS (INSERT INTO procrastinate_jobs (queue_name, task_name, status) "
        "SELECT 'q', 'sample.fail', 'failed' FROM generate_series(1, 30) RETURNING id) "
        "INSERT INTO afresh.job_option (job_id, replay_of) SELECT id, id - 1 FROM job"
    )
    await conn.execute("UPDATE afresh.dead_letter SET replays = 30, replayed_as = 31, died_as = 31")
    page = await page_of(client, f"{LIST}/{letter['id']}")
    assert page.count("<h3>") == 21
    assert "10 other jobs ran in its place before these." in page
    assert page.index(">Job 1</a>") < page.index(">Job 12</a>") < page.index("replay 30")


async def test_many_attempts(served: Served, conn: AsyncConnection):
    """Of a job that was tried again and again its latest attempts are told, and its page has the others."""
    queue, client = served
    letter = await bury(queue, client)
    for number in range(2, 25):
        await fail(conn, job_id=letter["job_id"], attempt=number)
    page = await page_of(client, f"{LIST}/{letter['id']}")
    assert page.count("<strong>attempt ") == 20
    assert "The latest of its attempts; the others are on" in page


async def test_abandoned(served: Served):
    """Why a letter was abandoned is on its page, and in the list."""
    queue, client = served
    letter = await bury(queue, client)
    await client.post(f"/dead-letters/{letter['id']}/abandon", json={"reason": "the customer <left>"})
    for address in (LIST, f"{LIST}/{letter['id']}"):
        assert "the customer &lt;left&gt;" in await page_of(client, address)


async def test_unknown_letter(served: Served):
    """A letter that does not exist has no page."""
    assert (await served[1].get(f"{LIST}/7")).status_code == 404


async def test_a_job_leads_to_its_letter(served: Served):
    """The page of a job that died leads to its letter."""
    letter = await bury(*served)
    assert f'href="{LIST}/{letter["id"]}"' in await page_of(served[1], f"/dashboard/jobs/{letter['job_id']}")


async def test_what_letters_say_is_text(served: Served):
    """Markup in a letter's data is shown, not obeyed."""
    evil = "<script>alert(1)</script>"
    letter = await bury(*served, message=evil)
    for page in (
        await page_of(served[1]),
        await page_of(served[1], f"{LIST}/{letter['id']}"),
        await page_of(served[1], text=evil),
    ):
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
