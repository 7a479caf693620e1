"""The engine's rules as a job meets them: hints, rules of one's own, repetition, and what is stored about it."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import psycopg
import pytest
from procrastinate.retry import RetryStrategy

from app.config import RetrySettings, read_settings
from app.queue.app import Afresh
from app.queue.task import ExponentialBackoff, failure_rule, task
from app.retry.classify import Context, classify
from app.retry.decide import decide, rng_for
from app.retry.explain import as_json, line
from app.retry.failure import FailureType
from app.retry.policy import JobLimits, Retry

from .conftest import OpenApp
from .jobs import Row, attempts, job, rows
from .workers import work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection
EXACT = RetrySettings(jitter="none")


class BusyError(ValueError):
    """Permanent, if no rule said otherwise."""


class RuledError(ConnectionRefusedError):
    """Passes by itself, if no rule said otherwise."""


def answered(status: int, retry_after: str) -> httpx.HTTPStatusError:
    """A server's answer, as httpx raises it."""
    request = httpx.Request("GET", "http://joke-api/")
    response = httpx.Response(status, headers={"Retry-After": retry_after}, request=request)
    return httpx.HTTPStatusError(f"{status}", request=request, response=response)


async def failed(app: Afresh, conn: Connection, error: BaseException, runs: int = 1, **options: Any) -> list[Row]:
    """The recorded attempts of a job that fails so each time it runs."""

    @task(name="fails", **options)
    async def fails() -> None:
        raise error

    job_id = await fails.defer_async()
    for _ in range(runs):
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")
        await work_off(app)
    return await attempts(conn, job_id)


# --- counts and waits


