"""What is forgotten, and what has to stay."""

from datetime import timedelta
from typing import Any, LiteralString

import pytest
from psycopg import AsyncConnection, sql

from app.store.failures import fold_failures
from app.store.retention import Terms, find_bounds, purge_slice

from .history import fail

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

TERMS = Terms()
LETTER = """
INSERT INTO afresh.dead_letter (
    job_id, status, cause, task_name, queue_name, priority, args, attempts, first_died_at, died_at, died_as,
    replayed_as, note, changed_at, bulk_id
)
VALUES (%(job_id)s, %(status)s, 'permanent', 't', 'q', 5, '{}', 1, now(), now(), %(job_id)s, %(replayed_as)s,
        'note', now() - make_interval(days => %(days)s), %(bulk_id)s)
RETURNING id
"""
BULK = """
INSERT INTO afresh.bulk (
    action, filter, token_hash, upper_id, previewed, expires_at, actor, reason, rate_per_second, stop_share, job_id,
    confirmed_at, outcome, ended_at
)
VALUES ('replay', '{"task_name": "t"}', sha256(%(job_id)s::text::bytea), 1, 1, now(), 'me', 'why', 1, 0.5, %(job_id)s,
        now() - interval '90 days', %(outcome)s::afresh.bulk_outcome,
        CASE WHEN %(outcome)s::text IS NOT NULL THEN now() - interval '89 days' END)
RETURNING id
"""

AUDIT: LiteralString = (
    "INSERT INTO afresh.audit (at, actor, action, target) VALUES (now() - %(ago)s, 'me', 'job.submit', '1')"
)
BREAKER_EVENT: LiteralString = """
INSERT INTO afresh.breaker_event (name, generation, before, after, at, cause)
VALUES ('d', 1, 'closed', 'open', now() - %(ago)s, 'why')
"""
BATCH: LiteralString = (
    "INSERT INTO afresh.batch (task_name, total, created_by, created_at) VALUES ('t', 1, 'me', now() - %(ago)s)"
)
PROBE: LiteralString = (
    "INSERT INTO afresh.breaker_probe (job_id, name, permit, since) VALUES (%(number)s, 'd', 1, now() - %(ago)s)"
)
GROUP: LiteralString = """
INSERT INTO afresh.failure_group (
    fingerprint, failures, deaths, first_seen, last_seen, last_attempt, failure_type, tasks, dependencies
)
VALUES (%(number)s::text, 1, 0, now() - %(ago)s, now() - %(ago)s, 1, 'UNKNOWN', ARRAY['t'], ARRAY[''])
"""


async def value(conn: AsyncConnection, query: Any, *given: object) -> Any:
    """The one value of the one row."""
    row = await (await conn.execute(query, given)).fetchone()
    assert row is not None
    return row[0]


async def job(conn: AsyncConnection, status: str = "succeeded", *, days: float = 100, letter: int | None = None) -> int:
    """A job that came to this status so many days ago, with its events, result and options."""
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    job_id = await value(
        conn,
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts, afresh_letter) "
        "VALUES ('q', 't', %s, 1, %s) RETURNING id",
        status,
        letter,
    )
    await conn.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
    kinds = (
        ["deferred"] + (["started"] if status != "todo" else []) + ([status] if status not in {"todo", "doing"} else [])
    )
    await conn.execute(
        "INSERT INTO procrastinate_events (job_id, type, at) SELECT %s, type::procrastinate_job_event_type, now() - %s "
        "FROM unnest(%s::text[]) AS type",
        [job_id, timedelta(days=days), kinds],
    )
    await conn.execute("INSERT INTO afresh.job_option (job_id, max_retries) VALUES (%s, 3)", [job_id])
    await conn.execute("INSERT INTO afresh.result (job_id, result) VALUES (%s, '1')", [job_id])
    await conn.execute("INSERT INTO afresh.rescue (job_id, rescues, rescued_at) VALUES (%s, 1, now())", [job_id])
    return int(job_id)


