"""What can be done to a job from its page, and to many from the list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from app.queue.submit import Submission, submit

from ..application import Served, run_waiting_jobs
from .forms import PERSON, send

pytestmark = pytest.mark.anyio


async def later(client: httpx.AsyncClient, **besides: str) -> int:
    """A job that waits."""
    body = {"args": {"a": 1}, "run_in": "1h"} | besides
    return int((await client.post("/tasks/add", json=body)).json()["job_id"])


async def state_of(client: httpx.AsyncClient, job_id: int) -> str:
    """What has become of a job."""
    return str((await client.get(f"/jobs/{job_id}")).json()["state"])


async def audited(conn: AsyncConnection, action: str) -> list[tuple[str, str]]:
    """Target and reason of what was done."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await cursor.execute("SELECT target, reason FROM afresh.audit WHERE action = %s ORDER BY id", [action])
        return [(row["target"], row["reason"]) async for row in rows]


async def test_cancel(served: Served, conn: AsyncConnection):
    """A job is cancelled for a reason, which the audit keeps; the page says once what it came to."""
    _, client = served
    job = await later(client)
    page = f"/dashboard/jobs/{job}"
    answer = await send(client, page, f"{page}/cancel", reason="wrong customer")
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    assert await state_of(client, job) == "cancelled"
    assert await audited(conn, "job.cancel") == [(str(job), "wrong customer")]
    assert f"Job {job} will not run." in (await client.get(page)).text
    assert f"Job {job} will not run." not in (await client.get(page)).text


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_a_reason_is_needed(served: Served, action: str):
    """Without a reason nothing is done, and the page says what is missing."""
    _, client = served
    job = await later(client)
    answer = await send(client, f"/dashboard/jobs/{job}", f"/dashboard/jobs/{job}/{action}", reason=" ")
    assert answer.status_code == 422
    assert "<strong>reason</strong>: is missing" in answer.text
    assert await state_of(client, job) == "scheduled"


async def test_run_now(served: Served):
    """A job that waits for its time runs now."""
    _, client = served
    job = await later(client)
    page = (await client.get(f"/dashboard/jobs/{job}")).text
    form = page[page.index(f'action="/dashboard/jobs/{job}/retry"') :]
    assert '<button class="main ">Run now</button>' in form[: form.index("</form>")]
    await send(client, f"/dashboard/jobs/{job}", f"/dashboard/jobs/{job}/retry", reason="now")
    assert await state_of(client, job) == "ready"


async def test_run_again(served: Served):
    """In the place of one that failed a fresh one runs, and its page comes next."""
    queue, client = served
    job = (await client.post("/tasks/fail", json={"args": {"message": "x"}})).json()["job_id"]
    await run_waiting_jobs(queue)
    page = f"/dashboard/jobs/{job}"
    answer = await send(client, page, f"{page}/retry", reason="mended")
    assert answer.headers["location"] == f"/dashboard/jobs/{job + 1}"
    assert "Run again" not in (await client.get(page)).text


async def test_move(served: Served):
    """When, how soon and where a waiting job runs can be changed; what is left empty stays."""
    _, client = served
    job = await later(client)
    page = f"/dashboard/jobs/{job}"
    before = (await client.get(f"/jobs/{job}")).json()
    fields = {"run_in": "", "run_at": "", "priority": "9", "queue": "elsewhere", "reason": ""}
    assert (await send(client, page, f"{page}/reschedule", **fields)).status_code == 303
    after = (await client.get(f"/jobs/{job}")).json()
    assert (after["priority"], after["queue"], after["scheduled_at"]) == (9, "elsewhere", before["scheduled_at"])
    assert (await send(client, page, f"{page}/reschedule", run_at="2040-01-31T18:00")).status_code == 303
    assert (await client.get(f"/jobs/{job}")).json()["scheduled_at"] == "2040-01-31T18:00:00Z"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "run_in"),
        ({"run_in": "soon"}, "run_in"),
        ({"run_in": "0"}, "run_in"),
        ({"run_in": "5m", "run_at": "2040-01-01T00:00"}, "run_at"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "9999-01-01T00:00"}, "run_at"),
        ({"priority": "11"}, "priority"),
        ({"priority": "0"}, "priority"),
        ({"priority": "½"}, "priority"),
        ({"queue": "x" * 41}, "queue"),
        ({"queue": "ü" * 21}, "queue"),
        ({"queue": "a\0b"}, "queue"),
    ],
)
async def test_moves_that_make_no_sense(served: Served, fields: dict[str, str], field: str):
    """The page names the field that is wrong, and nothing is half done."""
    _, client = served
    job = await later(client)
    before = (await client.get(f"/jobs/{job}")).json()
    answer = await send(client, f"/dashboard/jobs/{job}", f"/dashboard/jobs/{job}/reschedule", **fields)
    assert answer.status_code == 422
    assert f"<strong>{field}</strong>" in answer.text
    assert (await client.get(f"/jobs/{job}")).json() == before


async def test_too_late(served: Served):
    """What has ended cannot be cancelled: the page says so, with the status that programs get."""
    _, client = served
    job = await later(client)
    page = f"/dashboard/jobs/{job}"
    await send(client, page, f"{page}/cancel", reason="x")
    answer = await send(client, page, f"{page}/cancel", reason="x")
    assert answer.status_code == 409
    assert "it is cancelled" in answer.text


