"""The numbers of the rules as Prometheus knows them. The one place that names its metrics."""

from datetime import timedelta

from .clocked import all_others
from .growth import LEAST_BEFORE

FINISHED = "background_task_duration_seconds_count"
"""Attempts that succeeded or failed. Failures are those of them that did not succeed: the counter of failures has a
series for each exception, which begins when it is first met, and Prometheus sees no increase in what begins."""

SUCCEEDED = "background_tasks_success_total"
BURIED = "afresh_jobs_buried_total"
DEAD_LETTERS = 'afresh_dead_letters{status="pending"}'
SUBMITTED = "afresh_recent_submissions"
REPEATED = "afresh_recent_repeats"
BREAKERS = 'afresh_breakers{state=~"open|half_open|held"}'
CRITICAL = "afresh_dependency_critical"
QUEUE_READY = "afresh_queue_ready_jobs"
MEMORY = "afresh_host_memory_percent"
DISK = "afresh_host_disk_percent"
ALIVE = 'afresh_workers{state="alive"}'
OVERLOADED = 'afresh_workers{state="overloaded"}'
LOST = 'afresh_workers{state="lost"}'
STOPPED = "afresh_monitoring_stopped"
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


def work(*metrics: str) -> str:
    """Counters of tasks that are not the clock's, under any of these names; no two of them have the same labels."""
    if len(metrics) == 1:
        return f"{metrics[0]}{{{all_others()}}}"
    return f'{{__name__=~"{"|".join(metrics)}", {all_others()}}}'


def attempts(time: str, by: str = "", offset: str = "") -> str:
    """Attempts that succeeded or failed. By task each is judged for itself, those of the clock, too."""
    return increase(FINISHED if by else work(FINISHED), time, by, offset)


def failures(time: str, by: str = "", offset: str = "") -> str:
    """Those of them that failed."""
    succeeded = increase(SUCCEEDED if by else work(SUCCEEDED), time, by, offset)
    return f"({attempts(time, by, offset)} - {succeeded})"


def error_percent(time: str) -> str:
    """Share of attempts that failed."""
    return f"100 * {failures(time)} / {attempts(time)}"


def success_percent(time: str) -> str:
    """Share of jobs that ended with success: a failure that is retried is no end."""
    return f"100 * ({increase(work(SUCCEEDED), time)} or vector(0)) / {ended_jobs(time)}"


def ended_jobs(time: str) -> str:
    """Jobs that succeeded, and those that became dead letters."""
    return increase(work(SUCCEEDED, BURIED), time)


def duplicate_percent() -> str:
    """Share of submissions that repeat an earlier one. Jobs are made in many processes; the database knows of all."""
    return f"100 * max({REPEATED}) / {submissions()}"


def submissions() -> str:
    """Jobs that were handed in within ALERT_WINDOW, and those that a key kept from being made again."""
    return f"max({SUBMITTED})"


def growth(recent: str, past: str) -> str:
    """A task's failure rate, in times of its own; where that is known. As growth.py has it, but for chance."""
    by = "task_name"
    before = attempts(past, by, recent)
    now = f"{failures(recent, by)} / {attempts(recent, by)}"
    return f"({now}) / (({failures(past, by, recent)} + 0.5) / (({before} >= {LEAST_BEFORE}) + 1))"


def stopped(reach: timedelta) -> str:
    """Whether there is a maintenance window, or was within what a number reaches back to."""
    seen = f"max_over_time({STOPPED}[{span(reach)}])" if reach else STOPPED
    return f"max({seen}) == 1"
