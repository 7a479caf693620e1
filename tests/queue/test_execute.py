"""What follows the failure of a run, decided by whoever was asked to."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from procrastinate import exceptions
from procrastinate.retry import BaseRetryStrategy, RetryDecision, RetryStrategy

from app.config import RetrySettings, WorkerSettings
from app.queue.app import Afresh
from app.queue.task import ExponentialBackoff, task
from app.telemetry import AttemptStarted, Event

from .conftest import OpenApp
from .jobs import add, attempts, dead_letters, job, status
from .workers import work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


class Refused(ConnectionRefusedError):  # noqa: N818 - reads as what happened
    """A failure that passes by itself."""


async def runs(conn: Connection, app: Afresh, job_id: int, most: int = 12) -> list[float | None]:
    """Run a job until it ends, without waiting for its retries; the delay that followed each failed run."""
    for _ in range(most):
        await work_off(app)
        if await status(conn, job_id) != "todo":
            break
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE id = %s", (job_id,))
    found = await attempts(conn, job_id)
    return [row["delay"].total_seconds() if row["delay"] is not None else None for row in found]


async def test_a_failure_is_classified_and_retried(queue_app: Afresh, conn: Connection):
    """A plain task without a strategy is retried by the policy of its failure's type, and the reason is kept."""

    @queue_app.task(name="fails")
    async def fails() -> None:
        raise Refused("no")

    job_id = await fails.defer_async()
    await work_off(queue_app)
    (row,) = await attempts(conn, job_id)
    assert (row["failure_type"], row["decision"], row["exception_type"][-7:]) == (
        "TRANSIENT_NETWORK",
        "retry",
        "Refused",
    )
    assert "raise Refused" in row["traceback"]
    assert "/app/queue/" not in row["traceback"]
    assert row["reason"].startswith("TRANSIENT_NETWORK")


async def test_a_permanent_failure_is_buried_at_once(queue_app: Afresh, conn: Connection):
    """What cannot succeed is not tried again."""

    @queue_app.task(name="fails")
    async def fails() -> None:
        raise PermissionError("no")

    job_id = await fails.defer_async()
    assert await runs(conn, queue_app, job_id) == [None]
    assert [letter["cause"] for letter in await dead_letters(conn, job_id)] == ["permanent"]


async def test_the_waits_of_the_environment(open_app: OpenApp, conn: Connection):
    """MAX_RETRIES=5 RETRY_BASE_DELAY=2 RETRY_MAX_DELAY=300 RETRY_JITTER=none waits exactly 2, 4, 8, 16 and 32 s."""
    app = await open_app(retry=RetrySettings(max_retries=5, base_delay="2", max_delay="300", jitter="none"))

    @app.task(name="fails", retry=ExponentialBackoff.from_env())
    async def fails() -> None:
        raise Refused

    job_id = await fails.defer_async()
    assert await runs(conn, app, job_id) == [2, 4, 8, 16, 32, None]
    assert [letter["cause"] for letter in await dead_letters(conn, job_id)] == ["retries_spent"]


async def test_no_retries_in_the_environment(open_app: OpenApp, conn: Connection):
    """MAX_RETRIES=0 means one attempt, also where the policy of the failure's type would allow more."""
    app = await open_app(retry=RetrySettings(max_retries=0))

    @app.task(name="fails")
    async def fails() -> None:
        raise Refused

    job_id = await fails.defer_async()
    assert await runs(conn, app, job_id) == [None]


@pytest.mark.parametrize("retry", [False, 0])
async def test_no_retry(queue_app: Afresh, conn: Connection, retry: Any):
    """``retry=False`` and ``retry=0`` mean one attempt."""

    @task(name="fails", retry=retry)
    async def fails() -> None:
        raise Refused

    job_id = await fails.defer_async()
    assert await runs(conn, queue_app, job_id) == [None]


async def test_procrastinates_strategy_alone_decides(queue_app: Afresh, conn: Connection):
    """Procrastinate's RetryStrategy is honoured as given: no veto by type, no jitter; max_attempts=5 makes 6 runs."""

    @queue_app.task(name="fails", retry=RetryStrategy(max_attempts=5, wait=7))
    async def fails() -> None:
        raise PermissionError("permanent, as far as types go")

    job_id = await fails.defer_async()
    assert [wait and round(wait) for wait in await runs(conn, queue_app, job_id)] == [7, 7, 7, 7, 7, None]


async def test_an_integer_is_procrastinates_strategy(queue_app: Afresh, conn: Connection):
    """``retry=2`` makes three runs without a wait."""

    @queue_app.task(name="fails", retry=2)
    async def fails() -> None:
        raise ValueError

    job_id = await fails.defer_async()
    await work_off(queue_app)
    assert (await status(conn, job_id), (await job(conn, job_id))["attempts"]) == ("failed", 3)


async def test_a_strategy_can_move_the_job(queue_app: Afresh, conn: Connection):
    """What a strategy changes about the job is changed with the retry."""

    class Demoting(BaseRetryStrategy):
        def get_retry_decision(self, *, exception: BaseException, job: Any) -> RetryDecision:
            del exception, job
            return RetryDecision(retry_in={"hours": 1}, priority=-3, queue="slow", lock="one")

    @queue_app.task(name="fails", retry=Demoting())
    async def fails() -> None:
        raise ValueError

    job_id = await fails.defer_async()
    await work_off(queue_app)
    row = await job(conn, job_id)
    assert (row["priority"], row["queue_name"], row["lock"]) == (-3, "slow", "one")


