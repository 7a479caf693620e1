"""The life of a dead letter: its status is moved by the end of the job in its place, whatever ends that."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
import pytest

from app.config import WorkerSettings
from app.queue import control
from app.queue.app import Afresh
from app.queue.letters import Changes
from app.queue.rescue import rescue_stalled
from app.store.dead_letters import find_chain, settle_strays

from ..eventually import eventually
from .conftest import OpenApp
from .jobs import add, job, rows, status, value
from .letters import flaky, only_letter, replayed
from .workers import is_, nothing, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def test_a_replay_is_a_fresh_linked_job(queue_app: Afresh, conn: Connection):
    """A replay's attempts are at zero, its options are the old ones, and both ways are linked."""
    old = await flaky(conn, queue_app, TypeError())
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, max_retries, metadata) VALUES (%s, 7, '{\"k\": 1}')", (old,)
    )
    new = await replayed(conn, queue_app)
    fresh, letter = await job(conn, new), await only_letter(conn)
    assert (fresh["attempts"], fresh["args"], fresh["afresh_letter"]) == (0, {"a": 1}, letter["id"])
    assert (letter["status"], letter["replayed_as"], letter["replays"]) == ("retrying", new, 1)
    (option,) = await rows(conn, "SELECT * FROM afresh.job_option WHERE job_id = %s", new)
    assert (option["replay_of"], option["max_retries"], option["metadata"]) == (old, 7, {"k": 1})
    assert await status(conn, old) == "failed"
    (audit,) = await rows(conn, "SELECT actor, action, target, reason FROM afresh.audit")
    assert tuple(audit.values()) == ("me", "dead_letter.replay", str(letter["id"]), "why not")


@pytest.mark.parametrize("args", [{"a": 5}, {}], ids=["other", "none"])
async def test_what_was_changed_is_in_the_audit(queue_app: Afresh, conn: Connection, args: dict[str, int]):
    """Whatever arguments take the place of the old ones, the audit has the fact, and not what they are."""
    await flaky(conn, queue_app, TypeError())
    new = await replayed(conn, queue_app, Changes(args=args, priority=9))
    assert (await job(conn, new))["args"] == args
    details = await value(conn, "SELECT details FROM afresh.audit")
    assert {name: details.get(name) for name in ("args", "priority", "queue")} == {
        "args": "changed",
        "priority": 9,
        "queue": None,
    }


async def test_success_resolves(queue_app: Afresh, conn: Connection):
    """The letter is resolved when the job in its place succeeds, also where finished jobs are deleted."""
    await flaky(conn, queue_app, TypeError())
    await replayed(conn, queue_app)
    await work_off(queue_app, delete_jobs="always")
    assert (await only_letter(conn))["status"] == "resolved"


async def test_a_replay_that_dies_is_the_same_letter(queue_app: Afresh, conn: Connection):
    """A replay that dies writes no second letter: the first is pending again, and tells the newest failure."""
    old = await flaky(conn, queue_app, TypeError("first"), KeyError("second"))
    before = await only_letter(conn)
    new = await replayed(conn, queue_app, Changes(args={"a": 5}, queue="elsewhere", priority=9))
    await work_off(queue_app)
    after = await only_letter(conn)
    assert (after["status"], after["job_id"], after["died_as"], after["replayed_as"]) == ("pending", old, new, new)
    assert (after["args"], after["queue_name"], after["priority"]) == ({"a": 5}, "elsewhere", 9)
    assert "second" in after["message"]
    assert after["fingerprint"] != before["fingerprint"]
    assert after["first_died_at"] == before["died_at"] < after["died_at"]


async def test_the_chain_is_told(queue_app: Afresh, conn: Connection):
    """All jobs of a letter are found from it, in order, also those that were cancelled."""
    first = await flaky(conn, queue_app, TypeError(), TypeError())
    second = await replayed(conn, queue_app)
    await work_off(queue_app)
    third = await replayed(conn, queue_app)
    await control.cancel(conn, third, actor="me")
    fourth = await replayed(conn, queue_app)
    await work_off(queue_app)
    chain = await find_chain(conn, (await only_letter(conn))["id"])
    assert [(each["job_id"], each["state"]) for each in chain] == [
        (first, "failed"),
        (second, "failed"),
        (third, "cancelled"),
        (fourth, "succeeded"),
    ]


async def _by_control(app: Afresh, conn: Connection, job_id: int) -> None:
    del app
    await control.cancel(conn, job_id, actor="me")


