"""Decisions of real workers that heed earlier retries, the depth of the queue, and the dear hours."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from procrastinate import BaseRetryStrategy, RetryDecision, RetryStrategy
from procrastinate.jobs import Job

from app.config import OffPeakSettings, RetrySettings
from app.queue import adaptation, control
from app.queue.app import Afresh
from app.queue.call import Calls
from app.queue.claim import Claimed
from app.queue.submit import Submission, submit
from app.queue.task import Cost, ExponentialBackoff, task
from app.retry.failure import FailureType
from app.store.adaptation import refresh_samples, sum_put_off

from ..eventually import eventually
from ..store.history import fail
from .conftest import OpenApp
from .jobs import add, attempts, hold, job, status, value
from .workers import Gate, as_task, work_off, working

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection

KIND = FailureType.TRANSIENT_NETWORK
PEAK = OffPeakSettings(hours="0-24")
"""Whatever the time, it is peak."""


def around_now() -> OffPeakSettings:
    """It is peak for an hour and a half at least, and two hours and a half at most."""
    began = datetime.now(UTC) - timedelta(minutes=30)
    return OffPeakSettings(hours=f"{began.hour}-{(began.hour + 3) % 24 or 24}")


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(adaptation, "LOOK_SECONDS", 0.02)


def refused(**options: Any) -> Any:
    """A task that finds nobody at home."""

    async def call() -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    return task(name="tests.call", slug="call", **options)(call)


class AMinute(BaseRetryStrategy):
    """A strategy of the user's own."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:  # noqa: ARG002 - as its base.
        """A minute."""
        return RetryDecision(retry_in={"seconds": 60})


async def teach(conn: Connection, *, well: int, badly: int) -> None:
    """Retries of the task that went well, and others that did not."""
    for number in range(badly):
        for attempt, decision in ((1, "retry"), (2, "dead_letter")):
            await fail(
                conn, task="tests.call", job_id=10**6 + number, attempt=attempt, decision=decision, failure_type=KIND
            )
    await conn.execute(
        "INSERT INTO afresh.failure_hour VALUES (date_trunc('hour', now(), 'UTC'), 'tests.call', %s, 'q', 0, 0, 0, 0,"
        " %s, 0, 0, 0, interval '0', now())",
        [KIND, well],
    )
    await refresh_samples(conn)


async def crowd(app: Afresh, conn: Connection, jobs: int, **differing: Any) -> None:
    """Put other jobs into the queue, and let the app know."""
    await add(conn, jobs, queue="calls", task="nobody.knows", **differing)
    app.adaptation.meet("calls")
    await app.adaptation.refresh()


async def first_attempt(app: Afresh, conn: Connection, **options: Any) -> dict[str, Any]:
    """How the first attempt of a job of the task ended."""
    job_id = await refused(queue="calls", priority=9, **options).defer_async()
    await app.adaptation.refresh()
    async with working(app, concurrency=1):
        (row, *_) = await eventually(lambda: attempts(conn, job_id))
    return dict(row)


async def test_the_explanation_reads_like_a_sentence(open_app: OpenApp, conn: Connection):
    """The line of a real job names each influence with its numbers, in the order in which it acted."""
    app = await open_app(retry=RetrySettings(jitter="none"))
    await teach(conn, well=39, badly=6)
    await crowd(app, conn, 240)
    row = await first_attempt(app, conn)
    assert row["failure_type"] == KIND
    assert row["reason"].partition(" by ")[2].partition(" · ")[2] == (
        "policy exponential 60 s ×2, 1st retry of 3 → 60 s · 87 % of 45 such retries succeed → ×0.7 = 42 s"
        " · queue depth 240 > 100 → ×1.3 = 54.6 s"
    )
    assert row["delay"] == timedelta(seconds=54.6)
    assert [step["name"] for step in row["explanation"]] == ["failure", "policy", "learned", "load"]


async def test_retries_that_seldom_succeed_come_later(open_app: OpenApp, conn: Connection):
    """Under 30 % the delay is half as long again."""
    app = await open_app(retry=RetrySettings(jitter="none"))
    await teach(conn, well=2, badly=8)
    assert (await first_attempt(app, conn))["delay"] == timedelta(seconds=90)


async def test_nine_samples_are_too_few(open_app: OpenApp, conn: Connection):
    """Below ten samples nothing is learned."""
    app = await open_app(retry=RetrySettings(jitter="none"))
    await teach(conn, well=9, badly=0)
    assert (await first_attempt(app, conn))["delay"] == timedelta(seconds=60)


async def test_adaptation_can_be_switched_off(open_app: OpenApp, conn: Connection):
    """With ADAPTIVE_RETRY=false neither history nor depth moves a delay."""
    app = await open_app(retry=RetrySettings(jitter="none", adaptive=False))
    await teach(conn, well=39, badly=6)
    await crowd(app, conn, 240)
    assert (await first_attempt(app, conn))["delay"] == timedelta(seconds=60)


