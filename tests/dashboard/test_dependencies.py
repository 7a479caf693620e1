"""The pages of dependencies."""

from datetime import UTC, datetime, timedelta
from random import Random

import httpx
import pytest
from psycopg import AsyncConnection

from app.retry.breaker.counting import Counted, Report
from app.retry.breaker.rules import Rules, Trip
from app.retry.failure import FailureType
from app.store import breakers
from app.store.audit import AuditFilter, list_audit
from app.store.keys import Role, create_key
from app.web.cookies import SIGN_IN

from ..application import Served
from ..eventually import eventually
from .forms import PERSON, hidden_of, sign_in
from .parts import live_worker, text_of

pytestmark = pytest.mark.anyio

RULES = Rules(trips={FailureType.TRANSIENT_NETWORK: Trip(failures=2, break_seconds=600)})


async def fail(conn: AsyncConnection, name: str, jobs: int) -> None:
    """Have so many jobs fail at a dependency, a second apart."""
    now = datetime.now(UTC)
    second = int(now.timestamp()) - jobs
    failures = tuple(Counted(second + job, job, FailureType.TRANSIENT_NETWORK) for job in range(jobs))
    said = Report(generation=0, at=now, failures=failures, last_failure_at=now)
    await breakers.report(conn, name, said, RULES, Random(1))


async def page_of(client: httpx.AsyncClient, name: str) -> str:
    """The page of a dependency."""
    answer = await client.get(f"/dashboard/dependencies/{name}")
    assert answer.status_code == 200
    return answer.text


async def act(client: httpx.AsyncClient, name: str, verb: str, *, reason: str = "because") -> httpx.Response:
    """Send a form of a page, as a person would."""
    fields = await hidden_of(client, "/dashboard/dependencies/joke-api")
    return await client.post(f"/dashboard/dependencies/{name}/{verb}", data=fields | {"reason": reason}, headers=PERSON)


async def test_list(served: Served):
    """Every dependency that a task names is listed, and leads to its page."""
    page = (await served[1].get("/dashboard/dependencies")).text
    for name in ("joke-api", "llm", "mail-server"):
        assert f'href="/dashboard/dependencies/{name}" id="of-{name}">{name}</a>' in page


async def test_unwell_first(served: Served, conn: AsyncConnection):
    """What is not called comes first, with its state, its cause and what waits for it."""
    _, client = served
    await breakers.isolate(conn, "mail-server", actor="ada", reason="mail goes out twice")
    await client.post("/tasks/send-email", json={"args": {"to": ["a@example.com"], "subject": "x", "text": "y"}})
    page = (await client.get("/dashboard/dependencies")).text
    assert page.index("mail-server") < page.index("joke-api")
    assert "mail goes out twice" in page
    assert "1 job waits" in page
    assert '<span class="state isolated">isolated</span>' in page


async def tell(conn: AsyncConnection, worker: int, budgets: str | None) -> None:
    """Have a worker say what is left of its budgets, as JSON."""
    await conn.execute("UPDATE afresh.worker SET budgets = %s, pid = worker_id WHERE worker_id = %s", [budgets, worker])


async def test_budget(served: Served, conn: AsyncConnection):
    """What is left of a retry budget is told as the processes of living workers said it, the emptiest first."""
    queue, client = served
    assert "no worker that lives says what it has left" in await text_of(client, "/dashboard/dependencies/joke-api")
    ada, bob, old, twin = [await live_worker(queue, name=name) for name in ("ada", "bob", "old", "twin")]
    await tell(conn, ada, '{"joke-api": 12.4, "llm": -3.0}')
    await tell(conn, bob, '{"joke-api": 40}')
    await conn.execute("UPDATE afresh.worker SET budgets = '{}', pid = 99 WHERE worker_id = ANY (%s)", [[old, twin]])
    await conn.execute("UPDATE procrastinate_workers SET last_heartbeat = 'epoch' WHERE id = %s", [old])
    page = await text_of(client, "/dashboard/dependencies/joke-api")
    assert "Retry budget 12 of 50 left in ada, which has least, and 102 of 150 in all 3 worker processes" in page
    page = await text_of(client, "/dashboard/dependencies/llm")
    assert "Retry budget spent : retries wait in ada, which has least, and 100 of 150" in page
    assert "Retry budget full in all 3 worker processes" in await text_of(client, "/dashboard/dependencies/mail-server")
    page = await text_of(client, "/dashboard/dependencies")
    assert "retry budget 12 of 50 where it is lowest" in page
    assert page.count("retry budget") == 2
    left = (await client.get("/dependencies/joke-api")).json()["budget"]
    assert (left["least"], left["capacity"], left["processes"]) == (12.4, 50, 3)


