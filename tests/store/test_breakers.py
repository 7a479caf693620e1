"""Breakers as rows: nothing of them is lost, and their changes are atomic."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import psycopg
import pytest

from app.retry.breaker import ramp
from app.retry.breaker.counting import Counted, Report
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.row import COLUMNS
from app.store import breakers

from ..queue.dependencies import NAME, REFUSED, RULES, open_breaker, open_to_probes, state, transitions
from ..queue.jobs import add, rows, value

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def isolate(conn: Connection) -> None:
    """Stop calling it, as an operator does."""
    await breakers.isolate(conn, NAME, actor="me", reason="maintenance")


async def test_every_field_has_its_column(conn: Connection):
    """The table's columns are the fields of a breaker, and each of them is stored."""
    found = await rows(
        conn,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'afresh' AND table_name = 'breaker'",
    )
    assert {each["column_name"] for each in found} == set(COLUMNS)
    assert {name for name in COLUMNS if f"{name} = %({name})s" in breakers.SQL["store_breaker"]} == set(COLUMNS)


@pytest.mark.parametrize("sick", [0, 1, 3])
async def test_the_healthy_cost_a_snapshot_little(conn: Connection, sick: int):
    """However many breakers have a past, a look has a row for each that is sick, and their generations in the first."""
    await conn.execute(
        "INSERT INTO afresh.breaker (name, generation) SELECT 'host-' || n, n FROM generate_series(1, 2000) n"
    )
    for number in range(sick):
        await open_breaker(conn, f"sick-{number}")
    found = await rows(conn, breakers.SQL["list_sick"])
    assert len(found) == max(sick, 1)
    assert [bool(each["past_names"]) for each in found] == [True] + [False] * (sick - 1)
    snapshot, _ = await breakers.read_snapshot(conn)
    assert sorted(snapshot.gated()) == [f"sick-{number}" for number in range(sick)]
    known = [snapshot.of(name) for name in ("host-7", "host-2000", "nobody")]
    assert [each and each.generation for each in known] == [7, 2000, None]


async def test_one_permit_under_many_askers(conn: Connection, database_url: str):
    """However many ask at the same moment, a break that ends hands out one permit."""
    await open_to_probes(conn)

    async def ask() -> int:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as own:
            admission = await breakers.admitted(
                own, NAME, 10, rules=RULES, job_timeout=timedelta(minutes=1), rng=Random(1)
            )
            return admission.jobs

    assert sorted(await asyncio.gather(*(ask() for _ in range(24)))) == [0] * 23 + [1]


async def test_many_reporters_open_it_once(conn: Connection, database_url: str):
    """Processes that report at the same moment add up, and whoever crosses the threshold opens it, once."""
    now = await value(conn, "SELECT clock_timestamp()")
    second = int(now.timestamp()) - 5

    async def tell(job_id: int) -> bool:
        failure = Counted(second + job_id % 5, job_id, REFUSED)
        said = Report(generation=0, at=now, failures=(failure,), last_failure_at=now)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as own:
            return await breakers.report(own, NAME, said, RULES, Random(1)) is not None

    assert sum(await asyncio.gather(*(tell(job_id) for job_id in range(24)))) == 1
    assert await transitions(conn) == ["open"]
    assert await value(conn, "SELECT generation FROM afresh.breaker") == 1


async def test_a_hold_stands_and_falls_with_the_breaker(conn: Connection):
    """A breaker that lets nobody in has its hold for the claims, and a closed one has none."""
    await open_breaker(conn)
    (found,) = await rows(conn, "SELECT name, held_by, generation FROM afresh.hold")
    assert found == {"name": NAME, "held_by": "breaker", "generation": 1}
    await breakers.reset(conn, NAME, actor="me", reason="up")
    await conn.execute(
        "UPDATE afresh.breaker"
        " SET limited_at = now() - interval '2 minutes', tokens_at = now() - interval '2 minutes', step_at = now()"
    )
    await breakers.admitted(conn, NAME, 1, rules=RULES, job_timeout=timedelta(minutes=1), rng=Random(1))
    assert await state(conn) == "closed"
    assert await rows(conn, "SELECT FROM afresh.hold") == []
    assert await transitions(conn) == ["open", "ramping", "closed"]


async def test_a_persons_hold_outlives_the_breaker(conn: Connection):
    """What somebody holds back by hand stays held when the breaker closes."""
    await conn.execute(
        "INSERT INTO afresh.hold (kind, name, reason, held_by) VALUES ('dependency', %s, 'r', 'me')", (NAME,)
    )
    await breakers.isolate(conn, NAME, actor="me", reason="why")
    await breakers.reset(conn, NAME, actor="me", reason="why")
    (found,) = await rows(conn, "SELECT held_by, generation FROM afresh.hold")
    assert found == {"held_by": "me", "generation": None}


@pytest.mark.parametrize("stop", [open_breaker, isolate])
async def test_a_stop_counts_what_was_usual(conn: Connection, stop: Callable[[Connection], Awaitable[None]]):
    """When calls stop, the throughput before is counted: jobs that relied on it and succeeded in the minute before."""
    await conn.execute(
        "INSERT INTO procrastinate_jobs (task_name, queue_name, status, afresh_dependency)"
        " SELECT 't', 'q', 'succeeded', CASE WHEN n <= 120 THEN %s END FROM generate_series(1, 200) n",
        (NAME,),
    )
    await conn.execute(
        "INSERT INTO procrastinate_events (job_id, type, at)"
        " SELECT id, 'succeeded', now() - interval '30 seconds' FROM procrastinate_jobs"
    )
    await stop(conn)
    baseline = await value(conn, "SELECT baseline FROM afresh.breaker")
    assert 120 / 60 <= baseline <= 120 / 20


