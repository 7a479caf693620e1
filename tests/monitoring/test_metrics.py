"""What is counted, and under which names."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app import telemetry
from app.config import SubmissionSettings
from app.config.values import TaskType
from app.monitoring.gauges import ClusterGauges
from app.monitoring.labels import MOST_ERROR_TYPES, MOST_OPERATIONS
from app.monitoring.metrics import Metrics
from app.queue.app import create
from app.retry.breaker.states import State, Transition
from app.retry.policy import DeadLetter, DeathCause, Retry, Snooze, SnoozeReason
from app.retrying import retrying
from app.telemetry import Attempt, emit

from ..application import NOWHERE, settings_for
from .samples import FAILURE, NOW, RETRY

DEAD = DeadLetter(DeathCause.RETRIES_SPENT, ())
NAME = "sample.add"
JOKE = "app.tasks.jokes.fetch_and_cache_joke"
JOB = Attempt(NAME, 1, 4, job_id=7, queue="sums")
LABELS = {"task_name": NAME, "operation_type": "untyped"}


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """Metrics of an app that has the sample tasks, listening."""
    submission = SubmissionSettings(task_types={"invoice": TaskType(4, "invoices")})
    app = create(settings_for(NOWHERE, submission=submission))
    app.perform_import_paths()
    made = Metrics(app)
    with made.listening():
        yield made


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One number, as it is served; None: there is no such series."""
    return metrics.registry.get_sample_value(name, labels)


def failed(attempt: Attempt, exception_type: str = "httpx.ConnectError", decision: Retry | DeadLetter = RETRY) -> None:
    """Have an attempt fail."""
    failure = FAILURE._replace(exception_type=exception_type)
    emit(telemetry.AttemptFailed(attempt, 0.3, failure, decision, "because"))


def names_in(metrics: Metrics, family: str, label: str) -> set[str]:
    """The values of a label."""
    text = metrics.rendered(None)[1].decode()
    return {
        sample.labels[label]
        for each in text_string_to_metric_families(text)
        for sample in each.samples
        if sample.name == family
    }


def test_success(metrics: Metrics):
    """A success counts as an attempt that ended, as a success, and in the histogram of durations."""
    emit(telemetry.AttemptSucceeded(JOB, 0.02))
    assert value(metrics, "background_tasks_total", **LABELS) == 1
    assert value(metrics, "background_tasks_success_total", **LABELS) == 1
    assert value(metrics, "background_task_duration_seconds_count", **LABELS) == 1
    assert value(metrics, "background_task_duration_seconds_sum", **LABELS) == 0.02
    counts = [value(metrics, "background_task_duration_seconds_bucket", le=le, **LABELS) for le in ("0.01", "0.025")]
    assert counts == [0, 1]


def test_failure(metrics: Metrics):
    """A failure counts by the exception, and a retry where one follows; by failure type, too."""
    failed(JOB)
    failed(JOB, decision=DEAD)
    assert value(metrics, "background_tasks_total", **LABELS) == 2
    assert value(metrics, "background_tasks_success_total", **LABELS) == 0
    assert value(metrics, "background_tasks_failed_total", error_type="httpx.ConnectError", **LABELS) == 2
    assert value(metrics, "background_task_retries_total", **LABELS) == 1
    by_type = {"failure_type": "TRANSIENT_NETWORK", "decision": "dead_letter"}
    assert value(metrics, "afresh_failures_total", **by_type) == 1


def test_other_ends(metrics: Metrics):
    """What was asked to end has ended, with neither success nor failure; what waits has not."""
    emit(telemetry.AttemptAborted(JOB, 0.1))
    snooze = Snooze(NOW, timedelta(minutes=1), SnoozeReason.BUDGET, ())
    emit(telemetry.AttemptSnoozed(JOB, 0.1, snooze, "because"))
    assert value(metrics, "background_tasks_total", **LABELS) == 1
    assert value(metrics, "background_task_duration_seconds_count", **LABELS) == 0
    assert value(metrics, "afresh_snoozes_total", task_name=NAME, reason=SnoozeReason.BUDGET.value) == 1