@pytest.mark.parametrize(
    "own",
    [
        ExponentialBackoff(initial_delay=timedelta(seconds=60), jitter="none"),
        RetryStrategy(max_attempts=5, wait=60),
        AMinute(),
    ],
    ids=["ours", "Procrastinate's", "the user's"],
)
async def test_a_policy_of_its_own_is_never_adapted(open_app: OpenApp, conn: Connection, own: BaseRetryStrategy):
    """Where the task brings its schedule, that is kept to, and neither samples nor the depth are so much as told."""
    app = await open_app(retry=RetrySettings(jitter="none"))
    await teach(conn, well=39, badly=6)
    await crowd(app, conn, 240)
    row = await first_attempt(app, conn, retry=own)
    assert row["next_run_at"] - row["ended_at"] == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=1))
    assert not {"learned", "load"} & {step["name"] for step in row["explanation"]}
    assert "such retries" not in row["reason"]


@pytest.mark.parametrize("held", ["queue", "dependency", "later"])
async def test_what_cannot_run_is_no_load(open_app: OpenApp, conn: Connection, held: str):
    """Jobs that are paused, held by a breaker, or of tomorrow make no queue deep."""
    app = await open_app()
    if held == "queue":
        await hold(conn, "queue", "calls")
    if held == "dependency":
        await hold(conn, "dependency", "down")
    await crowd(app, conn, 200, dependency="down" if held == "dependency" else None,
                due_in=3600 if held == "later" else None)  # fmt: skip
    assert app.adaptation.ready_jobs("calls") == 0


async def test_a_worker_learns_by_itself(open_app: OpenApp, conn: Connection, monkeypatch: pytest.MonkeyPatch):
    """A worker that runs notices what was counted anew, and how deep the queues are whose jobs it runs."""
    monkeypatch.setattr(adaptation, "SAMPLES_SECONDS", 0.05)
    app = await open_app()
    gate = Gate()  # The others wait for as long as it runs, however late they are counted.
    await task(name="tests.call", slug="call", queue="calls", priority=9)(as_task(gate)).defer_async()
    await add(conn, 150, queue="calls", task="nobody.knows", dependency="x")
    async with working(app, concurrency=1, queues=["calls"]):
        await eventually(lambda: app.adaptation.ready_jobs("calls") == 150)
        gate.open.set()
        await teach(conn, well=39, badly=6)
        await eventually(lambda: bool(app.adaptation.samples("tests.call", KIND) == (45, 39)))


# --- the dear hours


async def put_in(conn: Connection, *, cost: Cost | None = None, priority: int = 3, **options: Any) -> int:
    """A job of the task `work`, as the API puts it in."""
    return await submit(conn, Submission(task_name="work", cost=cost, priority=priority, **options))


