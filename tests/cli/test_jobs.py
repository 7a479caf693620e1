"""`afresh jobs`, as people type it."""

from typing import Any

import pytest
from psycopg import AsyncConnection

from app.store import jobs as stored
from app.store import paging

from ..application import Served, run_waiting_jobs
from .program import Run, afresh

pytestmark = pytest.mark.anyio


def jobs(database_url: str, *arguments: str) -> Run:
    """Run a command."""
    return afresh("jobs", *arguments, DATABASE_URL=database_url, TASK_MODULES="tests.sample_tasks")


@pytest.fixture
async def history(served: Served) -> Served:
    """Job 1 has succeeded, job 2 has died, and job 3 waits for its time."""
    queue, client = served
    await client.post("/tasks/add", json={"args": {"a": 1}, "correlation_id": "order-7"})
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await client.post("/tasks/add", json={"args": {"a": 2}, "run_in": "2h"})
    return served


def numbers(listed: Run) -> list[str]:
    """The jobs that a list shows."""
    assert listed.returncode == 0, listed.stderr
    return [line.split()[0] for line in listed.stdout.splitlines()[1:-1]]


@pytest.mark.usefixtures("history")
async def test_list(database_url: str):
    """Jobs are listed newest first, by state, task, queue, correlation id and text, each with its last failure."""
    everything = jobs(database_url, "list")
    assert numbers(everything) == ["3", "2", "1"]
    assert everything.stdout.endswith("3 of 3\n")
    assert numbers(jobs(database_url, "list", "--task", "add")) == ["3", "1"]
    assert numbers(jobs(database_url, "list", "--queue", "sums", "--state", "succeeded")) == ["1"]
    assert numbers(jobs(database_url, "list", "--correlation-id", "order-7")) == ["1"]
    failed = jobs(database_url, "list", "--text", "no luck", "--limit", "1")
    assert numbers(failed) == ["2"]
    assert ": no luck" in failed.stdout
    assert jobs(database_url, "list", "--state", "running").stdout == "No job fits.\n"


async def test_a_search_goes_on(history: Served, monkeypatch: pytest.MonkeyPatch):
    """A list by what no index serves looks on until it has found as many as wanted, or has seen all."""
    from app.cli.jobs import _newest

    monkeypatch.setattr(paging, "SEARCHED", 1)
    chosen = stored.JobFilter(task_name="sample.add")
    async with history[0].connection() as conn:
        whole, newest = await _newest(conn, chosen, 50), await _newest(conn, chosen, 1)
    assert [job["job_id"] for job in whole.items] == [3, 1]
    assert (whole.total, whole.total_is_exact) == (2, True)
    assert [job["job_id"] for job in newest.items] == [3]


@pytest.mark.usefixtures("history")
async def test_show(database_url: str):
    """A job is shown with the ladder of its attempts."""
    shown = jobs(database_url, "show", "2").stdout
    assert shown.startswith("Job 2  sample.fail  failed")
    assert "no luck" in shown.split("Attempt 1", 1)[1]


@pytest.mark.usefixtures("history")
async def test_cancel_and_retry(database_url: str, conn: AsyncConnection):
    """One that waits is cancelled, one that died runs again as a fresh one; each has its reason in the audit."""
    assert jobs(database_url, "cancel", "3", "--reason", "recalled").stdout == "Job 3 will not run.\n"
    assert jobs(database_url, "retry", "2").stdout == "Job 4 runs in the place of job 2: afresh jobs show 4\n"
    found = await conn.execute("SELECT action, target, reason FROM afresh.audit WHERE actor = 'cli' ORDER BY id")
    assert await found.fetchall() == [
        ("job.cancel", "3", "recalled"),
        ("job.retry", "2", "retried at the command line"),
    ]


async def test_of_one_that_runs_or_waits(history: Served, database_url: str, conn: AsyncConnection):
    """One that waits for its time runs at once; one that runs is asked to stop."""
    assert history
    assert jobs(database_url, "retry", "3").stdout == "Job 3 runs as soon as there is room.\n"
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = 3")
    assert jobs(database_url, "cancel", "3").stdout == "Job 3 runs, and is asked to stop: afresh jobs show 3\n"
    asked: Any = await (await conn.execute("SELECT abort_requested FROM procrastinate_jobs WHERE id = 3")).fetchone()
    assert asked == (True,)


@pytest.mark.usefixtures("history")
async def test_one_that_waits_for_ever(database_url: str, conn: AsyncConnection):
    """A job whose time never comes is listed and shown wherever in the world one looks."""
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = 'infinity' WHERE id = 3")
    for command in (["list"], ["show", "3"]):
        seen = afresh("jobs", *command, DATABASE_URL=database_url, TZ="Asia/Tokyo")
        assert (seen.returncode, "9999-12-31" in seen.stdout) == (0, True), seen.stderr


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "99"], "there is no job 99"),
        (["cancel", "99"], "there is no job 99"),
        (["cancel", "1"], "job 1 has ended: it is succeeded"),
        (["retry", "1"], "job 1 is succeeded: there is nothing to retry"),
        (["list", "--state", "asleep"], "--state: one of ready, scheduled"),
    ],
)
async def test_refusals(database_url: str, arguments: list[str], line: str):
    """What cannot be done is told in one line."""
    refused = jobs(database_url, *arguments)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert line in refused.stderr
