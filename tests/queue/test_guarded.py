"""Dependencies that a task only knows while it runs."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.guarded import DependencyUnavailable, guarded
from app.queue.submit import Submission, submit
from app.retry.failure import FailureType
from app.store import breakers

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import Service, calling, hold_breaker, lease, open_breaker, open_to_probes, ramp, registered, state
from .jobs import attempts, job, rows, status, value
from .workers import Gate, first_run, is_, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection
HOST = "api.example.com"


def through_guard(service: Service, **options: Any) -> Any:
    """A task that calls a service under the breaker of its host."""

    async def call() -> None:
        async with guarded(HOST):
            await service()

    return registered(call, **options)


async def test_an_open_one_costs_no_attempt(open_app: OpenApp, conn: Connection):
    """A job whose task meets an open breaker waits without having called, and without spending an attempt."""
    service = Service()
    call = through_guard(service)
    app = await open_app()
    await open_breaker(conn, HOST)
    run = await first_run(app, conn, call)
    assert (run["outcome"], run["decision"], service.calls) == ("snoozed", "snooze", 0)
    assert run["reason"].startswith(f"breaker of {HOST} is open")
    assert ((await job(conn, run["job_id"]))["attempts"], await status(conn, run["job_id"])) == (0, "todo")


@pytest.mark.parametrize("kind", [FailureType.PERMANENT_AUTH, FailureType.CONFIG_MISSING_SETTING])
async def test_held_for_somebody_to_mend(open_app: OpenApp, conn: Connection, kind: FailureType):
    """A job that waits for credentials or a setting to be mended waits for what has no end."""
    call = through_guard(Service())
    app = await open_app()
    await hold_breaker(conn, kind, HOST)
    job_id = await call.defer_async()
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
    waited = await value(conn, "SELECT waited FROM afresh.job_option")
    assert list(waited) == ["dependency_held"]


async def test_its_failures_open_it(open_app: OpenApp, conn: Connection):
    """What is raised inside counts against the guarded dependency, not against what the task relies on."""
    both = through_guard(Service(up=False), depends_on="joke-api")
    app = await open_app()
    await both.batch_defer_async(*[{} for _ in range(40)])
    async with working(app, concurrency=2):
        await eventually(lambda: is_open(conn))
    assert await state(conn, "joke-api") == "closed"


async def test_it_probes(open_app: OpenApp, conn: Connection):
    """When its break is over, one job at a time gets through, and tells whether it works."""
    service = Service()
    call = through_guard(service)
    app = await open_app()
    await open_to_probes(conn, HOST)
    await call.defer_async()
    async with working(app):
        await eventually(lambda: value(conn, "SELECT probe_successes FROM afresh.breaker"))
    assert (service.calls, await rows(conn, "SELECT FROM afresh.breaker_probe")) == (1, [])


async def test_while_another_probes(open_app: OpenApp, conn: Connection):
    """A job that finds the permit taken looks again in a minute, and not when a probe that hangs would be given up."""
    service = Service()
    call = through_guard(service)
    app = await open_app()
    await open_to_probes(conn, HOST)
    taken = await app.dependencies.admitted(conn, HOST, 1, run=timedelta(hours=1))
    run = await first_run(app, conn, call)
    assert (taken.jobs, service.calls) == (1, 0)
    assert timedelta(seconds=59) < run["delay"] < timedelta(seconds=66)


async def test_a_task_may_go_on_without_it(open_app: OpenApp, conn: Connection):
    """A task that expects the refusal can do something else, and succeeds."""

    async def call() -> str:
        try:
            async with guarded(HOST):
                return "called"
        except DependencyUnavailable:
            return "cached"

    patient = registered(call)
    app = await open_app()
    await breakers.isolate(conn, HOST, actor="me", reason="why not")
    job_id = await patient.defer_async()
    async with working(app):
        await eventually(lambda: is_(conn, job_id, "succeeded"))
    assert await value(conn, "SELECT result FROM afresh.result") == "cached"


async def test_outside_of_a_job():
    """Without a job there is nobody to hold back."""
    with pytest.raises(LookupError):
        async with guarded(HOST):
            pass


async def test_a_name_that_is_none(open_app: OpenApp, conn: Connection):
    """A task that guards nothing, as of an address without a host, fails by it before it has called anybody."""
    service = Service()

    async def call() -> None:
        async with guarded(""):
            await service()

    app = await open_app()
    run = await first_run(app, conn, registered(call))
    assert (run["exception_type"], service.calls) == ("ValueError", 0)
    assert "text of 1 to 255 characters" in run["message"]


async def test_a_job_of_a_task_with_a_guard_inside_still_probes_its_own(open_app: OpenApp, conn: Connection):
    """A guarded call in a probe does not swallow what the probe says about the job's own dependency."""
    service = Service()

    async def guarded_too() -> None:
        async with guarded(HOST):
            await service()

    call = calling(guarded_too)
    app = await open_app()
    await open_to_probes(conn)
    await call.defer_async()
    async with working(app):
        await eventually(lambda: value(conn, "SELECT probe_successes FROM afresh.breaker WHERE name = 'joke-api'"))
    assert await state(conn) == "half_open"


@pytest.mark.parametrize("named", ["by its task", "by itself"])
async def test_a_job_that_guards_what_it_relies_on(open_app: OpenApp, conn: Connection, named: str):
    """What let a job in at the claim is not asked again inside: a probe is one call, and that tells how it is."""
    service = Service()
    both = through_guard(service, **({"depends_on": HOST} if named == "by its task" else {}))
    app = await open_app()
    await open_to_probes(conn, HOST)
    await submit(conn, Submission(task_name=both.name, dependency=HOST if named == "by itself" else None))
    async with working(app):
        await eventually(lambda: value(conn, "SELECT probe_successes FROM afresh.breaker"))
    assert (service.calls, await state(conn, HOST)) == (1, "half_open")


