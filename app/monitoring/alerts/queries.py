"""The numbers of the rules as Prometheus knows them. The one place that names its metrics."""

from datetime import timedelta

FAILED = "background_tasks_failed_total"
SUCCEEDED = "background_tasks_success_total"
RETRIED = "background_task_retries_total"
DEAD_LETTERS = 'afresh_dead_letters{status="pending"}'
SUBMITTED = "afresh_submissions_total"
REPEATED = "afresh_idempotent_repeats_total"
BREAKERS = 'afresh_breakers{state=~"open|half_open|held"}'
CRITICAL = "afresh_dependency_critical"
QUEUE_READY = "afresh_queue_ready_jobs"
MEMORY = "afresh_host_memory_percent"
DISK = "afresh_host_disk_percent"
LOST = 'afresh_workers{state="silent"}'
RESCUES = "afresh_rescues_total"
GROUPS = 'afresh_failure_groups{status=~"new|regression"}'


def span(time: timedelta) -> str:
    """A duration as Prometheus writes it."""
    seconds = max(1, round(time.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def increase(metric: str, time: str, by: str = "", offset: str = "") -> str:
    """How much a counter has grown over all processes."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (increase({metric}[{time}]{f' offset {offset}' if offset else ''}))"


def attempts(time: str, by: str = "", offset: str = "") -> str:
    """Attempts that ran to their end. Where none failed, or none succeeded, that series does not exist yet."""
    failed, succeeded = increase(FAILED, time, by, offset), increase(SUCCEEDED, time, by, offset)
    return f"({failed} + {succeeded} or {failed} or {succeeded})"


def error_percent(time: str) -> str:
    """Share of attempts that failed."""
    return f"100 * {increase(FAILED, time)} / {attempts(time)}"


def success_percent(time: str) -> str:
    """Share of jobs that ended with success: a failure that is retried is no end."""
    ended = f"({attempts(time)} - ({increase(RETRIED, time)} or vector(0)))"
    return f"100 * ({increase(SUCCEEDED, time)} or vector(0)) / {ended}"


def ended_jobs(time: str) -> str:
    """Jobs that ended."""
    return f"{attempts(time)} - ({increase(RETRIED, time)} or vector(0))"


def submissions(time: str) -> str:
    """Submissions, those included that made nothing."""
    return f"({increase(SUBMITTED, time)} + {increase(REPEATED, time)})"


def growth(recent: str, past: str) -> str:
    """A task's failure rate, in times of its own."""
    now = f"({increase(FAILED, recent, 'task_name')} / {attempts(recent, 'task_name')})"
    before = f"({increase(FAILED, past, 'task_name', recent)} / {attempts(past, 'task_name', recent)})"
    return f"{now} / {before}"
