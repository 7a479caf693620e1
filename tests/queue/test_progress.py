"""What tasks report on their way: checked, throttled, stored, and only while the job is theirs."""

import asyncio
import math
import threading
import time
from typing import Any

import orjson
import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.progress import LARGEST_DATA, LONGEST_MESSAGE, WRITE_SECONDS, Report, Throttle, progress
from app.redact import MASK
from app.store.progress import list_progress
from app.telemetry import Attempt, Event, ProgressRefused

from ..eventually import eventually
from .jobs import Row, add, attempts, claim, register, rows, status, value
from .workers import work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def history(conn: Connection, job_id: int) -> list[tuple[float, str | None]]:
    """Fraction and message of each stored report, oldest first."""
    return [(row["fraction"], row["message"]) for row in await list_progress(conn, job_id)]


async def write(conn: Connection, worker: int, *reports: Row) -> None:
    """Write reports as a worker does."""
    await conn.execute("SELECT afresh.write_progress(%s, %s::jsonb)", (worker, orjson.dumps(reports).decode()))


async def running_job(conn: Connection) -> tuple[int, int]:
    """A claimed job, and its worker."""
    (job_id,) = await add(conn)
    worker = await register(conn)
    await claim(conn, 1, worker=worker)
    return job_id, worker


async def test_report(queue_app: Afresh, conn: Connection):
    """What a task reports is stored with the run that said it."""

    @queue_app.task(name="t")
    async def translate() -> None:
        await progress(0.75, "Step 3 of 4", current_step="review", words=1200)

    job_id = await translate.defer_async()
    await work_off(queue_app)
    (row,) = await list_progress(conn, job_id)
    assert (row["number"], row["attempt"], row["fraction"], row["message"]) == (1, 1, 0.75, "Step 3 of 4")
    assert (row["current_step"], row["data"]) == ("review", {"words": 1200})


async def test_plain_function(queue_app: Afresh, conn: Connection):
    """A task that is not asynchronous reports from its thread, without awaiting."""

    @queue_app.task(name="t")
    def count() -> None:
        progress(0.5, threading.current_thread().name)
        progress(1, "done")

    job_id = await count.defer_async()
    await work_off(queue_app)
    assert await history(conn, job_id) == [(0.5, "task-1"), (1.0, "done")]


async def test_throttle(queue_app: Afresh, conn: Connection):
    """A task that reports all the time is written twice a second, and once more at its end."""

    @queue_app.task(name="t")
    async def busy() -> float:
        began = time.monotonic()
        while time.monotonic() < began + 1.3:
            await progress(0.5, "on the way")
            await asyncio.sleep(0.002)
        await progress(1, "there")
        return time.monotonic() - began

    job_id = await busy.defer_async()
    await work_off(queue_app)
    stored = await list_progress(conn, job_id)
    *regular, last = stored
    assert last["message"] == "there"
    assert {row["message"] for row in regular} == {"on the way"}
    seconds = await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id)
    assert 2 <= len(regular) <= 1 + seconds / WRITE_SECONDS  # At 0, 0.5 and 1 s; on a busy machine a timer comes late.


@pytest.mark.parametrize("ending", ["returns", "raises"])
async def test_last_report(queue_app: Afresh, conn: Connection, ending: str):
    """The last report lands, however soon after it the task returns or raises, and before the end is written."""

    @queue_app.task(name="t")
    async def quick() -> None:
        for step in range(1, 101):
            await progress(step / 100, f"step {step}")
        if ending == "raises":
            raise ValueError("at the last step")

    job_id = await quick.defer_async()
    await work_off(queue_app)
    assert await history(conn, job_id) == [(0.01, "step 1"), (1.0, "step 100")]
    ended = await value(
        conn, "SELECT max(at) FROM procrastinate_events WHERE job_id = %s AND type <> 'scheduled'", job_id
    )
    assert (await list_progress(conn, job_id))[-1]["at"] <= ended


async def test_last_report_of_an_aborted_job(queue_app: Afresh, conn: Connection):
    """The last report before an abort lands too."""
    started = asyncio.Event()

    @queue_app.task(name="t")
    async def endless() -> None:
        await progress(0.1)
        await progress(0.2)
        started.set()
        await asyncio.Event().wait()

    job_id = await endless.defer_async()
    async with working(queue_app):
        await asyncio.wait_for(started.wait(), 10)
        await queue_app.job_manager.cancel_job_by_id_async(job_id, abort=True)

        async def aborted() -> bool:
            return await status(conn, job_id) == "aborted"

        await eventually(aborted)
    assert await history(conn, job_id) == [(0.1, None), (0.2, None)]


async def test_thread_that_outlives_its_run(queue_app: Afresh, conn: Connection):
    """What a thread says after its attempt has timed out is not stored."""
    over, said = threading.Event(), threading.Event()

    @queue_app.task(name="t")
    def slow() -> None:
        progress(0.5)
        over.wait(20)
        progress(0.9)
        said.set()

    job_id = await slow.defer_async()
    await conn.execute("INSERT INTO afresh.job_option (job_id, timeout) VALUES (%s, '200 ms')", (job_id,))
    async with working(queue_app):
        await eventually(lambda: attempts(conn, job_id))  # It waits before its run as well as after.
        over.set()
        assert await asyncio.to_thread(said.wait, 10)
    assert await history(conn, job_id) == [(0.5, None)]