async def test_the_waits_of_the_env_file(open_app: OpenApp, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """MAX_RETRIES=5 RETRY_BASE_DELAY=2 RETRY_MAX_DELAY=300 RETRY_JITTER=none: the job's own times are exact."""
    named = {"MAX_RETRIES": "5", "RETRY_BASE_DELAY": "2", "RETRY_MAX_DELAY": "300", "RETRY_JITTER": "none"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    app = await open_app(retry=read_settings().retry)

    @task(name="fails", retry=ExponentialBackoff.from_env())
    async def fails() -> None:
        raise ConnectionRefusedError

    job_id = await fails.defer_async()
    for seconds in (2, 4, 8, 16, 32):
        await work_off(app)
        latest, row = (await attempts(conn, job_id))[-1], await job(conn, job_id)
        assert row["scheduled_at"] == latest["next_run_at"] == latest["ended_at"] + timedelta(seconds=seconds)
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
    await work_off(app)
    assert [each["decision"] for each in await attempts(conn, job_id)] == ["retry"] * 5 + ["dead_letter"]


async def test_what_is_stored_is_what_was_decided(queue_app: Afresh, conn: Connection):
    """The stored decision, jitter included, can be drawn again from the job's id and attempt, to the microsecond."""
    error = ConnectionRefusedError(111, "Connection refused")
    (row,) = await failed(queue_app, conn, error)
    drawn = decide(
        classify(error, Context(task_name="fails")),
        error,
        attempts=0,
        tier=queue_app.engine.by_type,
        limits=JobLimits(),
        now=row["ended_at"],
        rng=rng_for(row["job_id"], 0),
    )
    assert isinstance(drawn, Retry)
    assert drawn.delay.microseconds
    assert (row["delay"], row["next_run_at"]) == (drawn.delay, drawn.at)
    assert (await job(conn, row["job_id"]))["scheduled_at"] == drawn.at
    assert (row["explanation"], row["reason"]) == (as_json(drawn.explanation), line(drawn.explanation))
    assert "policy exponential 60 s ×2, 1st retry of 3 → 60 s · proportional jitter → " in row["reason"]


# --- hints


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_hint_is_a_floor_in_both_forms(open_app: OpenApp, conn: Connection, form: str):
    """A server that says ten minutes is not called sooner, though the policy would; the attempt counts."""
    app = await open_app(retry=EXACT)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
    said = "600" if form == "seconds" else format_datetime(until, usegmt=True)
    (row,) = await failed(app, conn, answered(503, said), retry=ExponentialBackoff.from_env())
    if form == "seconds":
        assert row["delay"] == timedelta(seconds=600)
    else:
        assert row["next_run_at"] == until
    assert (row["counted"], row["decision"]) == (True, "retry")
    assert "retry-after" in row["reason"]


async def test_a_hint_is_clamped(open_app: OpenApp, conn: Connection):
    """A server that says a month is believed for a day."""
    app = await open_app(retry=EXACT)
    (row,) = await failed(app, conn, answered(503, "2592000"))
    assert row["delay"] == timedelta(days=1)


async def test_a_rate_limits_hint_costs_nothing(open_app: OpenApp, conn: Connection):
    """A rate limit that names a time is waited for, again and again, without an attempt spent."""
    app = await open_app(retry=EXACT)
    found = await failed(app, conn, answered(429, "45"), runs=3, retry=ExponentialBackoff.from_env(max_retries=1))
    assert [(row["outcome"], row["counted"], row["delay"].total_seconds()) for row in found] == [
        ("snoozed", False, 45)
    ] * 3
    assert (await job(conn, found[0]["job_id"]))["attempts"] == 0


async def test_a_foreign_strategy_hears_no_hint(queue_app: Afresh, conn: Connection):
    """Procrastinate's strategy decides alone, whatever the server asks for."""
    (row,) = await failed(queue_app, conn, answered(429, "600"), retry=RetryStrategy(max_attempts=2, wait=7))
    assert (row["counted"], round(row["delay"].total_seconds())) == (True, 7)


# --- what people say


@pytest.mark.parametrize(
    ("error", "decision"),
    [(TimeoutError(), "retry"), (ValueError(), "retry"), (ConnectionResetError(), "dead_letter"),
     (ConnectionRefusedError(), "dead_letter")],
)  # fmt: skip
async def test_classes_that_are_named(queue_app: Afresh, conn: Connection, error: Exception, decision: str):
    """retry_on lifts the veto and narrows, give_up_on wins over it."""
    named = ExponentialBackoff(retry_on=(TimeoutError, ValueError, ConnectionResetError), give_up_on=(ConnectionError,))
    (row,) = await failed(queue_app, conn, error, retry=named)
    assert row["decision"] == decision


async def test_a_rule_in_code(queue_app: Afresh, conn: Connection):
    """A failure_rule decides for the jobs of every worker that imports it."""
    failure_rule(RuledError)(lambda _: FailureType.PERMANENT_CONFLICT)
    (row,) = await failed(queue_app, conn, RuledError())
    assert (row["failure_type"], row["confidence"], row["decision"]) == ("PERMANENT_CONFLICT", 1.0, "dead_letter")


async def test_a_rule_in_the_settings(open_app: OpenApp, conn: Connection):
    """FAILURE_RULES decides for jobs as well."""
    app = await open_app(retry=RetrySettings(failure_rules=f"{__name__}.BusyError=TRANSIENT_RESOURCE"))
    (row,) = await failed(app, conn, BusyError("data"))
    assert (row["failure_type"], row["decision"]) == ("TRANSIENT_RESOURCE", "retry")
    assert row["evidence"][0]["rule"] == f"user.{__name__}.BusyError"


# --- repetition


async def test_a_job_remembers_its_failures(queue_app: Afresh, conn: Connection):
    """From the third time on, a name that cannot be resolved is a setting; until then it is less and less transient."""
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    found = await failed(queue_app, conn, error, runs=3)
    assert [row["failure_type"] for row in found] == ["TRANSIENT_NETWORK"] * 2 + ["CONFIG_MISSING_SETTING"]
    assert found[1]["confidence"] == pytest.approx(0.9 * found[0]["confidence"], abs=0.001)
    assert found[2]["decision"] == "dead_letter"


async def test_reasons_of_a_job(queue_app: Afresh, conn: Connection):
    """What the guide has people type tells the same line as the attempt."""
    found = await failed(queue_app, conn, ConnectionRefusedError(111, "Connection refused"), runs=2)
    told = await rows(conn, "SELECT reason FROM afresh.attempts ORDER BY attempt")
    assert [row["reason"] for row in told] == [row["reason"] for row in found]
    assert "2nd retry of 3 → 120 s" in found[1]["reason"]


@pytest.mark.parametrize(("waited", "decision"), [(0, "snooze"), (10**6, "dead_letter")])
async def test_waited_as_another_version_knows(open_app: OpenApp, conn: Connection, waited: int, decision: str):
    """After a version is taken back, a wait for a reason that only that one knew counts nowhere; the others do."""
    app = await open_app()

    @task(name="fails")
    async def fails() -> None:
        raise answered(429, "60")

    job_id = await fails.defer_async()
    await conn.execute(
        "INSERT INTO afresh.job_option (job_id, waited) VALUES (%s, %s)"
        " ON CONFLICT (job_id) DO UPDATE SET waited = excluded.waited",
        (job_id, f'{{"moonlight": 1000000, "rate_limit": {waited}}}'),
    )
    await work_off(app)
    assert [each["decision"] for each in await attempts(conn, job_id)] == [decision]
