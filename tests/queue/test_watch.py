"""Following a job: everything in order, once, to the end; whatever happens to the connection, and to how many."""

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.connector import AfreshConnector
from app.queue.progress import progress
from app.queue.watch import POLL_SECONDS, Hub, NoSuchJob, watch
from app.store.updates import MOST, AttemptEnd, Cursor, End, Progress, StateChange, Update, read_updates

from ..eventually import eventually
from ..servers import Server
from .conftest import OpenApp
from .jobs import add, claim, register, settle_successes, value
from .test_progress import running_job, write
from .workers import work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

LISTENERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN%afresh_progress%'
"""


async def follow(job_id: int, since: Cursor | None = None) -> list[Update]:
    """Everything that is told of a job, to its end."""
    return [update async for update in watch(job_id, since=since)]


def told(updates: list[Update]) -> list[Any]:
    """Updates in short."""
    return [_short(update) for update in updates]


def _short(update: Update) -> Any:
    match update:
        case StateChange():
            return update.state
        case AttemptEnd():
            return (update.attempt, update.outcome)
        case Progress():
            return update.progress
        case End():
            return ("end", update.state)


def numbers(updates: list[Update]) -> list[str]:
    """Their ids."""
    return [str(update.cursor) for update in updates]


async def test_life_of_a_job(queue_app: Afresh):
    """A watcher hears each state, each run that failed, each report, in order, and the end last."""
    runs = 0

    @queue_app.task(name="t", retry=1)
    async def second_time_lucky() -> None:
        nonlocal runs
        runs += 1
        await progress(runs / 2)
        if runs == 1:
            raise ValueError("not yet")

    job_id = await second_time_lucky.defer_async()
    following = asyncio.create_task(follow(job_id))
    await work_off(queue_app)
    updates = await asyncio.wait_for(following, 10)
    assert told(updates) == ["ready", "running", 0.5, (1, "failed"), "ready", "running", 1.0, ("end", "succeeded")]
    assert len(set(numbers(updates))) == len(updates)
    (failure,) = [update for update in updates if isinstance(update, AttemptEnd)]
    assert (failure.message, failure.decision) == ("not yet", "retry")


async def test_scheduled(queue_app: Afresh, conn: Connection):
    """A job for later is told as scheduled, with its time, and a changed time is told again."""

    @queue_app.task(name="t")
    async def later() -> None: ...

    at = datetime.now(UTC) + timedelta(hours=1)
    job_id = await later.configure(schedule_at=at).defer_async()
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = %s", (at + timedelta(hours=1),))
    await conn.execute("UPDATE procrastinate_jobs SET status = 'cancelled'")
    first, second, last = await asyncio.wait_for(follow(job_id), 10)
    assert isinstance(first, StateChange)
    assert isinstance(second, StateChange)
    assert (first.state, first.scheduled_at, second.state) == ("scheduled", at, "scheduled")
    assert (second.scheduled_at, second.at) == (at + timedelta(hours=1), None)
    assert told([last]) == [("end", "cancelled")]


async def test_snoozed_and_retrying(conn: Connection, queue_app: Afresh):
    """A job that waits after a run is retrying until its time comes."""
    job_id, _ = await running_job(conn)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'todo', scheduled_at = now() + interval '1 hour'")
    page = await queue_app.hub.look(job_id, Cursor())
    assert told(list(page.updates)) == ["ready", "running", "retrying"]
    assert not page.final


async def test_abort_request(conn: Connection, queue_app: Afresh):
    """A request to abort is told; the job runs until it ends."""
    job_id, _ = await running_job(conn)
    await conn.execute("UPDATE procrastinate_jobs SET abort_requested = true")
    update = (await queue_app.hub.look(job_id, Cursor())).updates[-1]
    assert isinstance(update, StateChange)
    assert (update.state, update.abort_requested) == ("running", True)


async def test_resume_after_each_update(queue_app: Afresh):
    """Whoever resumes after any update hears exactly those that came after it."""

    @queue_app.task(name="t", retry=2)
    async def fail() -> None:
        await progress(0.5)
        raise ValueError("never")

    job_id = await fail.defer_async()
    await work_off(queue_app)
    everything = await follow(job_id)
    assert told(everything)[-2:] == [(3, "failed"), ("end", "failed")]
    for index, update in enumerate(everything, start=1):
        assert await follow(job_id, update.cursor) == everything[index:]


@pytest.mark.usefixtures("queue_app")
async def test_long_history(conn: Connection):
    """A history of many pages comes whole and in order, its end last."""
    count = 3 * MOST + 7
    (job_id,) = await add(conn)
    worker = await register(conn)
    for number in range(count):
        await claim(conn, worker=worker)
        await write(
            conn, worker, {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": number / count, "report": number}
        )
        if number < count - 1:
            await conn.execute("UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL")
    await settle_successes(conn, worker, {job_id: 0})
    expected = [step for number in range(count) for step in ("ready", "running", number / count)]
    assert told(await asyncio.wait_for(follow(job_id), 20)) == [*expected, ("end", "succeeded")]


async def test_unknown_job(queue_app: Afresh):
    """There is nothing to watch of a job that does not exist."""
    with pytest.raises(NoSuchJob):
        await follow(1_000_000)
    assert len(queue_app.hub) == 0


async def test_deleted_job(queue_app: Afresh, conn: Connection):
    """A job that is deleted under its watcher ends without a state."""
    job_id, _ = await running_job(conn)
    following = asyncio.create_task(follow(job_id))
    await eventually(lambda: len(queue_app.hub) == 1)
    await conn.execute("DELETE FROM procrastinate_jobs")
    updates = await asyncio.wait_for(following, 10)
    assert told(updates)[-1] == ("end", None)


@pytest.mark.usefixtures("queue_app")
async def test_progress_comes_at_once(conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """Progress is announced: it does not wait for the next poll."""
    monkeypatch.setattr("app.queue.watch.POLL_SECONDS", 60)
    job_id, worker = await running_job(conn)
    updates = watch(job_id)
    assert told([await anext(updates), await anext(updates)]) == ["ready", "running"]
    await eventually(lambda: _listens(conn))
    await write(conn, worker, {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": 0.5, "report": 1})
    assert told([await asyncio.wait_for(anext(updates), 30)]) == [0.5]
    await updates.aclose()  # type: ignore[attr-defined]  # It is a generator.


async def _listens(conn: Connection) -> bool:
    return bool(await value(conn, LISTENERS) == 1)


async def test_many_watchers(queue_app: Afresh, conn: Connection):
    """500 watchers cost one listening connection and one statement at a time, and all hear everything."""

    @queue_app.task(name="t")
    async def steps() -> None:
        await gate.wait()
        for step in range(1, 4):
            await progress(step / 3)
            await asyncio.sleep(0)

    gate = asyncio.Event()
    ids = [await steps.defer_async() for _ in range(5)]
    watchers = [asyncio.create_task(follow(job_id)) for job_id in ids for _ in range(100)]
    await eventually(lambda: len(queue_app.hub) == 500)
    async with working(queue_app):
        await eventually(lambda: _listens(conn))
        connections = await value(conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        gate.set()
        heard = await asyncio.wait_for(asyncio.gather(*watchers), 30)
    assert connections < 15
    assert {tuple(map(str, told(updates))) for updates in heard} == {
        ("ready", "running", str(1 / 3), "1.0", "('end', 'succeeded')")
    }
    await eventually(lambda: len(queue_app.hub) == 0)
    await eventually(lambda: _nobody_listens(conn))


async def _nobody_listens(conn: Connection) -> bool:
    return bool(await value(conn, LISTENERS) == 0)


async def test_one_statement(conn: Connection):
    """The updates of 500 jobs are read in one statement, whose time is a fraction of the interval."""
    ids = await add(conn, 500)
    pages = await read_updates(conn, [(job_id, Cursor()) for job_id in ids])
    assert len(pages) == 500
    known = [(job_id, page.updates[-1].cursor) for (job_id, _), page in pages.items()]
    took = math.inf
    for _ in range(5):
        began = asyncio.get_running_loop().time()
        assert await read_updates(conn, known) == {}
        took = min(took, asyncio.get_running_loop().time() - began)
    assert took < POLL_SECONDS / 2


async def test_slow_watcher(queue_app: Afresh, conn: Connection):
    """A watcher that does not take what it has is not given more: nothing piles up, and nothing is lost."""
    job_id, worker = await running_job(conn)
    with queue_app.hub.watching(job_id, Cursor()) as slow, queue_app.hub.watching(job_id, Cursor()) as quick:
        for number in range(1, 4):
            await write(
                conn, worker, {"job_id": job_id, "attempts": 0, "claim": 1, "fraction": number / 4, "report": number}
            )
            heard: list[Update] = []
            while not heard or told(heard)[-1] != number / 4:
                page = await quick.next_page(10)
                assert page is not None
                heard += page.updates
        first = await slow.next_page(10)
        assert first is not None
        updates = list(first.updates)
        while told(updates)[-1] != 0.75:
            page = await slow.next_page(10)
            assert page is not None
            updates += page.updates
    assert told(updates) == ["ready", "running", 0.25, 0.5, 0.75]


async def test_silence(queue_app: Afresh, conn: Connection):
    """Who waits for a while without news is told that there are none."""
    job_id, _ = await running_job(conn)
    with queue_app.hub.watching(job_id, Cursor(10**9, 0, 0)) as watcher:
        assert await watcher.next_page(0.05) is None


async def test_close(queue_app: Afresh, conn: Connection):
    """When the process is about to end, watchers are sent home without an end, and so is who comes then."""
    job_id, _ = await running_job(conn)
    following = asyncio.create_task(follow(job_id))
    await eventually(lambda: _asleep(queue_app.hub))
    queue_app.hub.close()
    assert told(await asyncio.wait_for(following, 10)) == ["ready", "running"]
    assert await asyncio.wait_for(follow(job_id), 10) == []


def _asleep(hub: Hub) -> bool:
    return any(each.hungry and each.cursor != Cursor() for each in hub._everybody())


async def test_app_closed(open_app: OpenApp, conn: Connection):
    """An app that is closed under its watchers fails them; none waits for ever."""
    app = await open_app()
    job_id, _ = await running_job(conn)
    following = asyncio.create_task(follow(job_id))
    await eventually(lambda: _asleep(app.hub))
    await app.close_async()
    with pytest.raises(Exception, match=r"(?i)open"):
        await asyncio.wait_for(following, 10)


async def _restarted(server: Server) -> None:
    assert server.embedded is not None
    await asyncio.to_thread(server.embedded.restart)


async def _killed(server: Server) -> None:
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as own:
        await own.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname LIKE 'afresh_test%%' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


@pytest.mark.parametrize("trouble", [_restarted, _killed], ids=["restart", "backends killed"])
async def test_postgres_restarts(queue_app: Afresh, server: Server, trouble: Callable[[Server], Any]):
    """A restart of Postgres under watchers and worker: all is told, once, and the LISTEN is there again."""
    if trouble is _restarted and server.embedded is None:
        pytest.skip("this server is not ours to restart")

    @queue_app.task(name="t")
    async def steps() -> None:
        await progress(0.1)
        await gate.wait()
        await progress(0.9)
        await said.wait()

    gate, said = asyncio.Event(), asyncio.Event()
    job_id = await steps.defer_async()
    heard: list[Update] = []

    async def listen() -> None:
        async for update in watch(job_id):
            heard.append(update)
            if told([update]) == [0.9]:
                said.set()

    following = asyncio.create_task(listen())
    async with working(queue_app):
        await eventually(lambda: 0.1 in told(heard))
        await trouble(server)
        gate.set()
        await asyncio.wait_for(following, 40)
        assert isinstance(queue_app.connector, AfreshConnector)
    assert told(heard) == ["ready", "running", 0.1, 0.9, ("end", "succeeded")]


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.-3", "1.2.3\n", "1.2." + "9" * 19, "\u0661.2.3"]
)
def test_foreign_ids(text: str):
    """What is not the id of an update is no cursor."""
    with pytest.raises(ValueError, match="not the id"):
        Cursor.parse(text)
    assert Cursor.parse("1.2.3") == Cursor(1, 2, 3)
