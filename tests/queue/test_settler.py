"""The one writer of a worker: groups, refusals, and what happens when the answer is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from procrastinate import jobs

from app.queue.app import Afresh
from app.queue.settle import Settlement, Settler
from app.queue.storable import LARGEST_RESULT, encoded
from app.telemetry import (
    Attempt,
    AttemptAborted,
    AttemptSucceeded,
    EndRefused,
    Event,
    JobCoalesced,
    JobsSettled,
    OwnershipLost,
)

from ..eventually import eventually
from ..servers import Server
from .jobs import add, attempts, claim, dead_letters, job, register, rows, settle_successes, status, value
from .test_settle import buried, ending

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@asynccontextmanager
async def writing(app: Afresh, worker: int, **options: Any) -> AsyncIterator[Settler]:
    """A settler that writes."""
    settler = Settler(app, worker, **options)
    loop = asyncio.create_task(settler.run())
    try:
        yield settler
        await asyncio.wait_for(settler.drained(), 20)
    finally:
        loop.cancel()
        await asyncio.wait({loop})


FAILURE_FIELDS = (
    "exception_type", "message", "traceback", "failure_type", "confidence", "evidence", "remediation", "fingerprint",
)  # fmt: skip
"""What a settlement says of its failure, apart from the run that it ended."""


def settlement(
    job_id: int, row: dict[str, Any] | None = None, result: bytes | None = None, note: str | None = None
) -> Settlement:
    """The settlement of a job's first run."""
    attempt = Attempt("t", 1, job_id=job_id, queue="q")
    of = jobs.Job(id=job_id, queue="q", lock=None, queueing_lock=None, task_name="t", attempts=0)
    if row is not None:
        told = {name: row[name] for name in FAILURE_FIELDS if name in row}
        row = {name: each for name, each in row.items() if name not in told} | {"failure": told}
    return Settlement(of, job_id, 1, attempt, (AttemptSucceeded(attempt, 0.1),), row, result, note)


async def claimed(conn: Connection, count: int = 1, **columns: Any) -> tuple[list[int], int]:
    """Jobs that run, and their worker."""
    ids = await add(conn, count, **columns)
    worker = await register(conn)
    await claim(conn, count, worker=worker)
    return ids, worker


async def test_everything_added_is_written_and_told(queue_app: Afresh, conn: Connection, events: list[Event]):
    """Each settlement lands, more than one group of them too, and is announced once."""
    ids, worker = await claimed(conn, 1200)
    async with writing(queue_app, worker) as settler:
        for job_id in ids:
            settler.add(settlement(job_id))
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'") == 1200
    assert len(events) == settler.landed == 1200


async def test_groups_are_told_by_their_size(queue_app: Afresh, conn: Connection, announced: list[Event]):
    """Each group is told once, with how many ends it held."""
    ids, worker = await claimed(conn, 1200)
    async with writing(queue_app, worker) as settler:
        for job_id in ids:
            settler.add(settlement(job_id))
    sizes = [event.count for event in announced if isinstance(event, JobsSettled)]
    assert sizes == [500, 500, 200]


async def test_one_refused_row_does_not_fail_its_neighbours(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A row that the database refuses is told, and written differently; those beside it land as they are."""
    ids, worker = await claimed(conn, 3)
    poisoned = buried(ids[1]) | {"message": "a\0b", "explanation": ["a\0b"]}
    async with writing(queue_app, worker) as settler:
        for row in (buried(ids[0]), poisoned, buried(ids[2])):
            settler.add(settlement(row["job_id"], row))
    assert [(await attempts(conn, each))[0]["message"] for each in ids] == ["no", r"a\x00b", "no"]
    assert all([await dead_letters(conn, each) for each in ids])
    (refused,) = [event for event in events if isinstance(event, EndRefused)]
    assert refused.attempt.job_id == ids[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "\ud800 alone"},
        {"explanation": ["\ud800 alone"]},
        {"message": "x" * 1_000_000, "traceback": "\0"},
        {"queue_name": "q" * 200},
        {"lock": "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(20_000))},
        {"priority": 2**80},
        {"lock": "\ud800"},
    ],
    ids=["surrogate", "surrogate inside", "a million", "queue too long", "lock too long", "priority too large", "lock"],
)
async def test_nothing_that_a_task_or_strategy_says_stops_the_writer(
    queue_app: Afresh, conn: Connection, changes: dict[str, Any]
):
    """Whatever cannot be stored is stored differently or dropped; the job's end lands, and so do those beside it."""
    ids, worker = await claimed(conn, 2)
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(ids[0], ending(ids[0], **changes)))
        settler.add(settlement(ids[1], ending(ids[1])))
    assert [await status(conn, each) for each in ids] == ["todo", "todo"]
    assert [len(await attempts(conn, each)) for each in ids] == [1, 1]


