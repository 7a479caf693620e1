"""Attempts of real workers against a real server that fails: what they leave in the database."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.cli.joke_server import JokeServer, Reply, always

from ..eventually import eventually
from .programs import AFRESH, Project
from .rows import attempts, defer, ended, events, job

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection[Any]
STEADY = {"RETRY_BASE_DELAY": 1, "RETRY_JITTER": "none"}


async def test_the_third_attempt_succeeds(project: Project, database_url: str, conn: Connection, jokes: JokeServer):
    """A job that fails twice and then succeeds has three attempts: two recorded failures, and the waits between."""
    project.write_env(**STEADY, API_BASE_URL=jokes.url)
    jokes.will(Reply(503), Reply(hang_up=True))
    job_id = await defer(conn, joke_id=7)
    project.start(*AFRESH, "worker", DATABASE_URL=database_url)

    found = await ended(conn, job_id)
    assert (found["state"], found["attempts"], found["result"]) == ("succeeded", 3, {"joke_id": 7})
    assert found["last_failure_type"] == "TRANSIENT_NETWORK"

    first, second, third = await attempts(conn, job_id)
    assert [each["outcome"] for each in (first, second, third)] == ["failed", "failed", "succeeded"]
    assert [each["attempt"] for each in (first, second, third)] == [1, 2, 3]
    assert (first["exception_type"], first["failure_type"]) == ("httpx.HTTPStatusError", "EXTERNAL_API_DOWN")
    assert "503 Service Unavailable" in first["message"]
    assert (second["exception_type"], second["failure_type"]) == ("httpx.RemoteProtocolError", "TRANSIENT_NETWORK")
    for nth, (failed, following) in enumerate([(first, second), (second, third)]):
        assert failed["delay"] == timedelta(seconds=2**nth)
        assert failed["next_run_at"] == failed["ended_at"] + failed["delay"]
        assert timedelta(0) <= following["started_at"] - failed["next_run_at"] < timedelta(seconds=4)
        assert failed["decision"] == "retry"
        assert failed["reason"].startswith(f"{failed['failure_type']} (")
    assert await events(conn, job_id) == [
        "deferred", "started", "scheduled", "deferred_for_retry", "started", "scheduled", "deferred_for_retry",
        "started", "succeeded",
    ]  # fmt: skip


async def test_a_permanent_failure_is_not_retried(
    project: Project, database_url: str, conn: Connection, jokes: JokeServer
):
    """A page that does not exist costs one attempt, and the job is a dead letter."""
    jokes.behave(always(Reply(404)))
    job_id = await defer(conn, joke_id=1)
    project.start(*AFRESH, "worker", DATABASE_URL=database_url, API_BASE_URL=jokes.url)

    assert (await ended(conn, job_id))["attempts"] == 1
    (attempt,) = await attempts(conn, job_id)
    assert (attempt["failure_type"], attempt["decision"]) == ("PERMANENT_NOT_FOUND", "dead_letter")
    assert attempt["next_run_at"] is None
    assert await events(conn, job_id) == ["deferred", "started", "failed"]
    assert len(jokes.visits) == 1


async def test_max_retries_follows_the_env_file(
    project: Project, database_url: str, conn: Connection, jokes: JokeServer
):
    """A job fails for good after MAX_RETRIES + 1 attempts; a worker started anew obeys the new number, 0 too."""
    jokes.behave(always(Reply(503)))
    for retries in (2, 0):
        settings = {"RETRY_BASE_DELAY": "0.1", "RETRY_JITTER": "none", "API_BASE_URL": jokes.url}
        project.write_env(MAX_RETRIES=retries, **settings)
        job_id = await defer(conn, joke_id=1)
        worker = project.start(*AFRESH, "worker", DATABASE_URL=database_url)
        found = await ended(conn, job_id)
        assert (found["state"], found["attempts"]) == ("failed", retries + 1)
        *_, last = await attempts(conn, job_id)
        assert (last["attempt"], last["decision"]) == (retries + 1, "dead_letter")
        worker.process.terminate()
        assert worker.ends() == 0


HOLD = """
import asyncio
from pathlib import Path
from app.queue.task import task

@task(name="holding.hold")
async def hold(path: str):
    if not Path(path).exists():
        Path(path).touch()
        await asyncio.sleep(600)
"""


async def test_a_killed_worker_loses_no_job(project: Project, database_url: str, conn: Connection):
    """A job whose worker is killed is run again by another one, at no cost in attempts."""
    project.write_env(TASK_MODULES="holding", STALLED_AFTER="1s")
    project.write_module("holding", HOLD)
    began = project.folder / "began"
    job_id = await defer(conn, "holding.hold", "default", path=str(began))
    first = project.start(*AFRESH, "worker", DATABASE_URL=database_url)
    first.says("Worker started")
    await eventually(began.exists)
    first.process.kill()

    project.start(*AFRESH, "worker", DATABASE_URL=database_url)
    found = await ended(conn, job_id)
    assert (found["state"], found["attempts"], found["rescues"]) == ("succeeded", 1, 1)
    lost, done = await attempts(conn, job_id)
    assert (lost["outcome"], lost["counted"], lost["failure_type"]) == ("lost", False, "SYSTEM_WORKER_LOST")
    assert done["outcome"] == "succeeded"


CUT = """
CREATE SEQUENCE cuts;
CREATE FUNCTION cut_connection() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('cuts');
    PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(10);
    RETURN NULL;
END $$;
CREATE TRIGGER cut_connection AFTER INSERT ON afresh.attempt FOR EACH ROW EXECUTE FUNCTION cut_connection();
"""


async def test_failure_and_reschedule_are_one(project: Project, database_url: str, conn: Connection, jokes: JokeServer):
    """A connection cut between the row of a failure and the reschedule leaves neither; then both are written, once."""
    await conn.execute(CUT)
    jokes.will(Reply(503))
    job_id = await defer(conn, joke_id=1)
    project.start(*AFRESH, "worker", DATABASE_URL=database_url, API_BASE_URL=jokes.url, **STEADY)

    await _until_cut(conn, times=2)
    assert await attempts(conn, job_id) == []
    found = await job(conn, job_id)
    assert (found["status"], found["attempts"]) == ("doing", 0)

    await conn.execute("DROP TRIGGER cut_connection ON afresh.attempt")
    found = await ended(conn, job_id)
    assert (found["state"], found["attempts"]) == ("succeeded", 2)
    assert [each["outcome"] for each in await attempts(conn, job_id)] == ["failed", "succeeded"]
    assert len(jokes.visits) == 2


async def _until_cut(conn: Connection, *, times: int) -> None:
    async def cuts() -> bool:
        cursor = await conn.execute("SELECT is_called AND last_value >= %s FROM cuts", [times])
        row = await cursor.fetchone()
        return bool(row and row[0])

    await eventually(cuts)
