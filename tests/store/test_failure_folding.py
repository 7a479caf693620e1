"""Folding moves failures from where they were recorded to where they are counted: each of them once, whatever comes."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from app.postgres.connect import Database
from app.store.failures import count_types, first_hour, fold_failures, forget_hours
from app.store.groups import GroupFilter, find_group, list_groups
from app.store.trends import Tally, find_trends

from .history import fail, recover

pytestmark = pytest.mark.anyio

DAYS = 24 * 3


@pytest.fixture
async def others(anyio_backend: str, db: Database) -> AsyncIterator[list[AsyncConnection]]:  # noqa: ARG001 - it makes the fixture async
    """Three more connections."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await db.connect_async(application_name="other")) for _ in range(3)]


async def everything(conn: AsyncConnection) -> dict[str, Any]:
    """All that can be read of the failures."""
    since = first_hour(datetime.now(UTC), DAYS)
    page = await list_groups(conn, GroupFilter(), order="count", limit=100)
    return {
        "types": await count_types(conn, since),
        "trends": await find_trends(conn, since),
        "groups": page.items,
        "total": page.total,
        "one": await find_group(conn, "f"),
    }


async def folded_through(conn: AsyncConnection) -> int:
    """The id up to which attempts are folded."""
    ((folded,),) = await (await conn.execute("SELECT folded_id FROM afresh.failure_fold")).fetchall()
    return int(folded)


async def counted(conn: AsyncConnection) -> dict[str, int]:
    """The failures of each group, as they are read."""
    page = await list_groups(conn, GroupFilter(), order="last_seen", limit=100)
    return {group["fingerprint"]: group["failures"] for group in page.items}


async def some_history(conn: AsyncConnection) -> None:
    """Failures of three groups and types, over two days; jobs that died of them, and jobs that recovered."""
    for job_id in range(101, 107):
        await fail(conn, job_id=job_id, hours_ago=130 - job_id, fingerprint="f" if job_id % 2 else "g")
        await fail(conn, job_id=job_id, attempt=2, hours_ago=5, failure_type="TRANSIENT_TIMEOUT", fingerprint="h")
    await fail(conn, job_id=101, attempt=3, decision="dead_letter", task="other")
    await recover(conn)
    await recover(conn, failures=3, fingerprint="g", hours_ago=1)


async def test_reading_is_exact_however_much_is_folded(conn: AsyncConnection):
    """What is read is the same before, between and after the steps of folding."""
    await some_history(conn)
    before = await everything(conn)
    assert before["trends"].whole == Tally(
        failures=17, jobs=14, retries=16, retries_failed=9, retries_succeeded=2, retries_before_success=4, deaths=1,
        calls_of_dead=3, spent_seconds=34.0,
    )  # fmt: skip
    await conn.execute("SELECT afresh.note_failures()")
    steps = 0
    while await (await conn.execute("SELECT 1 WHERE afresh.fold_failures(2) > 0")).fetchone():
        steps += 1
        assert await everything(conn) == before
    assert steps >= 8
    assert await folded_through(conn) == 17


async def test_what_comes_after_folding(conn: AsyncConnection):
    """Failures of a group that is folded already are added to it."""
    await some_history(conn)
    await fold_failures(conn)
    await fail(conn, job_id=99, task="new", message="newest")
    group = await find_group(conn, "f")
    assert group is not None
    assert (group["failures"], group["tasks"], group["message"]) == (6, ["new", "other", "t"], "newest")
    before = await everything(conn)
    assert await fold_failures(conn) == 1
    assert await everything(conn) == before


async def test_counts_outlive_the_attempts(conn: AsyncConnection):
    """Groups with their sample, and trends, are still known when the attempts are purged."""
    await some_history(conn)
    await fold_failures(conn)
    before = await everything(conn)
    await conn.execute("DELETE FROM afresh.attempt")
    after = await everything(conn)
    assert after["one"].pop("recent") == []
    assert before["one"].pop("recent")
    assert after == before
    assert after["one"]["traceback"] == "Traceback of refused"