async def working_task(**options: Any) -> list[int]:
    """Declare the task `work`; its runs are the list."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    task(name="work", slug="work", **options)(work)
    return runs


@pytest.mark.parametrize("marked", ["task", "job"])
async def test_deferrable_work_waits_until_the_peak_is_over(open_app: OpenApp, conn: Connection, marked: str):
    """A job that its task or its submitter marked does not run in the dear hours: it waits at no cost, and says why."""
    app = await open_app(off_peak=PEAK)
    runs = await working_task(cost="deferrable" if marked == "task" else "normal")
    job_id = await put_in(conn, cost="deferrable" if marked == "job" else None)
    await work_off(app)
    (row,) = await attempts(conn, job_id)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert runs == []
    assert (row["outcome"], row["counted"], row["failure_type"]) == ("snoozed", False, None)
    assert timedelta(0) <= row["next_run_at"] - midnight <= timedelta(minutes=5)
    assert row["reason"].startswith("peak hours 0\N{EN DASH}24 UTC → 00:0")
    assert (await job(conn, job_id))["attempts"] == 0
    assert await value(conn, "SELECT waited ? 'off_peak' FROM afresh.job_option WHERE job_id = %s", job_id)


@pytest.mark.parametrize(
    ("hours", "job_options"),
    [
        ("0-24", {"priority": 4}),
        ("0-24", {"cost": "normal"}),
        ("0-24", {"deadline": timedelta(minutes=1)}),
        ("quiet", {}),
    ],
    ids=["priority", "job says no", "deadline", "quiet hours"],
)
async def test_what_does_not_wait(open_app: OpenApp, conn: Connection, hours: str, job_options: dict[str, Any]):
    """Work somebody waits for, work that says so, work that would miss its deadline, and all work in quiet hours."""
    later = (datetime.now(UTC).hour + 2) % 24
    app = await open_app(off_peak=OffPeakSettings(hours=f"{later}-{later + 1}" if hours == "quiet" else hours))
    runs = await working_task(cost="deferrable")
    now = datetime.now(UTC)
    told = {name: now + each if name == "deadline" else each for name, each in job_options.items()}
    job_id = await put_in(conn, **told)
    await work_off(app)
    assert (await status(conn, job_id), runs) == ("succeeded", [1])


@pytest.mark.parametrize("asked", ["now", "at a time"])
async def test_who_asks_for_it_gets_it(open_app: OpenApp, conn: Connection, asked: str):
    """Whoever asks for a job while it waits gets it, peak or not, and it is put off no more; that run saved nothing."""
    app = await open_app(off_peak=around_now())
    runs = await working_task(cost="deferrable")
    job_id = await put_in(conn)
    await work_off(app)
    assert runs == []
    if asked == "now":
        await control.retry(conn, job_id, catalog=app.catalog, actor="me")
    else:
        await control.reschedule(conn, job_id, control.Move(run_at=datetime.now(UTC)), actor="me")
    await work_off(app)
    assert runs == [1]
    found = await sum_put_off(conn, datetime.now(UTC) - timedelta(hours=1))
    assert (found.put_off, found.runs) == (1, 0)


async def test_put_off_again(open_app: OpenApp, conn: Connection):
    """A job that wakes in the dear hours again, as one that was held over the quiet ones, waits for their end again:
    as often as it takes, up to MAX_WAIT in all. Then it runs, whatever the hour.
    """  # noqa: D205 - one sentence after the other
    app = await open_app(off_peak=around_now())
    runs = await working_task(cost="deferrable")
    job_id = await put_in(conn)
    for times in (1, 2, 3):
        await work_off(app)
        assert [row["outcome"] for row in await attempts(conn, job_id)] == ["snoozed"] * times
        assert (await job(conn, job_id))["scheduled_at"] > datetime.now(UTC) + timedelta(minutes=30)
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")  # As if it had been held for a day.
    await conn.execute("UPDATE afresh.job_option SET waited = '{\"off_peak\": 86000}'")
    await work_off(app)
    assert (runs, len(await attempts(conn, job_id)), await status(conn, job_id)) == ([1], 3, "succeeded")


@pytest.mark.parametrize(
    ("moment", "waited_hours", "until"),
    [
        ("2026-03-01T21:59", 0, None),
        ("2026-03-01T23:00", 0, "2026-03-02T06:00"),
        ("2026-03-02T05:59", 0, "2026-03-02T06:00"),
        ("2026-03-02T06:00", 7, None),
        ("2026-03-02T22:30", 7, "2026-03-03T06:00"),
        ("2026-03-03T22:30", 16.5, "2026-03-04T06:00"),
        ("2026-03-04T22:30", 16.6, None),
    ],
    ids=["before", "first", "its last minute", "after", "the next night", "just within MAX_WAIT", "beyond MAX_WAIT"],
)
async def test_dear_hours_over_midnight(open_app: OpenApp, moment: str, waited_hours: float, until: str | None):
    """Hours that end on the next day are waited for until then, and those of the next night again."""
    app = await open_app(off_peak=OffPeakSettings(hours="22-6"))
    await working_task(cost="deferrable")
    given = Job(id=1, queue="q", task_name="work", lock=None, queueing_lock=None, priority=3)
    waited = {"off_peak": waited_hours * 3600} if waited_hours else None
    claimed = Claimed(given, claim=1, job_id=1, waited=waited)
    prepared = Calls(app, app._worker()).prepare("work")
    assert prepared is not None
    decision = app.adaptation.put_off(claimed, prepared, at(moment))
    assert (decision is not None) is (until is not None)
    if decision is not None and until is not None:
        assert timedelta(0) <= decision.at - at(until) <= timedelta(minutes=5)


async def test_a_foreign_strategy_says_when(open_app: OpenApp, conn: Connection):
    """A retry that a foreign strategy planned into the dear hours runs in them; the first run waits as any other."""
    app = await open_app(off_peak=around_now())
    job_id = await refused(cost="deferrable", priority=3, retry=RetryStrategy(max_attempts=2, wait=0)).defer_async()
    await work_off(app)
    assert [row["outcome"] for row in await attempts(conn, job_id)] == ["snoozed"]
    await conn.execute("UPDATE procrastinate_jobs SET attempts = 1, scheduled_at = now()")
    await work_off(app)
    assert [row["outcome"] for row in await attempts(conn, job_id)] == ["snoozed", "failed", "failed"]


async def test_retries_wait_too(open_app: OpenApp, conn: Connection):
    """A retry of deferrable work is planned for the quiet hours, and its attempt counts."""
    app = await open_app(off_peak=PEAK)
    job_id = await refused(cost="deferrable", priority=3).defer_async()
    waited = "INSERT INTO afresh.job_option (job_id, waited) VALUES (%s, '{\"off_peak\": 86400}')"
    await conn.execute(waited, [job_id])  # All that MAX_WAIT allows: it runs.
    await work_off(app)
    (row,) = await attempts(conn, job_id)
    assert (row["decision"], row["counted"]) == ("retry", True)
    assert "peak hours" in row["reason"]
