"""The dead letters of an outage come back by themselves when it is over, where their tasks want that."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from app.config import BreakerSettings
from app.queue import recovery
from app.queue.app import Afresh
from app.queue.submit import Submission, submit
from app.retry.failure import FailureType
from app.store import breakers
from app.tasks.dead_letters import replay_recovered, run_bulk

from ..eventually import eventually
from .conftest import OpenApp
from .dependencies import NAME, Service, calling, hold_breaker, open_breaker, ramp, state
from .jobs import rows, value
from .workers import work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

HOST = "api.example.com"


async def relying(open_app: OpenApp, service: Service, **options: Any) -> tuple[Afresh, Any]:
    """An app that brings letters back, and a task of it that calls a service once, told to the database. No breaker
    opens by itself: as many jobs can die as a test wants.
    """  # noqa: D205 - one sentence after the other
    call = calling(service, retry=False, **options)
    app = await open_app(breaker=BreakerSettings(failures=1_000))
    for each in (run_bulk, replay_recovered):
        app.register(each, None)
    await app.dependencies.introduce()
    return app, call


async def die(  # noqa: PLR0913  Who dies, where, of what.
    app: Afresh, conn: Connection, service: Service, call: Any, jobs: int = 1, *, of: str | None = None
) -> None:
    """Let jobs of a task die of an outage, and open the breaker of what they call, be it `of` their own choice."""
    service.up = False
    for _ in range(jobs):
        await submit(conn, Submission(task_name=call.name, dependency=of))
    await work_off(app)
    await conn.execute("DELETE FROM afresh.breaker")
    assert await statuses(conn) == ["pending"] * jobs
    await open_breaker(conn, of or NAME)
    service.up = True


async def recover(conn: Connection, name: str = NAME) -> None:
    """Let the dependency's jobs out, with no limit that a test would notice."""
    await breakers.reset(conn, name, actor="me", reason="it is up")
    await conn.execute("UPDATE afresh.breaker SET rate = 1000, tokens = 100, tokens_at = now()")


async def held_breaker(conn: Connection) -> None:
    """Hold the dependency for its credentials."""
    await hold_breaker(conn, FailureType.PERMANENT_AUTH)


async def ramps(conn: Connection) -> bool:
    """Whether jobs are let out."""
    return await state(conn) == "ramping"


async def resolved(conn: Connection, count: int) -> bool:
    """Whether so many letters, and no others, are there and resolved."""
    return await statuses(conn) == ["resolved"] * count


async def statuses(conn: Connection) -> list[str]:
    """What became of each letter."""
    return [row["status"] for row in await rows(conn, "SELECT status::text FROM afresh.dead_letter ORDER BY id")]