async def test_budget_of_one(served: Served, conn: AsyncConnection):
    """Where one worker tells, it is named; where none tells, there is nothing to say."""
    queue, client = served
    assert (await client.get("/dependencies/joke-api")).json()["budget"] is None
    await tell(conn, await live_worker(queue, name="ada"), '{"joke-api": 12.4}')
    assert "Retry budget 12 of 50 left in ada said" in await text_of(client, "/dashboard/dependencies/joke-api")


async def test_search(served: Served):
    """The list can be narrowed to a part of a name."""
    page = (await served[1].get("/dashboard/dependencies", params={"text": "JOKE"})).text
    assert ">joke-api</a>" in page
    assert ">llm</a>" not in page
    assert "No dependency is named so" in (await served[1].get("/dashboard/dependencies?text=nothing")).text


async def test_open(served: Served, conn: AsyncConnection):
    """The page of one that is open says why, since when, when it is probed, and what can follow."""
    await fail(conn, "joke-api", 3)
    page = await page_of(served[1], "joke-api")
    assert "3 of 3 calls failed, the last with TRANSIENT_NETWORK" in page
    for words in (
        "Since",
        "Next probe",
        "Break ends",
        "half-open: the break is over",
        "It is open, coming from closed",
    ):
        assert words in page


async def test_suspect(served: Served, conn: AsyncConnection):
    """Failures that are counted are told before they open it."""
    await fail(conn, "joke-api", 1)
    assert "Suspect: 1 of 1 calls failed that count now, 50% of what opens it." in await page_of(served[1], "joke-api")


async def test_ramp(served: Served, conn: AsyncConnection):
    """While its jobs are let out, the page tells the rate, and of what it was before, where that is known."""
    await breakers.isolate(conn, "joke-api", actor="ada", reason="maintenance")
    await breakers.reset(conn, "joke-api", actor="ada", reason="it is back")
    page = await page_of(served[1], "joke-api")
    assert "1.0 jobs a second</dd>" in page
    assert "Of the rate before" not in page
    await conn.execute("UPDATE afresh.breaker SET rate = 2, baseline = 8 WHERE name = 'joke-api'")
    page = await page_of(served[1], "joke-api")
    assert '2.0 jobs a second; before, 8.0 succeeded <progress max="1" value="0.25" aria-label="Of the rate' in page


async def test_history(served: Served, conn: AsyncConnection):
    """What happened to it is listed with its causes, the newest first, and drawn for the last day."""
    await fail(conn, "joke-api", 3)
    await breakers.isolate(conn, "joke-api", actor="ada", reason="maintenance")
    await breakers.reset(conn, "joke-api", actor="ada", reason="it is back")
    page = await page_of(served[1], "joke-api")
    history = page[page.index("What happened to it") :]
    outage = history.index("3 of 3 calls failed, the last with TRANSIENT_NETWORK \N{RIGHTWARDS ARROW} ")
    assert history.index("ada: it is back") < history.index("ada: maintenance") < outage
    assert "<li>closed for" in page
    assert "<li>isolated for" in page
    assert "<li>ramping for" in page


async def test_day_before_a_long_history(served: Served, conn: AsyncConnection):
    """Of a history that is longer than the page, the day is drawn as far as it is known."""
    for _ in range(26):
        await breakers.isolate(conn, "joke-api", actor="ada", reason="again")
        await breakers.reset(conn, "joke-api", actor="ada", reason="it is back")
    page = await page_of(served[1], "joke-api")
    assert "The latest 50." in page
    assert "<li>closed for" not in page


async def test_an_old_transition_fills_the_day(served: Served, conn: AsyncConnection):
    """What began before the day is drawn from its beginning."""
    await breakers.isolate(conn, "joke-api", actor="ada", reason="maintenance")
    await conn.execute("UPDATE afresh.breaker_event SET at = %s", [datetime.now(UTC) - timedelta(days=3)])
    page = await page_of(served[1], "joke-api")
    assert "<li>isolated for 24 h" in page
    assert "<li>closed for" not in page