@pytest.mark.parametrize("changes", [{"priority": 10**12}, {"queue_name": "q" * 300}])
async def test_impossible_changes_do_not_cost_the_texts(queue_app: Afresh, conn: Connection, changes: dict[str, Any]):
    """When a strategy wants the impossible, that is dropped; what is told about the failure stays word for word."""
    (job_id,), worker = await claimed(conn)
    said: dict[str, Any] = {"message": "it's \N{SNOWMAN}", "traceback": "a\nb", "explanation": [{"name": "x"}]}
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, ending(job_id, **said, **changes)))
    (attempt,) = await attempts(conn, job_id)
    assert {name: attempt[name] for name in said} == said


async def test_texts_are_replaced_once_and_only_where_needed(queue_app: Afresh, conn: Connection):
    """Where changes and a text cannot be stored, that text is replaced once, and one that can be stored is kept."""
    (job_id,), worker = await claimed(conn)
    said: dict[str, Any] = {"message": "it's\na\0b", "traceback": "it's\nhere", "priority": 10**12}
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, ending(job_id, **said)))
    (attempt,) = await attempts(conn, job_id)
    assert (attempt["message"], attempt["traceback"]) == ("it's\na\\x00b", "it's\nhere")


async def test_a_megabyte_of_text_is_kept(queue_app: Afresh, conn: Connection):
    """A long message is stored as it is."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, ending(job_id, message="ä" * 1_000_000)))
    assert len((await attempts(conn, job_id))[0]["message"]) == 1_000_000


@pytest.mark.parametrize(
    ("returned", "stored"),
    [
        ({"a\0": ["b\0", 1]}, {"a�": ["b�", 1]}),
        ("�", "�"),
        (r"\u0000", r"\u0000"),
        ("ä\n'\"", "ä\n'\""),
    ],
    ids=["NUL", "replacement", "spelled out", "quotes"],
)
async def test_results_survive_storing(queue_app: Afresh, conn: Connection, returned: Any, stored: Any):
    """A result comes back as it was, apart from NUL, which Postgres cannot hold and which is replaced."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, result=encoded(returned)[0]))
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == stored


async def test_a_result_that_is_no_json_is_no_failure(queue_app: Afresh, conn: Connection):
    """A task may return what no JSON can hold; its job has succeeded without a result."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        result, note = encoded(object())
        assert result is encoded(b"raw")[0] is encoded("\ud800")[0] is None
        settler.add(settlement(job_id, result=result, note=note))
    assert await status(conn, job_id) == "succeeded"
    stored = await rows(conn, "SELECT result, note FROM afresh.result WHERE job_id = %s", job_id)
    assert stored == [{"result": None, "note": "the result is not JSON: Type is not JSON serializable: object"}]


async def test_a_result_beyond_the_limit_is_no_failure(queue_app: Afresh, conn: Connection):
    """What is too large is not stored, and a note says so; the job has succeeded."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        result, note = encoded("x" * LARGEST_RESULT)
        settler.add(settlement(job_id, result=result, note=note))
    assert await status(conn, job_id) == "succeeded"
    stored = await value(conn, "SELECT note FROM afresh.result WHERE job_id = %s", job_id)
    assert stored == "the result has 1,000,002 bytes of JSON; at most 1,000,000 are stored"


