"""What docs/guide/procrastinate.md says about Procrastinate 3.10, held against Procrastinate itself."""

import inspect
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from procrastinate import jobs, utils
from procrastinate.retry import BaseRetryStrategy, RetryStrategy, get_retry_strategy


def job(attempts: int) -> jobs.Job:
    """A job that has had so many runs before this one."""
    return jobs.Job(id=1, queue="q", lock=None, queueing_lock=None, task_name="t", attempts=attempts)


NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Procrastinate takes for the present, so that the time it takes is no part of a wait."""
    monkeypatch.setattr(utils, "utcnow", lambda: NOW)


def waits(strategy: RetryStrategy, runs: int = 5) -> list[float]:
    """Seconds that the strategy waits after each of the first runs."""
    found = []
    for attempts in range(runs):
        decision = strategy.get_retry_decision(exception=ValueError(), job=job(attempts))
        assert decision
        assert decision.retry_at
        found.append((decision.retry_at - NOW).total_seconds())
    return found


def runs_of(strategy: BaseRetryStrategy | None, most: int = 50) -> int:
    """How often a job that always fails runs, at most `most` times."""
    assert strategy
    for attempts in range(most):
        if strategy.get_retry_decision(exception=ValueError(), job=job(attempts)) is None:
            return attempts + 1
    return most


def columns(database_url: str, table: str) -> set[str]:
    """The columns of a table."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
    with psycopg.connect(database_url) as conn:
        return {name for (name,) in conn.execute(query, (table,))}


def test_max_attempts_counts_retries():
    """`RetryStrategy(max_attempts=5)` makes 6 runs."""
    assert runs_of(RetryStrategy(max_attempts=5)) == 6


def test_zero_attempts_is_no_limit():
    """`max_attempts=0` is no limit."""
    assert runs_of(RetryStrategy(max_attempts=0)) == 50


def test_true_tries_for_ever_without_a_wait():
    """`retry=True` tries for ever, without a wait."""
    strategy = get_retry_strategy(retry=True)
    assert isinstance(strategy, RetryStrategy)
    assert runs_of(strategy) == 50
    assert waits(strategy) == [0, 0, 0, 0, 0]


def test_wait_is_constant():
    """The default `wait` does not grow."""
    assert waits(RetryStrategy(wait=5)) == [5, 5, 5, 5, 5]


def test_linear_wait_begins_with_nothing():
    """`linear_wait=5` waits 0 s at first, then 5, 10 and so on."""
    assert waits(RetryStrategy(linear_wait=5)) == [0, 5, 10, 15, 20]


def test_exponential_wait_is_a_field_of_its_own():
    """`exponential_wait` grows by powers, and is added to the other two."""
    assert waits(RetryStrategy(exponential_wait=2)) == [2, 4, 8, 16, 32]
    assert waits(RetryStrategy(wait=1, linear_wait=10, exponential_wait=2)) == [3, 15, 29, 47, 73]


def test_the_old_form_of_a_strategy_fails():
    """A strategy with `get_schedule_in(self, attempts) -> dict` fails when it is asked."""

    class Old(BaseRetryStrategy):
        def get_schedule_in(self, attempts: int) -> dict[str, int]:  # type: ignore[override]  # As older documents have it.
            return {"seconds": attempts}

    with pytest.raises(TypeError, match="exception"):
        Old().get_retry_exception(exception=ValueError(), job=job(0))


def test_the_form_of_a_strategy():
    """The form is `get_retry_decision(self, *, exception, job)`."""
    parameters = inspect.signature(BaseRetryStrategy.get_retry_decision).parameters
    kinds: dict[str, Any] = {name: each.kind for name, each in parameters.items() if name != "self"}
    assert kinds == dict.fromkeys(("exception", "job"), inspect.Parameter.KEYWORD_ONLY)


def test_events_have_no_attempts(database_url: str):
    """`procrastinate_events` has no column `attempts`; the view `afresh.attempts` has what it would say."""
    assert columns(database_url, "procrastinate_events") == {"id", "job_id", "type", "at"}
    assert {"job_id", "attempt", "outcome", "started_at"} <= columns(database_url, "attempts")


def test_jobs_have_no_start(database_url: str):
    """`procrastinate_jobs` has no column `started_at`; the view `afresh.jobs` has it."""
    assert "started_at" not in columns(database_url, "procrastinate_jobs")
    assert "started_at" in columns(database_url, "jobs")
