"""What the rules are judged by: numbers out of samples and present states, each with its cause in words."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from ...queue.app import Afresh
from ...queue.task import options_of
from ...retry.words import duration
from ...store import alerts, samples
from ...store.adaptation import count_ready_by_queue
from ...store.dead_letters import sum_letters
from ...store.hosts import ApiHost, list_hosts
from ...store.queues import CLOSELY, list_queues
from ...store.samples import MINUTE, Span, TaskPast, TaskWork
from ...store.workers import Worker, hosts_of
from . import rules
from .clocked import is_clocked
from .growth import Hour, Past, compare, is_enough
from .losses import losses, read_workers
from .rule import Reading

MENTIONED = 3
"""Tasks that a cause names."""


class HandedIn(NamedTuple):
    """Jobs that were handed in within some time, however: over HTTP, from Python, by the clock of somebody's own.

    Attributes:
        submissions: Those that were made, and the repeats.
        repeats: Those that an Idempotency-Key kept from being made again.
    """

    submissions: int
    repeats: int


class Window(NamedTuple):
    """What became of jobs within the time over which rates are taken."""

    seconds: float
    tasks: Sequence[TaskWork]
    handed_in: HandedIn


A_MINUTE = timedelta(seconds=MINUTE)


async def observe(
    app: Afresh,
    conn: AsyncConnection[Any],
    *,
    now: datetime,
    looked: datetime | None = None,
    resumed: datetime | None = None,
) -> list[Reading]:
    """Read everything that a rule needs.

    Rates end with the last minute that is sampled: the sample of the present look may be taken after it, and where none
    are taken any more, what they said last stands.

    Args:
        app: Whose tasks, dependencies and settings.
        conn: Where to look.
        now: The time of the look.
        looked: The time of the look before; None: there was none.
        resumed: When the last maintenance window ended. What happened before opens nothing; what is still so, does.
    """
    span = await window_of(app, conn, now=now, resumed=resumed)
    tasks, handed_in = await samples.read_tasks(conn, span), await read_handed_in(conn, span)
    window = Window((span.until - span.since).total_seconds(), tasks, handed_in)
    workers = await read_workers(conn, stalled_after=app.settings.worker.stalled_after, now=now, looked=looked)
    groups = await alerts.find_restless_groups(
        conn, new_since=now - rules.GROUP_NEW, quiet_since=now - rules.GROUP_QUIET
    )
    return [
        *rates(window),
        *await _dead_letters(conn),
        *await _queues(app, conn),
        *breakers(await alerts.find_open_breakers(conn), critical_dependencies(app), now),
        *machines(workers, await list_hosts(conn)),
        *overloads(workers),
        *losses(workers, now, looked=looked, resumed=resumed),
        *(restless(group, resumed) for group in groups),
        *await _growth(app, conn, span.until, resumed),
    ]


async def window_of(app: Afresh, conn: AsyncConnection[Any], *, now: datetime, resumed: datetime | None) -> Span:
    """The time over which rates are taken: ALERT_WINDOW up to the last minute that is sampled, and none of a window."""
    minute, sampled = _floor(now), await samples.last_sampled(conn)
    if sampled is not None:
        minute = min(minute, sampled + A_MINUTE)
    return Span(_since(minute - app.settings.alert.window, resumed), minute, MINUTE)


async def read_handed_in(conn: AsyncConnection[Any], span: Span) -> HandedIn:
    """What was handed in within a time, but what the clock defers for the service itself."""
    points = await samples.read_service(conn, span)
    repeats = sum(point.repeats for point in points)
    return HandedIn(repeats + sum(point.submitted for point in points), repeats)


def _floor(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _since(time: datetime, resumed: datetime | None) -> datetime:
    """A time, or the first whole minute after a maintenance window if that is later."""
    return time if resumed is None else max(time, _floor(resumed - timedelta.resolution) + A_MINUTE)


def _is_before(time: datetime, resumed: datetime | None) -> bool:
    return resumed is not None and time < resumed


def rates(window: Window) -> Iterator[Reading]:
    """What share of attempts failed, of jobs succeeded, and of submissions were repeats."""
    if window.seconds <= 0:  # Nothing is sampled yet since a maintenance window.
        for rule in (rules.ERROR_RATE, rules.SUCCESS_RATE, rules.DUPLICATE_RATE):
            yield Reading(rule, "", 0, "", keeps=True)
        return
    over, tasks = duration(window.seconds), [task for task in window.tasks if not is_clocked(task.task_name)]
    attempts, failed = sum(task.attempts for task in tasks), sum(task.failed for task in tasks)
    ended, buried = sum(task.ended for task in tasks), sum(task.buried for task in tasks)
    if attempts:
        most = _most((task.task_name, task.failed, task.attempts) for task in tasks)
        detail = f"{failed:,} of {attempts:,} attempts failed within {over}{most}"
        yield Reading(rules.ERROR_RATE, "", 100 * failed / attempts, detail, attempts)
    if ended:
        most = _most((task.task_name, task.buried, task.ended) for task in tasks)
        detail = f"{buried:,} of {ended:,} jobs that ended within {over} are dead letters{most}"
        yield Reading(rules.SUCCESS_RATE, "", 100 * (ended - buried) / ended, detail, ended)
    asked, repeats = window.handed_in
    if asked:
        detail = f"{repeats:,} of {asked:,} submissions within {over} repeat an earlier one"
        yield Reading(rules.DUPLICATE_RATE, "", 100 * repeats / asked, detail, asked)


def _most(counts: Iterable[tuple[str, int, int]]) -> str:
    """Those with the most, in words."""
    worst = sorted((each for each in counts if each[1]), key=lambda each: (-each[1], each[0]))[:MENTIONED]
    return f": {', '.join(f'{name} {count:,} of {all_:,}' for name, count, all_ in worst)}" if worst else ""


async def _dead_letters(conn: AsyncConnection[Any]) -> list[Reading]:
    by_task = await sum_letters(conn, {"task": "task_name"})
    pending = {row["name"]: int(row["letters"]) for row in by_task["task"] if row["status"] == "pending"}
    total = sum(pending.values())
    worst = sorted(pending, key=lambda name: (-pending[name], name))[:MENTIONED]
    named = f": {', '.join(f'{name} {pending[name]:,}' for name in worst)}" if worst else ""
    return [Reading(rules.DEAD_LETTERS, "", total, f"{total:,} dead letters are pending{named}")]


async def _queues(app: Afresh, conn: AsyncConnection[Any]) -> list[Reading]:
    found = []
    # What is a warning, and what is critical, must be in reach.
    most = max(CLOSELY.counted, 1 + max(app.settings.submission.max_queue_size, app.settings.alert.queue_size))
    waiting = await count_ready_by_queue(conn, own=app.own_dependencies(), most=most)
    for depth in await list_queues(conn):
        ready = waiting.get(depth.name, 0)
        eta = depth.seconds_to_empty()
        until = f"; empty in {duration(round(eta))} at this pace" if eta else "; it does not get shorter"
        at_least = "at least " if ready >= most else ""
        detail = f"{at_least}{ready:,} jobs of {depth.name} could run, {depth.running:,} run{until if ready else ''}"
        found.append(Reading(rules.QUEUE_SIZE, depth.name, ready, detail))
    return found


def critical_dependencies(app: Afresh) -> frozenset[str]:
    """Dependencies of tasks that are critical."""
    options = [options_of(task) for task in app.tasks.values()]
    return frozenset(each.depends_on for each in options if each.critical and each.depends_on)


def breakers(found: Iterable[alerts.BreakerRow], critical: frozenset[str], now: datetime) -> Iterator[Reading]:
    """Dependencies that are not called: 1, or 2 where a critical task relies on one."""
    for each in found:
        since = f" for {duration(max(0, round((now - each.changed_at).total_seconds())))}" if each.changed_at else ""
        detail = f"its breaker is {each.state.replace('_', '-')}{since}: {each.cause}"
        yield Reading(rules.BREAKER_OPEN, each.name, 2 if each.name in critical else 1, detail)


def machines(workers: Iterable[Worker], servers: Iterable[ApiHost] = ()) -> Iterator[Reading]:
    """How full the hosts of workers and of API processes are; where they do not agree, the fullest."""
    fullest: dict[str, tuple[float, float]] = {}
    of_workers = ((each.name, each.memory_percent, each.disk_percent) for each in hosts_of(workers))
    for host, memory, disk in (*of_workers, *servers):
        known = fullest.get(host, (0.0, 0.0))
        fullest[host] = max(memory, known[0]), max(disk, known[1])
    for host, (memory, disk) in fullest.items():
        yield Reading(rules.MEMORY, host, memory, f"{memory:.0f} % of the memory of {host} is in use")
        yield Reading(rules.DISK, host, disk, f"{disk:.0f} % of a disk of {host} is in use")


def overloads(workers: Iterable[Worker]) -> Iterator[Reading]:
    """Workers that live and take no jobs, as their machine is too full: 1, or 2 where no other takes any."""
    living = [each for each in workers if each.lives]
    alone = all(each.overloaded for each in living)
    for worker in living:
        if worker.overloaded:
            load = f"memory {worker.host_memory_percent or 0:.0f} %, CPU {worker.host_cpu_percent or 0:.0f} %"
            detail = f"its machine is too full for more jobs: {load}{'; no worker takes jobs' if alone else ''}"
            yield Reading(rules.WORKER_OVERLOADED, str(worker), 2 if alone else 1, detail)


def restless(group: alerts.GroupRow, resumed: datetime | None = None) -> Reading:
    """A failure group that is new, or has come back."""
    what = "has come back" if group.status == "regression" else "is new"
    said = " ".join(filter(None, (group.exception_type, (group.message or "").partition("\n")[0][:200])))
    detail = f"{group.failure_type} {what}: {said} · {group.failures:,} times in {', '.join(group.tasks[:MENTIONED])}"
    return Reading(rules.FAILURE_GROUP, group.fingerprint, 1, detail, keeps=_is_before(group.last_seen, resumed))


async def _growth(app: Afresh, conn: AsyncConnection[Any], minute: datetime, resumed: datetime | None) -> list[Reading]:
    """The last sixty minutes of each task beside its hours before them, which are read only of tasks that fail."""
    recent, least = _since(minute - rules.RECENT, resumed), app.settings.alert.least_attempts
    hour = recent.replace(minute=0)
    tasks = await samples.read_tasks(conn, Span(recent, minute, MINUTE))
    failing = [task.task_name for task in tasks if is_enough(Hour(task.attempts, task.failed), least=least)]
    past = await samples.read_past_of_tasks(conn, failing, hour - rules.PAST, hour)
    return [_grown(task, past.get(task.task_name), least=least) for task in tasks]


def _grown(task: TaskWork, past: TaskPast | None, *, least: int) -> Reading:
    """What chance explains, and whoever is new, is as it always was: 1."""
    within = duration(rules.RECENT.total_seconds())
    seen = f"{task.failed:,} of {task.attempts:,} attempts failed within {within}"
    before = Past(0, 0, 0, 0.0) if past is None else Past(past.hours, past.attempts, past.failed, past.squares)
    growth = compare(Hour(task.attempts, task.failed), before, least=least)
    if growth is None:
        return Reading(rules.FAILURE_GROWTH, task.task_name, 1.0, seen, task.attempts)
    usual = f"in the past week {100 * growth.usual:.3g} %: {growth.ratio:.1f} times as often"
    value = growth.ratio if growth.is_certain else 1.0
    detail = f"{seen} ({100 * growth.rate:.3g} %), {usual}"
    return Reading(rules.FAILURE_GROWTH, task.task_name, value, detail, task.attempts)