def test_what_is_rare(metrics: Metrics):
    """Burials, rescues, late results, breakers, outages and overload are counted under their own names."""
    for event in (
        telemetry.JobBuried(JOB, DeathCause.PERMANENT, "because"),
        telemetry.JobRescued(JOB, 1, 3),
        telemetry.OwnershipLost(JOB),
        telemetry.BreakerMoved(Transition("joke-api", 1, State.CLOSED, State.OPEN, NOW, "because")),
        telemetry.DatabaseLost("gone"),
        telemetry.WorkerOverloaded("w", 90.0, 1.0),
    ):
        emit(event)
    assert value(metrics, "afresh_jobs_buried_total", task_name=NAME, cause="permanent") == 1
    assert value(metrics, "afresh_rescues_total", task_name=NAME) == 1
    assert value(metrics, "afresh_ownership_lost_total", task_name=NAME) == 1
    assert value(metrics, "afresh_breaker_transitions_total", dependency="joke-api", state="open") == 1
    assert (value(metrics, "afresh_database_up"), value(metrics, "afresh_database_outages_total")) == (0, 1)
    assert value(metrics, "afresh_worker_overloaded") == 1
    emit(telemetry.DatabaseBack(1.0))
    emit(telemetry.WorkerRelieved("w", 10.0, 1.0))
    assert (value(metrics, "afresh_database_up"), value(metrics, "afresh_worker_overloaded")) == (1, 0)


def test_groups(metrics: Metrics):
    """Claims and settlements are told by their sizes, one observation for each group."""
    emit(telemetry.JobsClaimed(50))
    emit(telemetry.JobsSettled(3))
    assert value(metrics, "afresh_claim_batch_size_sum") == 50
    assert value(metrics, "afresh_settle_batch_size_bucket", le="5.0") == 1


def test_tasks_begin_at_zero(metrics: Metrics):
    """A task that has not run yet is there, so that its first run is an increase."""
    assert value(metrics, "background_tasks_total", task_name="sample.greet", operation_type="untyped") == 0
    assert value(metrics, "background_tasks_total", task_name=JOKE, operation_type="api") == 0


def test_unknown_tasks_are_folded(metrics: Metrics):
    """However many names of tasks clients make up, they are one series."""
    for number in range(50):
        emit(telemetry.AttemptSucceeded(JOB._replace(task_name=f"made.up.{number}"), 0.1))
        emit(telemetry.JobRescued(JOB._replace(task_name=f"made.up.{number}"), 1, 3))
    assert value(metrics, "background_tasks_total", task_name="other", operation_type="untyped") == 50
    assert value(metrics, "afresh_rescues_total", task_name="other") == 50
    assert not [name for name in names_in(metrics, "background_tasks_total", "task_name") if name.startswith("made")]


def test_unknown_kinds_are_folded(metrics: Metrics):
    """A kind of work that neither a task nor a setting declares is `other`; those that they do are told."""
    for kind in ("invoice", "email", "api", *(f"made-up-{number}" for number in range(50))):
        emit(telemetry.AttemptSucceeded(JOB._replace(operation_type=kind), 0.1))
    counts = {
        kind: value(metrics, "background_tasks_total", task_name=NAME, operation_type=kind)
        for kind in ("invoice", "email", "api", "other")
    }
    assert counts == {"invoice": 1, "email": 1, "api": 1, "other": 50}


def test_error_types_are_bounded(metrics: Metrics):
    """Classes of exceptions that are made at run time do not make series without end; the sum stays true."""
    for number in range(3 * MOST_ERROR_TYPES):
        failed(JOB, f"made.up.Error{number}")
    told = names_in(metrics, "background_tasks_failed_total", "error_type")
    assert len(told) == MOST_ERROR_TYPES + 1
    assert value(metrics, "background_tasks_failed_total", error_type="other", **LABELS) == 2 * MOST_ERROR_TYPES


def test_operations_are_bounded(metrics: Metrics):
    """Names of operations that are made up at run time are folded after the first hundred."""
    for number in range(2 * MOST_OPERATIONS):
        with next(iter(retrying(operation_name=f"charge customer {number}"))):
            pass
    told = [name for name in names_in(metrics, "background_tasks_total", "task_name") if name.startswith("charge")]
    assert len(told) == MOST_OPERATIONS
    assert value(metrics, "background_tasks_total", task_name="other", operation_type="untyped") == MOST_OPERATIONS