async def letter_of(conn: AsyncConnection, job_id: int, status: str = "pending", **given: Any) -> int:
    """A dead letter that came to this status so many days ago."""
    replayed_as = job_id if status in {"retrying", "resolved"} else None
    both = {"job_id": job_id, "status": status, "days": 0, "replayed_as": replayed_as, "bulk_id": None} | given
    ((letter,),) = await (await conn.execute(LETTER, both)).fetchall()
    return int(letter)


async def purge(conn: AsyncConnection, kind: str, terms: Terms = TERMS, *, most: int = 100) -> int:
    """Remove what there is of a kind; how many rows."""
    bounds, after, removed = await find_bounds(conn, terms), 0, 0
    while True:
        done = await purge_slice(conn, kind, terms, after=after, most=most, bounds=bounds)
        removed += done.removed
        if done.last is None or done.looked < most:
            return removed
        after = done.last


async def kept(conn: AsyncConnection) -> list[int]:
    """The jobs that are left."""
    return [row[0] for row in await (await conn.execute("SELECT id FROM procrastinate_jobs ORDER BY id")).fetchall()]


async def rows_of(conn: AsyncConnection, job_id: int) -> list[str]:
    """The tables that still have something of a job."""
    tables = ("procrastinate_events", "afresh.job_option", "afresh.result", "afresh.rescue")
    count = sql.SQL("SELECT count(*) FROM {} WHERE job_id = %s")
    named = {each: sql.Identifier(*each.split(".")) for each in tables}
    counted = {each: await value(conn, count.format(name), job_id) for each, name in named.items()}
    return [each for each, count in counted.items() if count]


@pytest.mark.parametrize(
    ("status", "days", "goes"),
    [
        ("succeeded", 6.9, False),
        ("succeeded", 7.1, True),
        ("failed", 29.9, False),
        ("failed", 30.1, True),
        ("cancelled", 29.9, False),
        ("cancelled", 30.1, True),
        ("aborted", 30.1, True),
        ("todo", 1000, False),
        ("doing", 1000, False),
    ],
)
async def test_by_age(conn: AsyncConnection, status: str, days: float, goes: bool):  # noqa: FBT001 - a column of the table.
    """Jobs go by the age of their end: those that succeeded sooner than others, those that have not ended never."""
    old = await job(conn, status, days=days)
    await job(conn, "todo", days=0)  # Made lately: nothing behind it is looked at.
    assert await purge(conn, "jobs") == goes
    assert (old in await kept(conn)) is not goes
    assert bool(await rows_of(conn, old)) is not goes


async def test_by_number(conn: AsyncConnection):
    """Where a number is given, the newest stay, of each state by itself, however young the others are."""
    jobs = {
        status: [await job(conn, status, days=0) for _ in range(4)] for status in ("succeeded", "failed", "aborted")
    }
    await purge(conn, "jobs", Terms(most_succeeded=3, most_failed=1))
    assert await kept(conn) == [*jobs["succeeded"][1:], jobs["failed"][3], jobs["aborted"][3]]


async def test_the_end_counts(conn: AsyncConnection):
    """A job that was made long ago and has just ended is young."""
    made = await job(conn, days=100)
    await conn.execute("UPDATE procrastinate_events SET at = now() WHERE job_id = %s AND type = 'succeeded'", [made])
    assert await purge(conn, "jobs") == 0


async def test_without_events(conn: AsyncConnection):
    """A job of whose end nothing is known goes with those that were made after it."""
    await conn.execute("DELETE FROM procrastinate_events WHERE job_id = %s", [await job(conn)])
    later = [await job(conn), await job(conn, "todo", days=0)]
    assert await purge(conn, "jobs") == 2
    assert await kept(conn) == later[1:]


async def test_in_slices(conn: AsyncConnection):
    """What has to stay between what goes is looked at once, and nothing is left out."""
    jobs = [await job(conn, "succeeded" if number % 3 else "todo") for number in range(20)]
    assert await purge(conn, "jobs", most=4) == 13
    assert await kept(conn) == jobs[::3]