async def test_a_refused_result_does_not_cost_the_success(queue_app: Afresh, conn: Connection):
    """A result that the database refuses is dropped; the job has succeeded all the same."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, result=b'"\\u0000"'))
    assert await status(conn, job_id) == "succeeded"


async def test_a_success_whose_answer_was_lost_counts_once(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A settlement cut off after its commit is found applied when it is tried again, and told as the success it is."""
    (job_id,), worker = await claimed(conn)
    await settle_successes(conn, worker, {job_id: 0})
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id))
    assert [type(event) for event in events] == [AttemptSucceeded]
    assert (await job(conn, job_id))["attempts"] == 1


async def test_a_backend_killed_in_between_costs_nothing(queue_app: Afresh, conn: Connection, events: list[Event]):
    """When every connection is killed again and again while runs are settled, each lands exactly once."""
    ids, worker = await claimed(conn, 200)
    async with writing(queue_app, worker) as settler:
        for number, job_id in enumerate(ids):
            settler.add(settlement(job_id, ending(job_id) if number % 2 else None))
            if number % 40 == 0:
                await rows(
                    conn,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND datname = current_database() AND application_name = 'afresh'",
                )
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE attempts = 1") == 200
    assert await value(conn, "SELECT count(*) FROM afresh.attempt") == 100
    assert sum(isinstance(event, AttemptSucceeded) for event in events) == 200


async def test_a_function_that_is_missing_for_a_while_costs_no_result(queue_app: Afresh, conn: Connection):
    """What a task returned is not given up where no settlement at all can be written, as by a missing right."""
    (job_id,), worker = await claimed(conn)
    await conn.execute("ALTER FUNCTION afresh.settle_successes RENAME TO away")
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, result=b"7"))
        await eventually(lambda: settler._put_off)
        await conn.execute("ALTER FUNCTION afresh.away RENAME TO settle_successes")
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == 7


async def test_an_end_that_is_refused_for_days_stops_nobody(queue_app: Afresh, conn: Connection):
    """However often the database refused how a run ended, that is kept to be tried again, and others are written."""
    (job_id, other), worker = await claimed(conn, 2)
    await conn.execute("ALTER FUNCTION afresh.settle_successes RENAME TO away")
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id)._replace(tries=5_000))
        await eventually(lambda: settler._put_off)
        await conn.execute("ALTER FUNCTION afresh.away RENAME TO settle_successes")
        settler.add(settlement(other))
        await eventually(lambda: list(settler.unconfirmed) == [job_id])
        settler.forget([job_id])
    assert await status(conn, other) == "succeeded"


async def test_the_end_of_an_earlier_run_does_not_take_the_place_of_a_later_one(
    queue_app: Afresh, conn: Connection, database_url: str
):
    """While the end of a run is on its way the end of the run before may arrive, if its answer was lost; when the way
    is cut off, the later run's is what is written.
    """  # noqa: D205 - one sentence
    (job_id,), worker = await claimed(conn)
    async with (
        writing(queue_app, worker) as settler,
        # Within one transaction the sessions look as they did at the first look.
        await psycopg.AsyncConnection.connect(database_url) as other,
        other.transaction(),
    ):
        await other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [job_id])
        settler.add(settlement(job_id))
        (waiting,) = await eventually(lambda: rows(conn, WAITING))
        settler.add(settlement(job_id, ending(job_id))._replace(claim=0))
        await conn.execute("SELECT pg_terminate_backend(%s)", [waiting["pid"]])
        await eventually(lambda: rows(conn, f"{WAITING} AND pid <> %s", waiting["pid"]))  # It is on its way again.
    assert await status(conn, job_id) == "succeeded"


async def test_a_deadlock_is_no_outage(queue_app: Afresh, conn: Connection, server: Server, events: list[Event]):
    """A settlement that met somebody head on is written again at once; nobody is told that the database is lost."""
    ids, worker = await claimed(conn, 2)
    # Who may set how long it waits before it looks for a deadlock: the settlement looks first, and is the one to end.
    patient = await psycopg.AsyncConnection.connect(server.filler(conn.info.dbname))
    async with patient as other, writing(queue_app, worker) as settler:
        await other.execute("SET deadlock_timeout = '5s'")
        await other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [ids[1]])
        for job_id in ids:
            settler.add(settlement(job_id, ending(job_id)))
        await eventually(lambda: _someone_waits(conn))
        await other.execute("UPDATE procrastinate_jobs SET priority = 7 WHERE id = %s", [ids[0]])
        await other.commit()
    assert [await status(conn, each) for each in ids] == ["todo", "todo"]
    assert [type(each) for each in events] == [AttemptSucceeded] * 2