async def test_fence(conn: Connection):
    """What a worker reports about a job that was taken from it is dropped, and so is what comes after the end."""
    job_id, worker = await running_job(conn)
    report = {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": 0.5}
    await write(conn, await register(conn), {**report, "report": 1})
    await write(conn, worker, {**report, "attempts": 1, "report": 2})
    await write(conn, worker, {**report, "claim": 2, "report": 2})
    assert await history(conn, job_id) == []
    await write(conn, worker, {**report, "report": 3})
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", (job_id,))
    await write(conn, worker, {**report, "report": 4, "fraction": 0.6})
    assert await history(conn, job_id) == [(0.5, None)]


async def test_sent_twice(conn: Connection):
    """A report whose acknowledgement was lost is stored once, also when a newer one has overtaken it."""
    job_id, worker = await running_job(conn)
    first = {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": 0.1, "report": 1}
    second = {**first, "fraction": 0.2, "report": 2}
    for report in (first, first, second, first):
        await write(conn, worker, report)
    assert await history(conn, job_id) == [(0.1, None), (0.2, None)]


async def test_history_is_bounded(conn: Connection):
    """The newest 200 reports of a job are kept, and their numbers go on."""
    job_id, worker = await running_job(conn)
    for number in range(1, 206):
        report = {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": number / 205, "report": number}
        await write(conn, worker, report)
    stored = await list_progress(conn, job_id)
    assert [row["number"] for row in stored] == list(range(6, 206))


async def test_next_attempt(queue_app: Afresh, conn: Connection):
    """A retry goes on in the same history, with its own number of the attempt, and may fall back."""
    runs = 0

    @queue_app.task(name="t", retry=1)
    async def second_time_lucky() -> None:
        nonlocal runs
        runs += 1
        await progress(0.9 if runs == 1 else 0.1)
        if runs == 1:
            raise ValueError("not yet")

    job_id = await second_time_lucky.defer_async()
    await work_off(queue_app)
    assert [(row["attempt"], row["fraction"]) for row in await list_progress(conn, job_id)] == [(1, 0.9), (2, 0.1)]


@pytest.mark.parametrize("fraction", [-0.01, 1.01, math.nan, math.inf])
def test_fraction_out_of_range(fraction: float):
    """Progress is a fraction; a percentage is refused where it is reported."""
    with pytest.raises(ValueError, match="fraction from 0 to 1"):
        progress(fraction)


def test_data_that_is_no_json():
    """Data that cannot be stored is refused where it is reported."""
    with pytest.raises(TypeError):
        progress(0.5, what=object())
    with pytest.raises(ValueError, match="bytes of JSON"):
        progress(0.5, what="x" * LARGEST_DATA)


async def test_outside_of_a_job():
    """A task's function that is called by itself, as in a test, may report: nothing happens."""
    await progress(0.5, "nobody listens")


async def test_odd_texts(queue_app: Afresh, conn: Connection):
    """What Postgres cannot store is replaced, what is too long is cut, secrets are masked."""

    @queue_app.task(name="t")
    async def odd() -> None:
        data = {"note": "\0", "password": "hunter2", "1": 1}
        await progress(0.5, "\0\ud800" + "x" * 5000, current_step="y" * 999, **data)

    job_id = await odd.defer_async()
    await work_off(queue_app)
    (row,) = await list_progress(conn, job_id)
    assert row["message"].startswith("\N{REPLACEMENT CHARACTER}?xxx")
    assert (len(row["message"]), len(row["current_step"])) == (LONGEST_MESSAGE, 255)
    assert row["data"] == {"note": "\N{REPLACEMENT CHARACTER}", "password": MASK, "1": 1}


async def test_refused_report(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A report that the database refuses is told with its attempt, and costs neither the others nor its job's end."""
    await conn.execute("ALTER TABLE afresh.progress ADD CHECK (message <> 'bad')")

    @queue_app.task(name="t")
    async def say(what: str) -> None:
        await progress(0.5, what)

    good, bad = await say.defer_async(what="good"), await say.defer_async(what="bad")
    await work_off(queue_app)
    assert await history(conn, good) == [(0.5, "good")]
    assert await history(conn, bad) == []
    assert await status(conn, bad) == "succeeded"
    (refused,) = [event for event in events if isinstance(event, ProgressRefused)]
    assert (refused.attempt.job_id, refused.attempt.task_name, refused.attempt.attempt) == (bad, "t", 1)
    assert refused.error.startswith("CheckViolation: ")


async def test_outage(queue_app: Afresh, conn: Connection):
    """What is reported while the database is out of reach waits there, the newest of each job, and lands."""
    gate = asyncio.Event()

    @queue_app.task(name="t")
    async def patient() -> None:
        await progress(0.1)
        await gate.wait()
        await progress(0.8)
        await progress(0.9)

    job_id = await patient.defer_async()
    async with working(queue_app):

        async def begun() -> Any:
            return await history(conn, job_id)

        await eventually(begun)
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        gate.set()

        async def done() -> bool:
            return await status(conn, job_id) == "succeeded"

        await eventually(done)
    stored = await history(conn, job_id)
    assert (stored[0], stored[-1]) == ((0.1, None), (0.9, None))
    assert len(await rows(conn, "SELECT FROM afresh.progress")) == len(stored)


async def test_quiet_jobs_pay_nothing(queue_app: Afresh, conn: Connection):
    """A job that reports nothing leaves no row."""

    @queue_app.task(name="t")
    async def quiet() -> None: ...

    await quiet.defer_async()
    await work_off(queue_app)
    assert await value(conn, "SELECT count(*) FROM afresh.progress") == 0


async def test_throttle_passes_the_newest_on():
    """Of reports between two writes the newest is written, and closing writes what waits, once."""
    written: list[Report] = []
    throttle = Throttle(asyncio.get_running_loop(), written.append)
    reports = [Report({"number": number}, Attempt("t", 1)) for number in range(4)]
    for report in reports[:3]:
        throttle.add(report)
    assert written == reports[:1]
    await eventually(lambda: len(written) == 2)
    throttle.add(reports[3])
    throttle.close()
    assert written == [reports[0], reports[2], reports[3]]