async def test_a_job_of_a_batch_that_goes_on(conn: AsyncConnection):
    """The jobs of a batch stay together until the last has ended; then they go, and the batch after them."""
    batch = await value(
        conn,
        "INSERT INTO afresh.batch (task_name, total, created_by, created_at) "
        "VALUES ('t', 3, 'me', now() - interval '1 year') RETURNING id",
    )
    jobs = [await job(conn), await job(conn), await job(conn, "todo")]
    await conn.execute("UPDATE afresh.job_option SET batch_id = %s WHERE job_id = ANY (%s)", [batch, jobs])
    assert (await purge(conn, "jobs"), await purge(conn, "batches")) == (0, 0)
    await conn.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", [jobs[2]])
    await conn.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
    assert (await purge(conn, "jobs"), await purge(conn, "batches")) == (3, 1)


async def test_jobs_of_a_bulk_action_that_runs(conn: AsyncConnection):
    """What a bulk action brought back stays while it runs, job and letter; after it, both go."""
    ((bulk,),) = await (await conn.execute(BULK, {"job_id": await job(conn, "doing"), "outcome": None})).fetchall()
    letter = await letter_of(conn, await job(conn, "failed"), "resolved", days=90, bulk_id=bulk)
    replay = await job(conn, letter=letter)
    await purge(conn, "jobs")
    assert replay in await kept(conn)
    assert (await purge(conn, "dead_letters"), await purge(conn, "bulk_actions")) == (0, 0)
    await conn.execute("UPDATE afresh.bulk SET outcome = 'done', ended_at = now() - interval '31 days'")
    assert (await purge(conn, "dead_letters"), await purge(conn, "bulk_actions")) == (1, 1)
    await purge(conn, "jobs")
    assert replay not in await kept(conn)


async def test_a_pending_letter_keeps_what_its_replay_needs(conn: AsyncConnection):
    """Its job goes; the letter stays however old, with the options that a replay copies. A settled one takes them."""
    died = await job(conn, "failed")
    letter = await letter_of(conn, died, days=1000)
    assert (await purge(conn, "dead_letters"), await purge(conn, "jobs")) == (0, 1)
    assert await rows_of(conn, died) == ["afresh.job_option"]
    await conn.execute("UPDATE afresh.dead_letter SET status = 'abandoned' WHERE id = %s", [letter])
    assert await purge(conn, "dead_letters") == 1
    assert await rows_of(conn, died) == []


@pytest.mark.parametrize("status", ["pending", "retrying", "resolved", "abandoned"])
@pytest.mark.parametrize("days", [29, 31])
async def test_letters(conn: AsyncConnection, status: str, days: int):
    """Letters go when they have been resolved or abandoned for long; those that wait for somebody never do."""
    await letter_of(conn, await job(conn, "failed"), status, days=days)
    assert await purge(conn, "dead_letters") == (days == 31 and status in {"resolved", "abandoned"})


async def test_whoever_deletes_a_job(conn: AsyncConnection):
    """What belongs to a job goes with its row, also if Procrastinate or a person deletes it."""
    gone, stays = await job(conn), await job(conn)
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [gone])
    assert await rows_of(conn, gone) == []
    assert len(await rows_of(conn, stays)) == 4


async def test_the_last_tick_of_a_task_that_is_not_periodic_any_more(conn: AsyncConnection):
    """Its row names its job for ever; the job goes all the same."""
    made = await job(conn)
    await conn.execute(
        "INSERT INTO procrastinate_periodic_defers (task_name, defer_timestamp, job_id) VALUES ('t', 1, %s)", [made]
    )
    assert await purge(conn, "jobs") == 1