def test_retrying_is_counted(metrics: Metrics):
    """Code that is not queued is counted as tasks are, under its operation type, and is active while it runs."""
    labels = {"task_name": "charge card", "operation_type": "payment"}
    numbers = count(1)

    @retrying(max_retries=2, initial_delay=0.0, jitter="none", operation_name="charge card", operation_type="payment")
    def charge() -> None:
        assert value(metrics, "background_tasks_active", **labels) == 1
        if next(numbers) == 1:
            raise ConnectionResetError

    charge()
    assert value(metrics, "background_tasks_active", **labels) == 0
    assert value(metrics, "background_tasks_total", **labels) == 2
    assert value(metrics, "background_tasks_success_total", **labels) == 1
    assert value(metrics, "background_task_retries_total", **labels) == 1
    assert value(metrics, "background_tasks_failed_total", error_type="ConnectionResetError", **labels) == 1


def test_not_tracked(metrics: Metrics):
    """With `track_metrics=False` nothing is counted, of jobs as of code that is not queued."""
    unseen = JOB._replace(track_metrics=False)
    emit(telemetry.AttemptSucceeded(unseen, 0.1))
    failed(unseen)
    with next(iter(retrying(operation_name="unseen", track_metrics=False))):
        pass
    assert value(metrics, "background_tasks_total", **LABELS) == 0
    assert value(metrics, "background_tasks_total", task_name="unseen", operation_type="untyped") is None


def test_what_users_count(metrics: Metrics):
    """What a user's task counts with the library is served beside ours, and what it knows of the process."""
    mine = Counter("users_letters", "Of a user's own.")
    try:
        mine.inc()
        assert value(metrics, "users_letters_total") == 1
        assert value(metrics, "process_start_time_seconds")
    finally:
        REGISTRY.unregister(mine)


def test_budget(metrics: Metrics):
    """What is left of a dependency's budget is told under its name."""
    app = metrics._app
    app.dependencies.worked(app.dependencies.call("joke-api", 1))
    assert value(metrics, "afresh_retry_budget_tokens", dependency="joke-api") == 50


def table(title: str) -> dict[str, tuple[str, list[str]]]:
    """A table of the guide: of each metric its kind and its labels."""
    text = (Path(__file__).parents[2] / "docs" / "guide" / "monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(rf"<!-- {title} -->\n(.*?)<!-- /{title} -->", text, re.DOTALL)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {
        cell[0].strip("`"): (cell[1].partition(",")[0], sorted(filter(None, cell[2].split(", ")))) for cell in cells
    }


def served(collected: Iterable[Metric]) -> dict[str, tuple[str, list[str]]]:
    """The same of what is collected."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            sorted({label for sample in family.samples for label in sample.labels if label != "le"}),
        )
        for family in collected
    }


def test_the_guide_s_table_of_attempts(metrics: Metrics):
    """The guide tells each metric that a worker serves, with its kind and labels, and no other."""
    for event in (
        telemetry.JobBuried(JOB, DeathCause.PERMANENT, "because"),
        telemetry.AttemptSnoozed(JOB, 0.1, Snooze(NOW, timedelta(minutes=1), SnoozeReason.BUDGET, ()), "because"),
        telemetry.BreakerMoved(Transition("joke-api", 1, State.CLOSED, State.OPEN, NOW, "because")),
    ):
        emit(event)
    failed(JOB)
    app = metrics._app
    app.dependencies.worked(app.dependencies.call("joke-api", 1))
    others = {each.name for each in REGISTRY.collect()}
    assert table("attempts") == served(each for each in metrics.registry.collect() if each.name not in others)


def test_the_guide_s_table_of_gauges(metrics: Metrics):
    """The guide tells each gauge of the installation, and no other."""
    gauges = ClusterGauges(metrics._app, metrics)
    gauges._found = []
    assert table("gauges") == served(gauges.collect())


@pytest.mark.parametrize("accept", [None, "application/openmetrics-text;version=1.0.0"])
def test_no_series_twice(metrics: Metrics, accept: str | None):
    """Each series is there once, in both forms."""
    emit(telemetry.AttemptSucceeded(JOB._replace(task_name="made.up"), 0.1))
    lines = metrics.rendered(accept)[1].decode().splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