class Unspeakable(BaseException):
    """Not even its text can be had."""

    def __str__(self) -> str:
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    "answer",
    [KeyError("x"), asyncio.CancelledError(), GeneratorExit(), Unspeakable(), 5, timedelta(1), "soon"],
    ids=["error", "cancellation", "exit", "unspeakable", "number", "time", "text"],
)
async def test_a_broken_strategy_buries_the_job(queue_app: Afresh, conn: Connection, answer: Any):
    """A strategy that raises, or answers with something else, leaves a dead letter that says so, and no stuck job."""

    class Broken(BaseRetryStrategy):
        def get_retry_decision(self, *, exception: BaseException, job: Any) -> Any:
            del exception, job
            if isinstance(answer, BaseException):
                raise answer
            return answer

    @queue_app.task(name="fails", retry=Broken())
    async def fails() -> None:
        raise ValueError

    job_id = await fails.defer_async()
    assert await runs(conn, queue_app, job_id) == [None]
    assert [letter["cause"] for letter in await dead_letters(conn, job_id)] == ["broken_strategy"]


async def test_a_wrong_policy_is_told_where_it_is_written():
    """A field out of its range is an error of the line that wrote it, not of the first job."""
    with pytest.raises(ValueError, match="max_retries"):
        ExponentialBackoff.from_env(max_retries=-1)
    with pytest.raises(TypeError):
        ExponentialBackoff.preset("api", retries=3)


@pytest.mark.parametrize("counted", [True, False])
async def test_a_policy_says_whether_it_is_counted(queue_app: Afresh, events: list[Event], *, counted: bool):
    """track_metrics of a task's policy is told with each of its attempts."""

    @task(name="t", retry=ExponentialBackoff.preset("standard", track_metrics=counted))
    async def succeeds() -> None:
        pass

    await succeeds.defer_async()
    await work_off(queue_app)
    (started,) = (event for event in events if isinstance(event, AttemptStarted))
    assert started.attempt.track_metrics is counted


async def test_the_options_of_a_job_rule(queue_app: Afresh, conn: Connection):
    """A job's own number of retries and time limit rule over its task's."""

    @task(name="slow", timeout=timedelta(hours=1), retry=ExponentialBackoff(initial_delay=timedelta(0), max_retries=9))
    async def slow() -> None:
        await asyncio.Event().wait()

    job_id = await slow.defer_async()
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, max_retries, timeout) VALUES (%s, 1, interval '30 ms')", (job_id,)
    )
    await runs(conn, queue_app, job_id)
    found = await attempts(conn, job_id)
    assert [row["failure_type"] for row in found] == ["TRANSIENT_TIMEOUT"] * 2
    assert [row["decision"] for row in found] == ["retry", "dead_letter"]


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("is_async", [True, False])
async def test_whatever_a_task_raises_ends_that_job_alone(
    queue_app: Afresh, conn: Connection, raised: BaseException, *, is_async: bool
):
    """Also what is no Exception fails its job, and neither the worker nor the jobs beside it."""

    async def async_task() -> None:
        raise raised

    def sync_task() -> None:
        raise raised

    fails = queue_app.task(name="fails")(async_task if is_async else sync_task)

    @queue_app.task(name="fine")
    async def fine() -> None:
        pass

    failing, succeeding = await fails.defer_async(), await fine.defer_async()
    await work_off(queue_app)
    assert await status(conn, succeeding) == "succeeded"
    assert [row["outcome"] for row in await attempts(conn, failing)] == ["failed"]


async def test_a_sync_task_may_raise_stop_iteration(queue_app: Afresh, conn: Connection):
    """An exception that no future can carry is a failure like any other."""

    @queue_app.task(name="stops")
    def stops() -> None:
        raise StopIteration

    job_id = await stops.defer_async()
    await work_off(queue_app)
    assert len(await attempts(conn, job_id)) == 1


async def test_a_task_that_aborts_itself(queue_app: Afresh, conn: Connection):
    """A task that raises JobAborted ends as aborted, as in Procrastinate."""

    @queue_app.task(name="gives_up")
    async def gives_up() -> None:
        raise exceptions.JobAborted

    job_id = await gives_up.defer_async()
    await work_off(queue_app)
    assert await status(conn, job_id) == "aborted"
    assert [row["outcome"] for row in await attempts(conn, job_id)] == ["aborted"]


# --- tasks that nobody knows


async def test_an_unknown_task_waits_for_a_deploy(queue_app: Afresh, conn: Connection):
    """A job whose task no worker knows is snoozed at no cost, and says why."""
    (job_id,) = await add(conn, task="not.deployed")
    await work_off(queue_app)
    (row,) = await attempts(conn, job_id)
    assert (row["outcome"], row["counted"], row["delay"].total_seconds()) == ("snoozed", False, 30)
    assert "not.deployed" in row["reason"]


async def test_an_unknown_task_is_buried_after_its_grace(open_app: OpenApp, conn: Connection):
    """When UNKNOWN_TASK_GRACE is over the job is dead, and has spent no attempt: it never ran."""
    app = await open_app(worker=WorkerSettings(unknown_task_grace="45s"))
    (job_id,) = await add(conn, task="not.deployed")
    assert await runs(conn, app, job_id) == [30, 15, None]
    assert [(letter["cause"], letter["attempts"]) for letter in await dead_letters(conn, job_id)] == [
        ("unknown_task", 0)
    ]
    assert (await job(conn, job_id))["attempts"] == 0


async def test_a_task_that_is_deployed_in_time_runs(queue_app: Afresh, conn: Connection):
    """A job that waited for its task runs when the task is there."""
    (job_id,) = await add(conn, task="late")
    await work_off(queue_app)

    @queue_app.task(name="late")
    async def late() -> None:
        pass

    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
    await work_off(queue_app)
    assert await status(conn, job_id) == "succeeded"
