"""How far jobs have come and what they returned, over HTTP."""

from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.queue.app import Afresh
from app.queue.storable import LARGEST_RESULT

from ..application import run_waiting_jobs
from ..queue.test_progress import running_job, write
from .test_bad_input import check_problem
from .test_jobs import defer

pytestmark = pytest.mark.anyio


async def test_progress(client: httpx.AsyncClient, conn: AsyncConnection[Any]):
    """A job shows how far it has come and how it came there."""
    job_id, worker = await running_job(conn)
    said = {"job_id": job_id, "attempts": 0, "claim": 1, "current_step": "draft"}
    await write(conn, worker, {**said, "fraction": 0.25, "message": "Step 1 of 4", "report": 1})
    await write(conn, worker, {**said, "fraction": 0.5, "message": "Step 2 of 4", "data": {"words": 7}, "report": 2})
    shown = (await client.get(f"/jobs/{job_id}/progress")).json()
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["progress"], job["progress_message"]) == (0.5, "Step 2 of 4")
    assert (shown["progress"], shown["progress_message"], shown["current_step"]) == (0.5, "Step 2 of 4", "draft")
    assert [(each["number"], each["progress"], each["data"]) for each in shown["history"]] == [
        (1, 0.25, None),
        (2, 0.5, {"words": 7}),
    ]
    assert shown["updated_at"] == shown["history"][-1]["at"]


async def test_no_progress(client: httpx.AsyncClient):
    """A job that has reported nothing has none; a job that does not exist is not found."""
    job_id = await defer(client, "add", args={"a": 1})
    assert (await client.get(f"/jobs/{job_id}/progress")).json() == {
        "job_id": job_id,
        "progress": None,
        "progress_message": None,
        "current_step": None,
        "updated_at": None,
        "history": [],
    }
    check_problem(await client.get("/jobs/999999/progress"), 404)


async def test_result(queue: Afresh, client: httpx.AsyncClient):
    """What a job returned is there once it has succeeded; before that, 409 says its state."""
    job_id = await defer(client, "add", args={"a": 1, "b": 2})
    early = check_problem(await client.get(f"/jobs/{job_id}/result"), 409)
    assert (early["type"], early["state"]) == ("urn:afresh:no-result", "ready")
    await run_waiting_jobs(queue)
    shown = (await client.get(f"/jobs/{job_id}/result")).json()
    assert shown == {"job_id": job_id, "state": "succeeded", "result": 3, "note": None}
    check_problem(await client.get("/jobs/999999/result"), 404)


async def test_result_of_a_failure(queue: Afresh, client: httpx.AsyncClient):
    """A job that failed has no result, and says why."""
    job_id = await defer(client, "fail", args={"message": "no such luck"})
    await run_waiting_jobs(queue)
    problem = check_problem(await client.get(f"/jobs/{job_id}/result"), 409)
    assert problem["state"] == "failed"
    assert problem["failure_type"]
    assert problem["detail"].endswith("no such luck")


async def test_nothing_returned(queue: Afresh, client: httpx.AsyncClient):
    """A job that returned nothing has the result null."""
    job_id = await defer(client, "return-nothing")
    await run_waiting_jobs(queue)
    shown = (await client.get(f"/jobs/{job_id}/result")).json()
    assert shown == {"job_id": job_id, "state": "succeeded", "result": None, "note": None}


async def test_large_result(queue: Afresh, client: httpx.AsyncClient):
    """A result beyond the limit is not stored, and a note says so; the job has succeeded."""
    text = "x" * (LARGEST_RESULT // 2)
    job_id = await queue.tasks["sample.accept_anything"].defer_async(one=text, two=text)
    await run_waiting_jobs(queue)
    shown = (await client.get(f"/jobs/{job_id}/result")).json()
    assert (shown["state"], shown["result"]) == ("succeeded", None)
    assert "at most 1,000,000" in shown["note"]