async def test_what_opened_after_the_claim_is_not_called(open_app: OpenApp, conn: Connection):
    """A job that was let in and comes to its guarded block when the breaker has opened waits, and has not called."""
    service, gate = Service(), Gate()

    async def call() -> None:
        await gate()
        async with guarded(HOST):
            await service()

    app = await open_app()
    job_id = await registered(call, depends_on=HOST).defer_async()
    async with working(app):
        await eventually(lambda: gate.running)
        await open_breaker(conn, HOST)
        await eventually(lambda: app.dependencies.snapshot.gated() == [HOST])
        gate.open.set()
        await eventually(lambda: attempts(conn, job_id))
    (run,) = await attempts(conn, job_id)
    assert (run["outcome"], run["counted"], service.calls) == ("snoozed", False, 0)


async def test_its_failures_count_once(open_app: OpenApp, conn: Connection):
    """A job that fails in a guarded block of what it relies on is one failure of that, and no call that worked."""
    app = await open_app()
    job_id = await through_guard(Service(up=False), depends_on=HOST).defer_async()
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
        await eventually(lambda: rows(conn, "SELECT FROM afresh.breaker"))
    (breaker,) = await rows(conn, "SELECT name, slots FROM afresh.breaker")
    assert (breaker["name"], [slot[1:3] for slot in breaker["slots"]]) == (HOST, [[0, 1]])


async def is_open(conn: Connection) -> bool:
    """Whether the host's breaker is open."""
    return await state(conn, HOST) == "open"


async def test_the_lease_of_a_probe_inside_lasts_as_long_as_its_job(open_app: OpenApp, conn: Connection):
    """A job that may run for an hour is not taken for a probe that hangs before that, whatever JOB_TIMEOUT says."""
    gate = Gate()

    async def call() -> None:
        async with guarded(HOST):
            await gate()

    app = await open_app()
    await open_to_probes(conn, HOST)
    await registered(call, timeout=timedelta(hours=1)).defer_async()
    async with working(app):
        await eventually(lambda: gate.running)
        assert timedelta(minutes=59) < await lease(conn) < timedelta(minutes=61)
        gate.open.set()


async def test_hosts_that_are_well_are_not_kept(queue_app: Afresh, conn: Connection):
    """A process that has called many hosts forgets those that are well: of these there is nothing to be known."""
    await open_breaker(conn, "bad.example")
    mine = queue_app.dependencies
    for name in ("bad.example", *(f"{number}.example" for number in range(1000))):
        mine.worked(mine.call(name, 1))
    assert len(mine.budgets()) == 1001
    await mine.refresh()
    assert list(mine.budgets()) == ["bad.example"]


async def test_waiting_for_too_long(open_app: OpenApp, conn: Connection):
    """What a job waits for the breaker of a guard ends at MAX_WAIT with a letter that says so, and costs no attempt."""
    service = Service()
    call = through_guard(service)
    app = await open_app()
    await open_breaker(conn, HOST)
    job_id = await call.defer_async()
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, waited) VALUES (%s, '{\"dependency_open\": 86400}')", (job_id,)
    )
    async with working(app):
        await eventually(lambda: attempts(conn, job_id))
    (letter,) = await rows(conn, "SELECT cause::text, attempts, reason FROM afresh.dead_letter")
    assert (letter["cause"], letter["attempts"], service.calls) == ("waited_too_long", 0, 0)
    assert letter["reason"].startswith(f"breaker of {HOST} is open")
    assert "waited 1 d for dependency_open already" in letter["reason"]


async def delays(conn: Connection) -> list[float]:
    """How long each job that was put back waits, in seconds, the shortest first."""
    found = await rows(conn, "SELECT extract(epoch FROM delay)::float AS delay FROM afresh.attempt ORDER BY delay")
    return [each["delay"] for each in found]


async def test_not_all_come_for_one_look(open_app: OpenApp, conn: Connection):
    """Of many jobs that an open breaker refused one comes back for the next look; the others are not started for it."""
    call = through_guard(Service())
    app = await open_app()
    await open_breaker(conn, HOST)
    await conn.execute("UPDATE afresh.breaker SET probe_at = now() + interval '30 s'")
    await call.batch_defer_async(*[{} for _ in range(30)])
    async with working(app):
        await eventually(lambda: count_of(conn, 30))
    first, *others = await delays(conn)
    assert 5 < first < 40
    assert 59 < min(others) <= max(others) < 86


async def test_a_ramp_is_asked_as_often_as_it_gives(open_app: OpenApp, conn: Connection):
    """On a ramp that lets out one job a second the others come one by one, and those beyond a minute once in it."""
    service = Service()
    call = through_guard(service)
    app = await open_app()
    await open_breaker(conn, HOST)
    await ramp(conn, HOST, rate=1.0)
    await call.batch_defer_async(*[{} for _ in range(120)])
    async with working(app):
        await eventually(lambda: count_of(conn, 120 - service.calls))
    waits = await delays(conn)
    assert len([each for each in waits if each < 15]) <= 20
    assert len([each for each in waits if each > 60]) >= 40
    assert max(waits) < 86


async def count_of(conn: Connection, jobs: int) -> bool:
    """Whether so many runs were put back."""
    return bool(await value(conn, "SELECT count(*) >= %s FROM afresh.attempt", jobs))