async def test_attempts(conn: AsyncConnection):
    """Attempts go by their age once they are folded, those of a job that goes on excepted; jobs do not matter else."""
    alive = await job(conn, "todo", days=100)
    for job_id, days in ((alive, 31), (10_001, 31), (10_002, 29)):
        await fail(conn, job_id=job_id, hours_ago=24 * days)
    assert await purge(conn, "attempts") == 0
    await fold_failures(conn)
    assert await purge(conn, "attempts") == 1
    left = await (await conn.execute("SELECT job_id FROM afresh.attempt ORDER BY id")).fetchall()
    assert left == [(alive,), (10_002,)]


async def test_an_attempt_is_kept_for_a_recovery_that_is_not_folded(conn: AsyncConnection):
    """A job that succeeded after it had waited for long is still counted by what it had failed of."""
    await fail(conn, job_id=7, hours_ago=24 * 40)
    await fold_failures(conn)
    await conn.execute("INSERT INTO afresh.recovery (job_id, task_name, queue_name, retries) VALUES (7, 't', 'q', 1)")
    assert await purge(conn, "attempts") == 0


async def test_progress(conn: AsyncConnection):
    """Reports go by their age, those of a job that goes on excepted."""
    for job_id, days in ((await job(conn, "doing"), 31), (await job(conn), 31), (await job(conn), 29)):
        await conn.execute(
            "INSERT INTO afresh.progress (job_id, number, at, attempt, fraction, worker_id, report) "
            "VALUES (%s, 1, now() - %s, 1, 0.5, 1, 1)",
            [job_id, timedelta(days=days)],
        )
    assert await purge(conn, "progress") == 1


async def test_replies_of_mail_servers(conn: AsyncConnection):
    """Who got which mail goes by its age, but not while a job or a dead letter may need it."""
    for job_id, days in ((await job(conn, "doing"), 31), (await job(conn), 31), (await job(conn), 29)):
        await conn.execute(
            "INSERT INTO afresh.mail_recipient (job_id, address, code, message, said_to, said_at) "
            "VALUES (%(job)s, 'zoe@example.com', 250, 'taken', %(job)s, now() - %(age)s)",
            {"job": job_id, "age": timedelta(days=days)},
        )
    assert await purge(conn, "mail") == 1


@pytest.mark.parametrize(
    ("kind", "insert", "days"),
    [
        ("audit", AUDIT, 365),
        ("breaker_events", BREAKER_EVENT, 90),
        ("batches", BATCH, 7),
        ("probes", PROBE, 1),
        ("failure_groups", GROUP, 365),
    ],
)
async def test_other_tables(conn: AsyncConnection, kind: str, insert: LiteralString, days: int):
    """Each of the others has its time: a row is there on the last day, and gone after it."""
    for age in (days + 1, days + 2, days - 0.5):
        await conn.execute(insert, {"ago": timedelta(days=age), "number": int(age * 10)})
    assert await purge(conn, kind, most=1) == 2
    assert await purge(conn, kind) == 0


async def test_a_group_that_is_muted_stays(conn: AsyncConnection):
    """Somebody wants to hear nothing of it; forgotten, it would be new."""
    await fail(conn, hours_ago=24 * 400)
    await fold_failures(conn)
    await conn.execute(
        "INSERT INTO afresh.failure_mark (fingerprint, muted_until, muted_at, muted_by, muted_because) "
        "VALUES ('f', now() + interval '1 day', now(), 'me', 'why')"
    )
    assert await purge(conn, "failure_groups") == 0
    await conn.execute("UPDATE afresh.failure_mark SET muted_until = now() - interval '1 second'")
    assert await purge(conn, "failure_groups") == 1
    assert await value(conn, "SELECT count(*) FROM afresh.failure_mark") == 0


async def test_what_somebody_holds_is_left(conn: AsyncConnection, db: Any):
    """A purge waits for nobody: a job that an operator's transaction has locked goes the next time."""
    jobs = [await job(conn), await job(conn)]
    async with await db.connect_async() as other, other.transaction():
        await other.execute("SELECT FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [jobs[0]])
        assert await purge(conn, "jobs") == 1
    assert await kept(conn) == [jobs[0]]
