"""The pages of policies and of the simulation."""

import re
from collections.abc import Mapping

import pytest
from playwright.async_api import Page, expect
from psycopg import AsyncConnection

from app.config import OffPeakSettings
from app.dashboard.simulation import POINTS
from app.retry.failure import FailureType
from app.store.failures import fold_failures

from ..application import Served, run_waiting_jobs, serving, settings_for
from ..store.history import fail, put_off, recover
from .parts import text_of

pytestmark = pytest.mark.anyio

SIMULATION = "/dashboard/policies/simulation"


def row_of(page: str, name: str) -> str:
    """The row of a table that begins so."""
    begin = page.index(f'<th scope="row" class="said">{name}')
    return page[begin : page.index("</tr>", begin)]


def cells_of(page: str, name: str) -> list[str]:
    """The cells of such a row, after its first."""
    return re.findall("<td[^>]*>(.*)</td>", row_of(page, name))


async def test_types(served: Served):
    """Every failure type is listed with its waits, what it means and what opens a breaker."""
    page = (await served[1].get("/dashboard/policies")).text
    for kind in FailureType:
        assert row_of(page, kind.value)
    network = row_of(page, "TRANSIENT_NETWORK")
    assert "60 s, 120 s, 240 s" in network
    assert "5 failures, 10 min" in network
    assert "not retried" in row_of(page, "PERMANENT_AUTH")


async def test_tasks(served: Served):
    """Every task is listed with who decides about its failures and what it relies on."""
    page = (await served[1].get("/dashboard/policies")).text
    add = row_of(page, '<a href="/dashboard/jobs?task=sample.add">')
    joke = row_of(page, '<a href="/dashboard/jobs?task=app.tasks.jokes.fetch_and_cache_joke">')
    assert "failure type" in add
    assert '<a href="/dashboard/dependencies/joke-api">joke-api</a>' in joke
    assert "1 ms" not in add


async def test_what_failing_cost(served: Served, conn: AsyncConnection):
    """Jobs that retries saved or that died, the calls and the time for them are counted, in all, by type and task."""
    queue, client = served
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})
    await run_waiting_jobs(queue)
    await recover(conn, failures=3)
    await conn.execute("UPDATE afresh.attempt SET started_at = ended_at - interval '90 s'")
    await fold_failures(conn)
    page = (await client.get("/dashboard/policies")).text
    for title, told in {
        "Saved by a retry": "1",
        "Retries that worked": "33%",
        "Mean retries": "1.5",
        "Jobs that died": "1",
        "Calls for those": "1",
        "Time in failures": "6 min",
    }.items():
        assert f"<div><dt>{title}</dt><dd>{told}</dd></div>" in page
    assert '<td class="n">1</td>' in row_of(page, "TRANSIENT_NETWORK")
    assert '<td class="n">1</td>' in row_of(page, '<a href="/dashboard/jobs?task=sample.fail">')


async def test_what_was_learned(served: Served, conn: AsyncConnection):
    """What retries taught is listed with its samples and with what follows; too few teach nothing."""
    await conn.execute(
        "INSERT INTO afresh.retry_sample (task_name, failure_type, retries, successes, since, refreshed_at) VALUES"
        " ('sample.add', 'TRANSIENT_NETWORK', 45, 39, now() - interval '7 days', now()),"
        " ('sample.greet', 'TRANSIENT_NETWORK', 20, 2, now() - interval '7 days', now()),"
        " ('sample.fail', 'UNKNOWN', 3, 3, now() - interval '7 days', now())"
    )
    page = (await served[1].get("/dashboard/policies")).text
    learned = page[page.index("What retries have taught") :]
    assert [cells_of(learned, each)[1:4] for each in ("sample.add", "sample.greet", "sample.fail")] == [
        ["45", "39", "87%"],
        ["20", "2", "10%"],
        ["3", "3", "100%"],
    ]
    assert "delays ×0.7" in row_of(learned, "sample.add")
    assert "delays ×1.5, one retry fewer" in row_of(learned, "sample.greet")
    assert "too few yet" in row_of(learned, "sample.fail")


