"""A dependency that is down is not called: breakers over real workers."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from app.config import BreakerSettings, RetrySettings
from app.queue import dependencies
from app.queue.app import Afresh
from app.queue.claim import Claims
from app.queue.submit import Submission, submit
from app.queue.task import ExponentialBackoff
from app.store import breakers
from app.telemetry import BreakerMoved, Event

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import (
    NAME,
    Service,
    calling,
    lease,
    let_probes_go,
    open_breaker,
    ramp,
    several,
    state,
    succeeded,
    transitions,
)
from .jobs import attempts, job, register, rows, value
from .workers import Gate, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def test_an_outage_ends_where_it_began(open_app: OpenApp, conn: Connection, events: list[Event]):
    """A dependency that fails is not called any more, is probed, and gets its jobs back; every job then succeeds."""
    service = Service(up=False)
    call = calling(service)
    first, second = await open_app(), await open_app()
    await call.batch_defer_async(*[{} for _ in range(40)])
    async with several(first, second, concurrency=2):
        await eventually(lambda: is_(conn, "open"))
        service.up = True
        await let_probes_go(conn)
        await eventually(lambda: is_(conn, "ramping"))
        assert await transitions(conn) == ["open", "half_open", "ramping"]
        await conn.execute("UPDATE afresh.breaker SET rate = 100")
        await eventually(lambda: all_succeed(conn, 40))
    told = [each.transition for each in events if isinstance(each, BreakerMoved)]
    assert [each.after for each in told] == await transitions(conn)  # Each once, over both workers.


async def all_succeed(conn: Connection, expected: int) -> bool:
    """Whether so many jobs succeeded; those that wait for their time, or do so by now, need not."""
    await conn.execute(
        "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo' AND scheduled_at > now()"
    )
    return await all_succeeded(conn, expected)


async def test_an_opening_is_told_to_every_worker(open_app: OpenApp, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """Once a breaker is open no worker takes its jobs, and every worker is told, and need not look."""
    monkeypatch.setattr(dependencies, "REFRESH_SECONDS", 600.0)
    service = Service()
    call = calling(service)
    apps = [await open_app() for _ in range(2)]
    async with several(*apps):
        await open_breaker(conn)
        await call.batch_defer_async(*[{} for _ in range(20)])
        await eventually(lambda: all(sees(app, "open") for app in apps))
    for app in apps:
        await work_off(app)
    assert service.calls == 0
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 20


async def test_an_opening_is_seen_by_a_worker_that_hears_nothing(open_app: OpenApp, conn: Connection):
    """A worker without notifications sees it too: its claims are held back at once, its decisions a second later."""
    service = Service()
    call = calling(service)
    app = await open_app()
    async with working(app, listen_notify=False, fetch_job_polling_interval=0.05):
        await open_breaker(conn)
        await call.defer_async()
        await eventually(lambda: sees(app, "open"), 10)
    assert service.calls == 0


async def test_probes_never_exceed_their_number(open_app: OpenApp, conn: Connection):
    """However many workers and jobs there are, no more probes run at once than there are permits, over all of them."""
    gate = Gate()
    call = calling(gate)
    apps = [await open_app() for _ in range(3)]
    await open_breaker(conn)
    await call.batch_defer_async(*[{} for _ in range(60)])
    async with several(*apps, concurrency=10):
        await let_probes_go(conn)
        await eventually(lambda: gate.running == 1)
        await asyncio.gather(*(ask(app) for app in apps * 20))
        assert gate.most == 1
        await conn.execute("UPDATE afresh.breaker SET probe_successes = 2")
        await conn.execute("SELECT pg_notify('afresh_wake', '{\"type\": \"breaker\"}')")
        await eventually(lambda: gate.running == 3)
        await asyncio.gather(*(ask(app) for app in apps * 20))
        assert gate.most == 3
        await breakers.isolate(conn, NAME, actor="me", reason="the test is over")
        gate.open.set()


async def test_a_probe_that_no_job_may_run_as_is_not_asked_for_again_at_once(open_app: OpenApp, conn: Connection):
    """Where a limit is in the way of all that waits, a worker asks for probes seldom, whatever it is woken by."""
    call = calling(Service())
    app = await open_app()
    await open_breaker(conn)
    await call.batch_defer_async(*[{} for _ in range(5)])
    await limit(conn)
    await let_probes_go(conn)
    claims = Claims(app, await register(conn), None)
    await app.dependencies.refresh()
    for _ in range(50):
        assert await claims.take(10) == []
        await app.dependencies.flush()
        claims.gate.look_again()
    assert 1 <= await value(conn, "SELECT last_permit FROM afresh.breaker") <= 6


async def test_the_lease_of_a_probe_lasts_as_long_as_its_job(open_app: OpenApp, conn: Connection):
    """A job that may run for an hour is not taken for a probe that hangs before that."""
    call = calling(Service(), timeout=timedelta(minutes=1))
    app = await open_app()
    await open_breaker(conn)
    await submit(conn, Submission(task_name=call.name, timeout=timedelta(hours=1)))
    await let_probes_go(conn)
    claims = Claims(app, await register(conn), None)
    await app.dependencies.refresh()
    assert len(await claims.take(10)) == 1
    assert timedelta(minutes=59) < await lease(conn) < timedelta(minutes=61)


async def test_a_failed_probe_spends_no_attempt(open_app: OpenApp, conn: Connection):
    """A probe that meets the outage gives its attempt back, and its job waits for the breaker."""
    service = Service(up=False)
    call = calling(service)
    app = await open_app()
    await open_breaker(conn)
    job_id = await call.defer_async()
    async with working(app):
        await let_probes_go(conn)
        await eventually(lambda: value(conn, "SELECT count(*) FROM afresh.attempt"))
    (run,) = await attempts(conn, job_id)
    assert (run["outcome"], run["counted"], run["decision"]) == ("snoozed", False, "snooze")
    assert "breaker of joke-api" in run["reason"]
    assert (await job(conn, job_id))["attempts"] == 0
    assert service.calls == 1


async def test_a_job_in_flight_at_the_trip_spends_no_attempt(open_app: OpenApp, conn: Connection):
    """A job that was started before its breaker opened, and fails after, gets its attempt back."""
    service, gate = Service(up=False), Gate()

    async def slowly() -> None:
        await gate()
        await service()

    call = calling(slowly)
    app = await open_app()
    job_id = await call.defer_async()
    async with working(app):
        await eventually(lambda: gate.running)
        await open_breaker(conn)
        await eventually(lambda: sees(app, "open"))
        gate.open.set()
        await eventually(lambda: attempts(conn, job_id))
    assert (await job(conn, job_id))["attempts"] == 0


async def test_a_ramp_hands_out_no_more_than_its_rate(open_app: OpenApp, conn: Connection):
    """On a ramp all workers together take jobs, and no more a second than it allows, whatever their room."""
    service = Service()
    call = calling(service)
    apps = [await open_app() for _ in range(2)]
    await open_breaker(conn)
    await call.batch_defer_async(*[{} for _ in range(200)])
    began = await value(conn, "SELECT clock_timestamp()")
    await ramp(conn, rate=20)
    async with several(*apps):
        await eventually(lambda: service.calls >= 40)
        calls = service.calls
        (row,) = await rows(conn, "SELECT handed, clock_timestamp() AS now FROM afresh.breaker")
        seconds = (row["now"] - began).total_seconds()
    assert calls <= row["handed"] <= 20 * seconds + 2
    assert seconds <= 10  # 2, where the machine has nothing else to do.


async def test_a_ramp_ends_without_jobs(open_app: OpenApp, conn: Connection):
    """A ramp that has not been the limit for a minute is over, also where no job comes by which it would be seen."""
    calling(Service())
    app = await open_app()
    await open_breaker(conn)
    await ramp(conn, rate=20)
    async with working(app, fetch_job_polling_interval=0.1):
        await conn.execute("UPDATE afresh.breaker SET limited_at = now() - interval '59 seconds'")
        await eventually(lambda: is_(conn, "closed"))


async def test_what_was_not_claimed_goes_back(queue_app: Afresh, conn: Connection):
    """Of the tokens of a ramp those that no job was claimed with are there for the next worker."""
    calling(Service())
    await open_breaker(conn)
    await ramp(conn, rate=100)
    await conn.execute("UPDATE afresh.breaker SET tokens = 1, tokens_at = now() - interval '1 second'")
    admission = await breakers.admitted(
        conn,
        NAME,
        5,
        rules=queue_app.dependencies.rules_of(NAME),
        job_timeout=timedelta(1),
        rng=queue_app.dependencies.rng,
    )
    await breakers.give_back(conn, NAME, admission.breaker.generation, admission.jobs)
    (row,) = await rows(conn, "SELECT handed, tokens FROM afresh.breaker")
    assert (admission.jobs, row["handed"]) == (5, 0)
    assert row["tokens"] >= 5


async def test_a_claim_gives_back_what_a_limit_kept(open_app: OpenApp, conn: Connection):
    """A claim on a ramp that a limit leaves without jobs gives back the tokens that it was admitted with."""
    call = calling(Service())
    app = await open_app()
    await open_breaker(conn)
    await call.batch_defer_async(*[{} for _ in range(5)])
    await limit(conn)
    await ramp(conn, rate=100)
    claims = Claims(app, await register(conn), None)
    await app.dependencies.refresh()
    await conn.execute("UPDATE afresh.breaker SET tokens = 1, tokens_at = now() - interval '1 second'")
    assert await claims.take(10) == []
    assert await value(conn, "SELECT handed FROM afresh.breaker") > 0
    await app.dependencies.flush()
    assert await value(conn, "SELECT handed FROM afresh.breaker") == 0


async def test_an_isolated_dependency_is_left_alone(open_app: OpenApp, conn: Connection):
    """What an operator isolated is neither called nor probed, until it is reset; then its jobs run."""
    service = Service()
    call = calling(service)
    app = await open_app()
    async with working(app):
        assert await breakers.isolate(conn, NAME, actor="me", reason="they asked for it")
        await call.defer_async()
        await conn.execute("SELECT pg_notify('afresh_wake', '')")
        await eventually(lambda: sees(app, "isolated"))
        await work_off(app)
        assert service.calls == 0
        assert await breakers.reset(conn, NAME, actor="me", reason="they are done")
        await eventually(lambda: service.calls == 1)
        await eventually(lambda: all_succeeded(conn, 1))


async def test_a_job_held_past_its_deadline_is_buried(open_app: OpenApp, conn: Connection):
    """A job whose deadline passed while its breaker held it is not run any more; its dead letter names the deadline."""
    service = Service()
    call = calling(service)
    app = await open_app()
    await breakers.isolate(conn, NAME, actor="me", reason="maintenance")
    now = await value(conn, "SELECT clock_timestamp()")
    job_id = await submit(conn, Submission(task_name=call.name, deadline=now))
    await breakers.reset(conn, NAME, actor="me", reason="it is back")
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
    (letter,) = await rows(conn, "SELECT cause::text AS cause, reason FROM afresh.dead_letter")
    assert (letter["cause"], service.calls) == ("waited_too_long", 0)
    assert f"its deadline {now:%Y-%m-%d %H:%M}" in letter["reason"]


async def test_a_rate_limit_holds_all_jobs_of_its_dependency(open_app: OpenApp, conn: Connection):
    """One job that is told to come back in a minute speaks for all the others: nobody calls before."""
    service = Limited()
    call = calling(service)
    apps = [await open_app() for _ in range(2)]
    async with several(*apps):
        await call.defer_async()
        await eventually(lambda: is_(conn, "ramping"))
        await call.batch_defer_async(*[{} for _ in range(10)])
        await eventually(lambda: all(sees(app, "ramping") for app in apps))
    for app in apps:
        await work_off(app)
    assert service.calls == 1
    until = await value(conn, "SELECT extract(epoch FROM until - now()) FROM afresh.breaker")
    assert 30 <= until <= 60


async def test_waiting_for_says_dependency(open_app: OpenApp, conn: Connection):
    """A job held back by its breaker says so, also where only its task names the dependency."""
    call = calling(Service())
    app = await open_app()
    async with working(app):
        await open_breaker(conn)
        await call.defer_async()
        assert await value(conn, "SELECT waiting_for FROM afresh.jobs") == "dependency"


async def test_a_healthy_dependency_writes_nothing(open_app: OpenApp, conn: Connection):
    """Successes of a dependency that never failed leave no trace in the tables of breakers."""
    call = calling(Service())
    app = await open_app()
    await call.batch_defer_async(*[{} for _ in range(50)])
    async with working(app):
        await eventually(lambda: all_succeeded(conn, 50))
    assert await rows(conn, "SELECT FROM afresh.breaker") == []


class Limited(Service):
    """A service that lets nobody in for a minute."""

    async def __call__(self) -> None:
        self.calls += 1
        raise TooManyRequests


class TooManyRequests(Exception):  # noqa: N818 - as clients call it.
    """As HTTP clients raise it."""

    class response:  # noqa: N801 - as HTTP clients have it.
        """What was answered."""

        status_code = 429
        headers = {"retry-after": "60"}  # noqa: RUF012 - as above.


async def ask(app: Afresh) -> None:
    """Ask for a probe as a worker would, and leave nothing behind if one is given."""
    mine = app.dependencies
    async with app.connection() as own:
        admission = await breakers.admitted(
            own, NAME, 10, rules=mine.rules_of(NAME), job_timeout=timedelta(minutes=1), rng=mine.rng
        )
    assert admission.jobs == 0


async def limit(conn: Connection) -> None:
    """Limit the dependency to what has been used up."""
    await conn.execute(
        "INSERT INTO afresh.job_limit (kind, name, rate_jobs, rate_seconds, tokens_at) "
        "VALUES ('dependency', %s, 1, 1e6, now())",
        (NAME,),
    )


def sees(app: Afresh, expected: str) -> bool:
    """Whether a worker knows that a breaker is in this state."""
    seen = app.dependencies.snapshot.of(NAME)
    return seen is not None and seen.state == expected


async def is_(conn: Connection, expected: str) -> bool:
    """Whether the breaker is in this state."""
    return await state(conn) == expected


async def all_succeeded(conn: Connection, expected: int) -> bool:
    """Whether so many jobs succeeded."""
    return await succeeded(conn) == expected


@pytest.mark.parametrize("earned", [0.2, 0.0])
async def test_an_empty_budget_puts_retries_off(open_app: OpenApp, conn: Connection, earned: float):
    """When the retries of a process have used up its budget, others are put off at no cost, and none is failed."""
    service = Service(up=False)
    call = calling(service, retry=ExponentialBackoff(max_retries=3, initial_delay=timedelta(minutes=1)))
    breaker = BreakerSettings(failures=1_000)  # None opens: it would hold the jobs instead.
    app = await open_app(breaker=breaker, retry=RetrySettings(budget=earned))
    await call.batch_defer_async(*[{} for _ in range(90)])
    await work_off(app)
    found = await rows(
        conn,
        "SELECT decision::text AS decision, counted, count(*) AS runs, max(reason) AS reason FROM afresh.attempt "
        "GROUP BY 1, 2 ORDER BY 1",
    )
    retried, put_off = found
    assert (retried["decision"], retried["counted"]) == ("retry", True)
    assert 50 <= retried["runs"] <= 50 / (1 - earned) + 5  # The bucket, what the calls earn, and what the seconds do.
    assert (put_off["decision"], put_off["counted"]) == ("snooze", False)
    assert retried["runs"] + put_off["runs"] == 90
    assert "budget" in put_off["reason"]
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 90
    spent = await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE attempts = 1")
    assert spent == retried["runs"]