async def test_a_probe_gives_its_permit_back_once(conn: Connection):
    """A permit that is not out any more says nothing, and changes nothing."""
    await open_to_probes(conn)
    given = await breakers.admitted(conn, NAME, 1, rules=RULES, job_timeout=timedelta(minutes=1), rng=Random(1))
    (permit,) = given.permits
    for _ in range(3):
        await breakers.probed(conn, NAME, permit, Relevance.WORKED, rules=RULES, rng=Random(1))
    assert await value(conn, "SELECT probe_successes FROM afresh.breaker") == 1


async def test_tokens_of_many_askers_are_the_ramps(conn: Connection, database_url: str):
    """Askers at the same moment share the bucket: together they get what it holds."""
    await open_breaker(conn)
    await breakers.reset(conn, NAME, actor="me", reason="up")
    await conn.execute("UPDATE afresh.breaker SET rate = 200, tokens_at = now() - interval '1 second'")

    async def ask() -> int:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as own:
            given = await breakers.admitted(own, NAME, 4, rules=RULES, job_timeout=timedelta(1), rng=Random(1))
            return given.jobs

    began = await value(conn, "SELECT clock_timestamp()")
    together = sum(await asyncio.gather(*(ask() for _ in range(10))))
    seconds = (await value(conn, "SELECT clock_timestamp()") - began).total_seconds()
    depth = 200 * ramp.DEPTH_SECONDS
    assert depth <= together <= depth + 200 * seconds + 1


async def test_an_open_breaker_that_nobody_calls_is_let_go(conn: Connection):
    """An hour after its break a breaker without a probe goes by way of the ramp; its dead letters are not replayed."""
    await open_breaker(conn)
    await breakers.tell_dependencies(conn, (["t"], [NAME]), ["t"])
    await age(conn, minutes=59)
    assert await breakers.let_idle_go(conn, own=([], [])) == []
    await age(conn, minutes=2)
    (moved,) = await breakers.let_idle_go(conn, own=([], []))
    assert (moved.after, moved.cause) == ("ramping", "not called for 1 h")
    assert await transitions(conn) == ["open", "ramping"]
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs") == 0


@pytest.mark.parametrize("of", ["its own", "its task"])
async def test_one_that_jobs_wait_for_is_kept(conn: Connection, of: str):
    """However long nobody probes: workers that were stopped for a weekend find the breaker as it was."""
    await open_breaker(conn)
    await add(conn, dependency=NAME if of == "its own" else None)
    await age(conn, minutes=600)
    own = (["t"], [NAME]) if of == "its task" else ([], [])
    assert await breakers.let_idle_go(conn, own=own) == []
    assert await state(conn) == "open"


async def test_what_an_operator_said_is_kept(conn: Connection):
    """Isolation has no end of its own, called or not."""
    await isolate(conn)
    await age(conn, minutes=600)
    assert await breakers.let_idle_go(conn, own=([], [])) == []
    assert await state(conn) == "isolated"


async def test_one_that_failed_once_is_forgotten(conn: Connection):
    """A host that failed once, an hour ago, is suspect no more, and leaves no row."""
    now = await value(conn, "SELECT clock_timestamp()")
    failure = Counted(int(now.timestamp()), 1, REFUSED)
    said = Report(generation=0, at=now, failures=(failure,), last_failure_at=now)
    await breakers.report(conn, NAME, said, RULES, Random(1))
    await breakers.let_idle_go(conn, own=([], []))
    assert (await breakers.read_snapshot(conn))[0].suspects == {NAME}
    an_hour_ago = int(now.timestamp()) - 3601
    await conn.execute("UPDATE afresh.breaker SET slots = jsonb_set(slots, '{0,0}', %s::text::jsonb)", (an_hour_ago,))
    await breakers.let_idle_go(conn, own=([], []))
    assert await value(conn, "SELECT count(*) FROM afresh.breaker") == 0


async def test_a_history_keeps_its_breaker(conn: Connection):
    """A breaker that is closed again is kept for as long as its history: its generation goes on."""
    await open_breaker(conn)
    await conn.execute("UPDATE afresh.breaker SET state = 'closed', changed_at = now() - interval '2 hours'")
    await breakers.let_idle_go(conn, own=([], []))
    assert await value(conn, "SELECT generation FROM afresh.breaker") == 1
    await conn.execute("DELETE FROM afresh.breaker_event")
    await breakers.let_idle_go(conn, own=([], []))
    assert await value(conn, "SELECT count(*) FROM afresh.breaker") == 0


async def age(conn: Connection, *, minutes: int) -> None:
    """Let the break have ended so long ago, or so much longer."""
    await conn.execute(
        "UPDATE afresh.breaker SET until = least(until, now()) - %(ago)s, probe_at = least(probe_at, now()) - %(ago)s, "
        "changed_at = changed_at - %(ago)s",
        {"ago": timedelta(minutes=minutes)},
    )