@pytest.mark.parametrize(
    ("price", "here", "in_front"),
    [
        ("5400", "Put off 2 Saved thereby 6.00 ", "Saved off-peak 6.00 2 runs put off "),
        ("0", "Put off 2 Time is that of workers.", "Put off 2 to the quiet hours "),
    ],
)
async def test_what_was_put_off(database_url: str, conn: AsyncConnection, price: str, here: str, in_front: str):
    """Runs that were put off are counted here and on the front page; what that saved is told where a price is set."""
    for job_id in (1, 2, 3):
        await put_off(conn, job_id)
    for job_id in (1, 2):
        await fail(conn, job_id=job_id)  # It took two seconds.
    settings = settings_for(database_url, off_peak=OffPeakSettings(hours="9-18", cost_per_hour=price))
    async with serving(settings) as (_, client):
        assert here in await text_of(client, "/dashboard/policies")
        assert in_front in await text_of(client, "/dashboard")


async def test_live(served: Served, browser_page: Page, conn: AsyncConnection):
    """What failing cost and what retries taught come into the page by themselves."""
    queue, client = served
    await browser_page.goto("/dashboard/policies")
    died = browser_page.locator(".tiles > div", has_text="Jobs that died").locator("dd")
    await expect(died).to_have_text("0")
    await client.post("/tasks/fail", json={"args": {"message": "no such luck"}})
    await run_waiting_jobs(queue)
    await fold_failures(conn)
    await conn.execute(
        "INSERT INTO afresh.retry_sample (task_name, failure_type, retries, successes, since, refreshed_at)"
        " VALUES ('sample.add', 'TRANSIENT_NETWORK', 45, 39, now() - interval '7 days', now())"
    )
    await client.post("/tasks/add", json={"args": {"a": 1}})
    await expect(died).to_have_text("1")
    await expect(browser_page.locator("#taught")).to_contain_text("delays ×0.7")
    for kind in ("#of-types", "#of-tasks"):
        await expect(browser_page.locator(f"{kind} td.n", has_text="1").first).to_be_visible()


async def test_nothing_learned_yet(served: Served):
    """Where nothing was retried the page says so."""
    assert "Nothing yet." in (await served[1].get("/dashboard/policies")).text


async def test_the_form_begins_with_the_settings(served: Served):
    """Before anything is asked nothing is played, and the form has the policy of the settings."""
    page = (await served[1].get(SIMULATION)).text
    assert 'name="max_retries" min="0" max="20" required value="5"' in page
    assert re.search('name="initial_delay" [^>]*value="0.001s" required>', page)
    assert "<option selected>none</option>" in page
    assert "<svg" not in page


async def test_simulation(served: Served):
    """A story is played under every policy, with figures, jobs done over time, loads on one scale, and waits."""
    asked = {"scenario": "full outage", "jobs": "100", "max_retries": "2", "initial_delay": "5s", "max_delay": "1h"}
    page = (await served[1].get(SIMULATION, params=asked)).text
    for policy in ("ours", "fixed delay", "exponential", "exponential, full jitter", "yours"):
        assert f'<th scope="row">{policy}</th>' in page
        assert f"<figcaption>Load by {policy}</figcaption>" in page
    assert "After a quiet minute every call fails for 10 min" in page
    assert "<title>Jobs done. ours: from 0 jobs to 1,060 jobs" in page
    assert f"{POINTS} points" in page
    assert "<title>before attempt 3: 10 s</title>" in page
    assert '<option value="full outage" selected>' in page


@pytest.mark.parametrize(
    "wrong",
    [{"initial_delay": "soon"}, {"max_delay": "2d"}, {"jobs": "1000000"}, {"max_retries": "21"}, {"backoff": "none"},
     {"scenario": "flood"}, {"multiplier": "nan"}],
)  # fmt: skip
async def test_what_is_refused(served: Served, wrong: Mapping[str, str]):
    """What is no policy, or would take too long, is not played."""
    answer = await served[1].get(SIMULATION, params={"scenario": "full outage", **wrong})
    assert answer.status_code == 422