async def test_held_jobs(served: Served, conn: AsyncConnection):
    """The jobs that wait for it are counted by task."""
    _, client = served
    await breakers.isolate(conn, "joke-api", actor="ada", reason="maintenance")
    for _ in range(3):
        await client.post("/tasks/fetch-joke")
    page = await page_of(client, "joke-api")
    waiting = page[page.index("Jobs that wait for it") : page.index("What happened to it")]
    assert "task=app.tasks.jokes.fetch_and_cache_joke&amp;state=ready" in waiting
    assert '<td class="n">3</td>' in waiting


async def test_nothing_waits(served: Served):
    """Where nothing waits and nothing ever happened, the page says so."""
    page = await page_of(served[1], "joke-api")
    assert "Jobs that could run" in page
    assert "None now." in page
    assert "its breaker has always been closed" in page


async def test_name_with_slashes(served: Served, conn: AsyncConnection):
    """A dependency may be named like an address."""
    name = "https://api.example.com/v1?x=<b>"
    await breakers.isolate(conn, name, actor="ada", reason="maintenance")
    listed = (await served[1].get("/dashboard/dependencies")).text
    link = "/dashboard/dependencies/https%3A//api.example.com/v1%3Fx%3D%3Cb%3E"
    assert f'href="{link}"' in listed
    page = (await served[1].get(link)).text
    assert "<b>" not in page
    assert "https://api.example.com/v1?x=&lt;b&gt;" in page
    assert "No task of this server names it" in page


async def test_unknown(served: Served):
    """A name that nothing relies on has no page, and none that Postgres cannot hold."""
    assert (await served[1].get("/dashboard/dependencies/nobody")).status_code == 404
    assert (await served[1].get("/dashboard/dependencies/no%00body")).status_code == 422


async def test_actions(served: Served, conn: AsyncConnection):
    """A form isolates, probes and resets, each for a reason, and the page says what it came to."""
    _, client = served
    for verb, word in (("isolate", "is isolated"), ("reset", "is called again")):
        answer = await act(client, "joke-api", verb)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/dependencies/joke-api")
        assert f"joke-api {word}" in await page_of(client, "joke-api")
    await fail(conn, "llm", 3)
    assert (await act(client, "llm", "probe")).status_code == 303
    rows = (await list_audit(conn, AuditFilter(), limit=10)).items
    assert [each["action"] for each in rows] == ["dependency.probe", "dependency.reset", "dependency.isolate"]
    assert {each["reason"] for each in rows} == {"because"}


async def test_what_cannot_be_done(served: Served):
    """What is done already, is not to be done now, or has no reason is refused; so is a name that nobody knows."""
    _, client = served
    assert (await act(client, "joke-api", "reset")).status_code == 409
    assert (await act(client, "joke-api", "probe")).status_code == 409
    assert (await act(client, "joke-api", "isolate", reason=" ")).status_code == 422
    assert (await act(client, "joke-api", "isolate")).status_code == 303
    assert (await act(client, "joke-api", "isolate")).status_code == 409
    assert (await act(client, "nobody", "reset")).status_code == 404


async def test_buttons(served: Served, conn: AsyncConnection):
    """There are buttons for what can be done now, and none for who may only look."""
    _, client = served
    assert 'action="/dashboard/dependencies/joke-api/isolate"' in await page_of(client, "joke-api")
    assert 'action="/dashboard/dependencies/joke-api/reset"' not in await page_of(client, "joke-api")
    await act(client, "joke-api", "isolate")
    assert 'action="/dashboard/dependencies/joke-api/isolate"' not in await page_of(client, "joke-api")
    assert 'action="/dashboard/dependencies/joke-api/reset"' in await page_of(client, "joke-api")
    key = await create_key(conn, "looks", Role.VIEWER, actor="test")

    async def entered() -> bool:  # Keys are read once a second.
        return SIGN_IN in (await sign_in(client, key)).cookies

    assert await eventually(entered)
    page = await page_of(client, "joke-api")
    assert "joke-api" in page
    assert "/dashboard/dependencies/joke-api/reset" not in page
    assert (await act(client, "joke-api", "reset")).status_code == 403
