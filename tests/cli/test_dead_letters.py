"""`afresh dead-letters`, as people type it."""

import asyncio

import pytest
from psycopg import AsyncConnection

from ..application import Served, run_waiting_jobs
from ..queue.workers import working
from .program import Run, afresh

pytestmark = pytest.mark.anyio


def letters(database_url: str, *arguments: str, answer: str = "") -> Run:
    """Run a command."""
    known = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks"}
    return afresh("dead-letters", *arguments, answer=answer, **known)


@pytest.fixture
async def dead(served: Served) -> Served:
    """Three jobs that died, and a queue to bring them back."""
    queue, client = served
    for number in range(3):
        args = {"message": f"no luck {number}", "password": "hunter2"}
        await client.post("/tasks/fail", json={"args": args})
    await run_waiting_jobs(queue)
    return served


async def test_list_and_show(dead: Served, database_url: str):
    """Letters are listed by what they are about; one is shown with what helps, and without secrets."""
    assert dead
    listed = letters(database_url, "list", "--task", "fail", "--status", "pending").stdout
    assert "3 of 3" in listed
    assert "sample.fail" in listed
    assert letters(database_url, "list", "--cause", "worker_lost").stdout == "No dead letter fits.\n"
    shown = letters(database_url, "show", "1").stdout
    assert "Dead letter 1  sample.fail  pending" in shown
    assert "no luck 0" in shown
    assert "hunter2" not in shown
    assert "Job 1  failed" in shown
    assert "no retries allowed" in shown.split("Attempt 1", 1)[1]
    assert letters(database_url, "list", "--died-to", "2020-01-01").stdout == "No dead letter fits.\n"
    assert "3 of 3" in letters(database_url, "list", "--died-from", "2020-01-01T12:00:00").stdout


async def test_one(dead: Served, database_url: str, conn: AsyncConnection):
    """One letter is replayed with other arguments, and another is given up, each with its reason in the audit."""
    assert dead
    replayed = letters(database_url, "replay", "1", "--args", '{"message": "again"}', "--ahead", "--reason", "mended")
    assert replayed.stdout.startswith("Job 4 runs in the place of dead letter 1"), replayed.stderr
    assert letters(database_url, "abandon", "2", "--reason", "customer has left").returncode == 0
    assert (
        letters(database_url, "replay", "3", "--run-in", "2h", "--priority", "7", "--reason", "later").returncode == 0
    )
    cursor = await conn.execute(
        "SELECT priority, extract(hours FROM scheduled_at - now() + interval '1 minute') FROM procrastinate_jobs "
        "WHERE id = 5"
    )
    assert await cursor.fetchone() == (7, 2)
    cursor = await conn.execute("SELECT actor, action, reason FROM afresh.audit WHERE actor = 'cli' ORDER BY id")
    assert await cursor.fetchall() == [
        ("cli", "dead_letter.replay", "mended"),
        ("cli", "dead_letter.abandon", "customer has left"),
        ("cli", "dead_letter.replay", "later"),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "99"], "there is no dead letter 99"),
        (["replay", "99"], "there is no dead letter 99"),
        (["replay", "1", "--args", "[]"], "--args: a JSON object"),
        (["replay", "1", "--run-in", "soon"], "--run-in: not a duration"),
        (["replay", "1", "--args", '{"message": 5}'], "sample.fail: message:"),
        (["replay", "1", "--task", "fail"], "a number or filters"),
        (["replay"], "a letter's number, or at least one filter"),
        (["replay", "--task", "fail", "--confirm", "3", "--args", "{}"], "--args: only for one letter, by its number"),
        (["replay", "--task", "fail", "--confirm", "3", "--queue", "q", "--ahead"], "--queue, --ahead: only for one"),
        (["list", "--status", "lost"], "--status: one of pending"),
        (["replay", "--task", "fail", "--confirm", "2"], "nothing is done: there are 3 letters, not 2"),
    ],
)
async def test_refusals(dead: Served, database_url: str, arguments: list[str], line: str):
    """What cannot be done is told in one line, and is not done."""
    assert dead
    refused = letters(database_url, *arguments)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert line in refused.stderr
    assert "3 of 3" in letters(database_url, "list", "--status", "pending").stdout


async def test_many(dead: Served, database_url: str):
    """Many are replayed after their number was typed; the command shows how far it is, and what came of it."""
    queue, client = dead
    async with working(queue):
        run = await asyncio.to_thread(
            letters, database_url, "replay", "--task", "fail", "--stop-share", "0.9", "--reason", "mended", answer="3\n"
        )
    assert run.returncode == 0, run.stderr
    assert "3 pending letters to replay" in run.stdout
    assert "done: 3 letters, 0 skipped; of them" in run.stdout
    found = (await client.get("/dead-letters/bulk/1")).json()
    assert (found["actor"], found["acted"], found["statuses"]) == ("cli", 3, {"pending": 3})
    assert (found["rate_per_second"], found["stop_share"]) == (50, 0.9)