async def _by_procrastinate(app: Afresh, conn: Connection, job_id: int) -> None:
    del conn
    await app.job_manager.cancel_job_by_id_async(job_id)


async def _by_deleting(app: Afresh, conn: Connection, job_id: int) -> None:
    del app
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = %s", (job_id,))


async def _by_clearing(app: Afresh, conn: Connection, job_id: int) -> None:
    del app
    await control.clear(conn, (await job(conn, job_id))["queue_name"], 1, actor="me")


@pytest.mark.parametrize("end", [_by_control, _by_procrastinate, _by_deleting, _by_clearing])
async def test_a_replay_that_will_not_run(
    queue_app: Afresh, conn: Connection, end: Callable[[Afresh, Connection, int], Awaitable[None]]
):
    """However the job in a letter's place is taken away before it runs, the letter is pending again, as it was."""
    old = await flaky(conn, queue_app, TypeError())
    await end(queue_app, conn, await replayed(conn, queue_app))
    letter = await only_letter(conn)
    assert (letter["status"], letter["died_as"]) == ("pending", old)


async def test_an_aborted_replay(queue_app: Afresh, conn: Connection):
    """A replay that is stopped while it runs leaves its letter pending."""
    gate = asyncio.Event()
    times = 0

    @queue_app.task(name="hangs")
    async def hangs() -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise TypeError
        await gate.wait()

    await hangs.defer_async()
    await work_off(queue_app)
    new = await replayed(conn, queue_app)
    async with working(queue_app):
        await eventually(lambda: times == 2)
        await control.cancel(conn, new, actor="me")
        await eventually(lambda: is_(conn, new, "aborted"))
    assert (await only_letter(conn))["status"] == "pending"


async def test_a_coalesced_replay(queue_app: Afresh, conn: Connection):
    """A replay that ends because its twin waits has not done the letter's work: the letter is pending."""
    times = 0

    @queue_app.task(name="flaky", queueing_lock="one")
    async def flaky() -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise TypeError
        await add(conn, task="other", queueing_lock="one", due_in=3600)
        raise ConnectionRefusedError

    await flaky.defer_async()
    await work_off(queue_app)
    new = await replayed(conn, queue_app)
    await work_off(queue_app)
    assert await status(conn, new) == "cancelled"
    assert (await only_letter(conn))["status"] == "pending"


async def test_a_replay_that_is_rescued_to_death(open_app: OpenApp, conn: Connection):
    """A replay whose worker is lost too often gives the letter that cause."""
    app = await open_app(worker=WorkerSettings(max_rescues="0"))
    await flaky(conn, app, TypeError())
    new = await replayed(conn, app)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (new,))
    await rescue_stalled(app)
    letter = await only_letter(conn)
    assert (letter["status"], letter["cause"], letter["died_as"]) == ("pending", "worker_lost", new)


async def test_procrastinates_own_retry(queue_app: Afresh, conn: Connection):
    """A failed job that Procrastinate puts back runs in the place of its letter, and ends as any replay."""
    old = await flaky(conn, queue_app, TypeError(), TypeError())
    for expected in ("pending", "resolved"):
        await queue_app.job_manager.retry_job_by_id_async(old, retry_at=datetime.now(UTC))
        letter = await only_letter(conn)
        assert (letter["status"], letter["replayed_as"]) == ("retrying", old)
        await work_off(queue_app)
        assert (await only_letter(conn))["status"] == expected


async def test_an_end_that_no_trigger_saw(queue_app: Afresh, conn: Connection):
    """Where the table of jobs was emptied without its triggers, maintenance sets the letters right."""
    await flaky(conn, queue_app, TypeError())
    await replayed(conn, queue_app)
    assert await settle_strays(conn) == []
    await conn.execute("TRUNCATE procrastinate_jobs CASCADE")
    assert (await only_letter(conn))["status"] == "retrying"
    assert await settle_strays(conn) == [(await only_letter(conn))["id"]]
    assert (await only_letter(conn))["status"] == "pending"


async def test_a_task_knows_no_letter_of_others(queue_app: Afresh, conn: Connection):
    """What a replayed job defers is work of its own: it belongs to no letter."""
    child = queue_app.task(name="child")(nothing)
    times = 0

    @queue_app.task(name="parent")
    async def parent() -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise TypeError
        await child.defer_async()

    await parent.defer_async()
    await work_off(queue_app)
    await replayed(conn, queue_app)
    await work_off(queue_app)
    assert await value(conn, "SELECT afresh_letter FROM procrastinate_jobs WHERE task_name = 'child'") is None