async def test_an_open_transaction_with_a_lower_id(conn: AsyncConnection, others: list[AsyncConnection]):
    """A failure that is committed late is counted, though later ones were folded in its place meanwhile: they wait."""
    first, last, _ = others
    async with last.transaction():
        await last.execute("SELECT pg_current_xact_id()")
        async with first.transaction():
            await fail(first, fingerprint="late")
            await fail(last, fingerprint="early")
            await fail(conn, fingerprint="early")
            assert await fold_failures(conn) == 0
            assert await counted(conn) == {"early": 1}
    assert await counted(conn) == {"early": 2, "late": 1}
    assert await fold_failures(conn) == 3
    assert await counted(conn) == {"early": 2, "late": 1}


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_of_commits(conn: AsyncConnection, others: list[AsyncConnection], seed: int):
    """Whatever is recorded, committed, rolled back and folded in whichever order, what is read is what is there."""
    draw = random.Random(seed)
    for number in range(80):
        other = draw.choice(others)
        idle = other.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        act = draw.choice(["record", "record", "fold"] if idle else ["record", "record", "end", "fold"])
        if act == "record":
            if idle and draw.random() < 0.7:
                await other.execute("BEGIN")
            # As settling does, which locks the job first.
            await other.execute("SELECT pg_current_xact_id()")
            await fail(other, job_id=number, fingerprint=draw.choice("fgh"))
        elif act == "end":
            await other.execute(draw.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
        else:
            await fold_failures(conn, at_once=draw.randint(1, 4))
        cursor = await conn.execute("SELECT fingerprint, count(*) FROM afresh.attempt GROUP BY 1")
        assert await counted(conn) == dict(await cursor.fetchall())
    for other in others:
        await other.execute("ROLLBACK")
    await fold_failures(conn)
    cursor = await conn.execute("SELECT count(*) FROM afresh.attempt WHERE id > %s", [await folded_through(conn)])
    assert await cursor.fetchall() == [(0,)]


async def test_two_at_once(conn: AsyncConnection, others: list[AsyncConnection]):
    """Processes that fold at the same time count nothing twice."""
    for job_id in range(60):
        await fail(conn, job_id=job_id)
        await recover(conn, fingerprint="r")
    before = await everything(conn)
    folded = await asyncio.gather(*(fold_failures(each, at_once=1) for each in others))
    assert sum(folded) + await fold_failures(conn) == 180
    assert await everything(conn) == before


async def test_a_folding_that_is_cut_off(conn: AsyncConnection):
    """A step that does not commit has folded nothing, and is done again."""
    await some_history(conn)
    before = await everything(conn)
    await conn.execute("SELECT afresh.note_failures()")
    async with conn.transaction(force_rollback=True):
        await conn.execute("SELECT afresh.fold_failures(5)")
    assert await everything(conn) == before
    await fold_failures(conn)
    assert await everything(conn) == before


async def test_a_note_from_another_server(conn: AsyncConnection):
    """A database that was restored where transaction ids are lower folds all the same."""
    await some_history(conn)
    await conn.execute("UPDATE afresh.failure_fold SET noted_id = 3, noted_by = '4000000000'")
    await fold_failures(conn)
    assert await folded_through(conn) == 17


async def test_a_note_comes_first(conn: AsyncConnection):
    """A note in a transaction that has written already would be no proof, and is refused."""
    async with conn.transaction(force_rollback=True):
        await fail(conn)
        with pytest.raises(psycopg.errors.RaiseException, match="come before"):
            await conn.execute("SELECT afresh.note_failures()")


async def test_hours_are_forgotten(conn: AsyncConnection):
    """What is known by the hour goes after its time; groups stay."""
    await some_history(conn)
    await fold_failures(conn)
    await conn.execute(
        "UPDATE afresh.failure_hour SET hour = hour - interval '90 days' WHERE hour < now() - interval '1 d'"
    )
    assert await forget_hours(conn) > 0
    assert (await find_trends(conn, first_hour(datetime.now(UTC), 24 * 365))).whole.failures == 17 - 6
    group = await find_group(conn, "f")
    assert group is not None
    assert group["failures"] == 5


async def test_only_recoveries_pay(conn: AsyncConnection):
    """A job that succeeds at once leaves nothing to fold."""
    await recover(conn, failures=0)
    await recover(conn, failures=1)
    cursor = await conn.execute("SELECT retries FROM afresh.recovery")
    assert await cursor.fetchall() == [(1,)]