async def test_a_lost_job_is_told_as_lost(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A result of a run that is no longer this worker's is discarded, and counted."""
    (job_id,), worker = await claimed(conn)
    await conn.execute("UPDATE procrastinate_jobs SET worker_id = NULL")
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id))
    assert [type(event) for event in events] == [OwnershipLost]
    assert await status(conn, job_id) == "doing"


async def test_a_coalesced_job_is_told_as_coalesced(queue_app: Afresh, conn: Connection, events: list[Event]):
    """What the database made of a settlement is what is told."""
    (job_id,), worker = await claimed(conn, queueing_lock="same")
    await add(conn, queueing_lock="same")
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, ending(job_id)))
    assert [type(event) for event in events] == [JobCoalesced]


async def test_a_retry_that_became_an_abort_is_told_as_one(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A job that was asked to abort while its retry was on the way is told as aborted."""
    (job_id,), worker = await claimed(conn)
    await conn.execute("SELECT procrastinate_cancel_job_v1(%s, true, false)", (job_id,))
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id, ending(job_id)))
    assert [type(event) for event in events] == [AttemptAborted]


async def test_a_twin_that_comes_in_that_instant_wins(queue_app: Afresh, conn: Connection, database_url: str):
    """A retry that loses its queueing lock to a job inserted at the same moment ends as coalesced, not stuck."""
    (job_id,), worker = await claimed(conn, queueing_lock="same")
    async with (
        writing(queue_app, worker) as settler,
        await psycopg.AsyncConnection.connect(database_url) as other,
        other.transaction(),
    ):
        await add(other, queueing_lock="same")
        settler.add(settlement(job_id, ending(job_id)))
        await eventually(lambda: _someone_waits(conn))
    assert await status(conn, job_id) == "cancelled"


async def _someone_waits(conn: Connection) -> bool:
    return bool(await rows(conn, WAITING))


@pytest.mark.parametrize(
    ("mode", "left"),
    [("never", ["succeeded", "failed", "todo"]), ("successful", ["failed", "todo"]), ("always", ["todo"])],
)
async def test_delete_modes(queue_app: Afresh, conn: Connection, mode: str, left: list[str]):
    """Finished jobs are deleted never, when they succeeded, or always; those that go on never."""
    ids, worker = await claimed(conn, 3)
    async with writing(queue_app, worker, delete=jobs.DeleteJobCondition(mode)) as settler:
        settler.add(settlement(ids[0]))
        settler.add(settlement(ids[1], buried(ids[1])))
        settler.add(settlement(ids[2], ending(ids[2])))
    found = await rows(conn, "SELECT status::text FROM procrastinate_jobs ORDER BY id")
    assert [row["status"] for row in found] == left


async def test_what_was_claimed_again_is_forgotten(queue_app: Afresh, conn: Connection, events: list[Event]):
    """A worker that claims a job again drops what it had not confirmed about it: the claim proves that it landed."""
    (job_id,), worker = await claimed(conn)
    settler = Settler(queue_app, worker)
    settler.add(settlement(job_id))
    settler.forget([job_id])
    settler.add(settlement(job_id, ending(job_id)))
    loop = asyncio.create_task(settler.run())
    await asyncio.wait_for(settler.drained(), 10)
    loop.cancel()
    await asyncio.wait({loop})
    assert await status(conn, job_id) == "todo"
    assert len(events) == 1


async def test_a_settler_that_forgot_everything_is_drained(queue_app: Afresh, conn: Connection):
    """Nothing waits for a settlement that was dropped."""
    (job_id,), worker = await claimed(conn)
    async with writing(queue_app, worker) as settler:
        settler.add(settlement(job_id))
        settler.forget([job_id])