async def test_letters_of_an_outage_come_back(open_app: OpenApp, conn: Connection):
    """A recovery replays what the outage killed, as one bulk action that says who did it."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call, jobs=3)
    await recover(conn)
    await work_off(app)
    assert await statuses(conn) == ["resolved"] * 3
    (bulk,) = await rows(conn, "SELECT actor, reason, acted FROM afresh.bulk")
    assert bulk == {"actor": f"recovery of {NAME}", "reason": f"{NAME} has recovered", "acted": 3}
    audited = await rows(conn, "SELECT DISTINCT actor FROM afresh.audit WHERE action LIKE 'dead_letter.%%'")
    assert audited == [{"actor": f"recovery of {NAME}"}]


@pytest.mark.parametrize("began", [open_breaker, held_breaker], ids=["open", "held"])
async def test_after_probes(open_app: OpenApp, conn: Connection, began: Callable[[Connection], Awaitable[None]]):
    """Where probes find the dependency to be back, letters come back as after an operator's reset: out of a break by
    way of half-open, and out of a hold with the probe that goes after a quarter of an hour.
    """  # noqa: D205 - one sentence
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call, jobs=2)
    await conn.execute("DELETE FROM afresh.breaker")
    await conn.execute("DELETE FROM afresh.hold")
    await began(conn)
    await call.batch_defer_async(*[{} for _ in range(3)])
    async with working(app):
        await conn.execute(
            "UPDATE afresh.breaker SET until = until - interval '1 h', probe_at = probe_at - interval '1 h'"
        )
        await conn.execute("SELECT pg_notify('afresh_wake', '{\"type\": \"breaker\"}')")
        await eventually(lambda: ramps(conn))
        await conn.execute("UPDATE afresh.breaker SET rate = 1000")
        await eventually(lambda: resolved(conn, 2))
    came_to = await rows(conn, "SELECT after FROM afresh.breaker_event ORDER BY id DESC LIMIT 3")
    by_way_of = "half_open" if began is open_breaker else "held"
    assert [row["after"] for row in came_to][:2] == ["ramping", by_way_of]


async def test_they_wait_behind_the_ramp(open_app: OpenApp, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """However fast letters become jobs, the dependency is called no faster than its ramp lets jobs out."""
    monkeypatch.setattr(recovery, "RATE_PER_SECOND", 1000.0)
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call, jobs=60)
    service.calls = 0
    began = await value(conn, "SELECT clock_timestamp()")
    await ramp(conn, rate=10)
    async with working(app):
        await eventually(lambda: all_replayed(conn))
        waiting = await value(conn, "SELECT count(*) FROM afresh.jobs WHERE waiting_for = 'dependency'")
        await eventually(lambda: service.calls >= 20)
        calls = service.calls
        (row,) = await rows(conn, "SELECT handed, rate, clock_timestamp() AS now FROM afresh.breaker")
    assert calls <= row["handed"] <= row["rate"] * (row["now"] - began).total_seconds() + 2
    assert waiting >= 10  # All are jobs by then; what holds these back is the ramp alone.


async def all_replayed(conn: Connection) -> bool:
    """Whether every letter has become a job."""
    return "pending" not in await statuses(conn)


async def test_types_of_an_outage(open_app: OpenApp, conn: Connection):
    """What died of EXTERNAL_API_DOWN or of a TRANSIENT type comes back, and nothing else does."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call, jobs=len(FailureType))
    given = (
        "UPDATE afresh.dead_letter SET failure_type = ($1::text[])[id - (SELECT min(id) FROM afresh.dead_letter) + 1]"
    )
    await conn.execute(given.replace("$1", "%s"), ([kind.value for kind in FailureType],))
    await recover(conn)
    await work_off(app)
    found = await rows(conn, "SELECT failure_type FROM afresh.dead_letter WHERE status = 'resolved'")
    assert {row["failure_type"] for row in found} == {
        "EXTERNAL_API_DOWN",
        "TRANSIENT_DATABASE",
        "TRANSIENT_NETWORK",
        "TRANSIENT_RATE_LIMIT",
        "TRANSIENT_RESOURCE",
        "TRANSIENT_TIMEOUT",
    }


async def test_an_idle_breaker_is_no_recovery(open_app: OpenApp, conn: Connection):
    """A breaker that is let go because nobody called for an hour brings nothing back: nobody knows whether it is up."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call)
    an_hour = "now() - interval '61 min'"
    await conn.execute(
        f"UPDATE afresh.breaker SET changed_at = {an_hour}, until = {an_hour}, probe_at = {an_hour}"  # noqa: S608 - ours.
    )
    (moved,) = await breakers.let_idle_go(conn, own=app.own_dependencies())
    assert moved.after == "ramping"
    await work_off(app)
    assert await statuses(conn) == ["pending"]
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s", replay_recovered.name) == 0


async def test_only_where_the_task_wants_it(open_app: OpenApp, conn: Connection):
    """Letters of a task that has not asked for it stay where they are, and no job is made."""
    service = Service()
    app, call = await relying(open_app, service)
    await die(app, conn, service, call)
    await recover(conn)
    await work_off(app)
    assert await statuses(conn) == ["pending"]
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s", replay_recovered.name) == 0


@pytest.mark.parametrize("relies_on", [{}, {"name": "another"}], ids=["nothing", "another"])
async def test_a_dependency_that_the_jobs_named(open_app: OpenApp, conn: Connection, relies_on: dict[str, str]):
    """Jobs that named what they rely on come back with that, and not with what their task relies on, if anything."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True, **({"name": None} | relies_on))
    await die(app, conn, service, call, jobs=2, of=HOST)
    if relies_on:
        await open_breaker(conn, "another")
        await recover(conn, "another")
        await work_off(app)
        assert await statuses(conn) == ["pending"] * 2
    await recover(conn, HOST)
    await work_off(app)
    assert await statuses(conn) == ["resolved"] * 2
    begun = await rows(conn, "SELECT actor, acted FROM afresh.bulk WHERE job_id IS NOT NULL")
    assert begun == [{"actor": f"recovery of {HOST}", "acted": 2}]