async def test_all_that_match(served: Served, conn: AsyncConnection):
    """All jobs that fit, past the page that is shown, are cancelled by a job; no other is, and none made later."""
    queue, client = served
    jobs = [await later(client, correlation_id="batch-7") for _ in range(60)]
    other = await later(client)
    page = "/dashboard/jobs/many?action=cancel&correlation_id=batch-7"
    text = (await client.get(page, headers=PERSON)).text
    assert "Cancel 60 jobs?" in text
    assert "and 50 more" in text
    answer = await send(client, page, "/dashboard/jobs/many", reason="recalled")
    assert answer.status_code == 303
    does_it = int(answer.headers["location"].rpartition("/")[2])
    newer = await later(client, correlation_id="batch-7")
    await run_waiting_jobs(queue)
    assert {await state_of(client, job) for job in jobs} == {"cancelled"}
    assert [await state_of(client, job) for job in (other, newer)] == ["scheduled", "scheduled"]
    assert (await client.get(f"/jobs/{does_it}/result")).json()["result"] == {"acted": 60, "passed_over": 0}
    assert await audited(conn, "job.cancel_many") == [(str(does_it), "recalled")]
    assert len(await audited(conn, "job.cancel")) == 60


async def test_all_of_a_time(served: Served, conn: AsyncConnection):
    """Jobs of a time are acted on, and those before it stay; the audit has the times."""
    queue, client = served
    jobs = [await later(client) for _ in range(2)]
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '3 hours' WHERE job_id = %s", [jobs[0]])
    page = "/dashboard/jobs/many?action=cancel&within=1h"
    assert "Cancel 1 job?" in (await client.get(page, headers=PERSON)).text
    assert (await send(client, page, "/dashboard/jobs/many", reason="recalled")).status_code == 303
    await run_waiting_jobs(queue)
    assert [await state_of(client, job) for job in jobs] == ["scheduled", "cancelled"]
    (row,) = await (await conn.execute("SELECT details FROM afresh.audit WHERE action = 'job.cancel_many'")).fetchall()
    assert sorted(row[0]["filter"]) == ["created_from", "without_own"]


async def test_all_without_own(served: Served, conn: AsyncConnection):
    """What is done to all that match is done to the service's own where the list shows them, and nowhere else."""
    queue, client = served
    job = await later(client)
    own = Submission(task_name="app.tasks.monitoring.evaluate_alerts", queue="monitoring", args={"timestamp": 1})
    its = await submit(conn, replace(own, run_at=datetime.now(UTC) + timedelta(hours=1)))
    page = "/dashboard/jobs/many?action=cancel&state=scheduled"
    text = (await client.get(page, headers=PERSON)).text
    assert "Cancel 1 job?" in text
    assert "without the service's own" in text
    assert (await send(client, page, "/dashboard/jobs/many", reason="recalled")).status_code == 303
    await run_waiting_jobs(queue)
    assert [await state_of(client, each) for each in (job, its)] == ["cancelled", "scheduled"]
    assert "Cancel 1 job?" in (await client.get(page + "&own=yes", headers=PERSON)).text
    assert (await send(client, page + "&own=yes", "/dashboard/jobs/many", reason="these, too")).status_code == 303
    await run_waiting_jobs(queue)
    assert await state_of(client, its) == "cancelled"


async def test_the_ticked(served: Served):
    """Of the jobs that are ticked, those that can be are run again; the others are passed over."""
    queue, client = served
    for number in range(3):
        await client.post("/tasks/fail", json={"args": {"message": str(number)}})
    done = (await client.post("/tasks/add", json={"args": {"a": 1}})).json()["job_id"]
    await run_waiting_jobs(queue)
    page = f"/dashboard/jobs/many?action=retry&job=1&job=3&job={done}"
    text = (await client.get(page, headers=PERSON)).text
    assert "Run again 3 jobs?" in text
    assert '<a class="chip" href="/dashboard/jobs/3">#3</a>' in text
    fields = {"form_token": text.partition('name="form_token" value="')[2].partition('"')[0]}
    data = fields | {"action": "retry", "job": ["1", "3", str(done)], "reason": "mended"}
    answer = await client.post("/dashboard/jobs/many", data=data, headers=PERSON)
    does_it = int(answer.headers["location"].rpartition("/")[2])
    await run_waiting_jobs(queue)
    assert (await client.get(f"/jobs/{does_it}/result")).json()["result"] == {"acted": 2, "passed_over": 1}
    assert (await client.get("/jobs", params={"replay_of": 1})).json()["total"] == 1


async def test_none_is_ticked(served: Served):
    """Whoever means those that are ticked, and has ticked none, is not offered all that fit the filters."""
    _, client = served
    await later(client, queue="q")
    assert '<input type="hidden" name="ticked" value="yes">' in (await client.get("/dashboard/jobs?queue=q")).text
    answer = await client.get("/dashboard/jobs/many?action=cancel&queue=q&ticked=yes", headers=PERSON)
    assert answer.status_code == 422
    assert "none is ticked" in answer.text


@pytest.mark.parametrize(
    "query",
    ["action=cancel", "action=cancel&state=", "action=cancel&own=yes", "action=erase&queue=q", "action=cancel&job=x"],
)
async def test_not_everything(served: Served, query: str):
    """Nothing chosen does not mean everything; what is no action or no job is refused."""
    assert (await served[1].get(f"/dashboard/jobs/many?{query}", headers=PERSON)).status_code == 422


async def test_everything_is_refused_also_when_sent(served: Served):
    """Nor does a form without a choice."""
    _, client = served
    job = await later(client)
    answer = await send(client, "/dashboard/jobs/1", "/dashboard/jobs/many", action="cancel", reason="x")
    assert answer.status_code == 422
    assert await state_of(client, job) == "scheduled"