async def test_named_by_jobs_of_a_task_that_does_not_want_it(open_app: OpenApp, conn: Connection):
    """Letters of a task that has not asked for it stay, also where their jobs named the dependency."""
    service = Service()
    app, call = await relying(open_app, service)
    await die(app, conn, service, call, of=HOST)
    await recover(conn, HOST)
    await work_off(app)
    assert await statuses(conn) == ["pending"]
    assert await rows(conn, "SELECT FROM afresh.bulk") == []


async def test_a_rate_limit_is_no_recovery(open_app: OpenApp, conn: Connection):
    """A ramp that a rate limit began brings nothing back: nothing was down."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call)
    await conn.execute("DELETE FROM afresh.breaker")
    await breakers.paced(conn, NAME, timedelta(seconds=1), 0)
    assert await value(conn, "SELECT state FROM afresh.breaker") == "ramping"
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s", replay_recovered.name) == 0


async def test_other_failures_stay(open_app: OpenApp, conn: Connection):
    """What did not die of an outage, or long ago, is left to a person; so is what another dependency killed."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call, jobs=4)
    for change in (
        "failure_type = 'PERMANENT_NOT_FOUND'",
        "died_at = now() - interval '2 days'",
        "dependency = 'another'",
    ):
        await conn.execute(
            f"UPDATE afresh.dead_letter SET {change} WHERE id = (SELECT min(id) FROM afresh.dead_letter "  # noqa: S608 - constants of ours.
            "WHERE failure_type <> 'PERMANENT_NOT_FOUND' AND died_at > now() - interval '1 day' "
            "AND dependency IS DISTINCT FROM 'another')"
        )
    await recover(conn)
    await work_off(app)
    assert await statuses(conn) == ["pending", "pending", "pending", "resolved"]


async def test_once_for_each_recovery(open_app: OpenApp, conn: Connection):
    """A letter that dies again waits for the next recovery, and after three replays for a person."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call)
    replays = []
    for _ in range(5):
        await recover(conn)
        service.up = False  # It fails whenever it runs: the recovery was none.
        await work_off(app)
        replays.append(await value(conn, "SELECT replays FROM afresh.dead_letter"))
        await conn.execute("DELETE FROM afresh.breaker")
        await open_breaker(conn)
    assert replays == [1, 2, 3, 3, 3]
    assert await statuses(conn) == ["pending"]


async def test_a_recovery_that_is_told_twice(open_app: OpenApp, conn: Connection):
    """The job of a recovery that runs again, after a crash say, begins nothing anew."""
    service = Service()
    app, call = await relying(open_app, service, replay_on_recovery=True)
    await die(app, conn, service, call)
    day = timedelta(days=1)
    first = await recovery.replay(conn, NAME, 7, longest_wait=day)
    assert first is not None
    assert await recovery.replay(conn, NAME, 7, longest_wait=day) == first
    assert await value(conn, "SELECT count(*) FROM afresh.bulk") == 1


async def test_once_over_all_who_see_it(open_app: OpenApp, conn: Connection, database_url: str):
    """However many let a dependency's jobs out at the same moment, its recovery submits one job."""
    app, _ = await relying(open_app, Service(), replay_on_recovery=True)
    await open_breaker(conn)

    async def let_out() -> Any:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as own:
            return await breakers.reset(own, NAME, actor="me", reason="it is up")

    let = await asyncio.gather(*(let_out() for _ in range(12)))
    assert sum(each is not None for each in let) == 1
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s", replay_recovered.name) == 1
    await work_off(app)
