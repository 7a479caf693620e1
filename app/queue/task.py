"""Declaring tasks: `@task`, with all of Procrastinate's options and ours.

A declaration belongs to no app yet. Each `Afresh` app adopts all of them, those made before it and those made after.
"""

import inspect
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import procrastinate
from procrastinate import jobs
from procrastinate.retry import RetryStrategy, RetryValue
from procrastinate.tasks import Task
from psycopg import AsyncConnection

from ..config import Settings
from ..config.values import fit_queue
from ..retry.breaker.states import checked_name
from ..retry.rules import book
from .defer import DeclaredTask
from .strategy import ExponentialBackoff, preset

if TYPE_CHECKING:
    from ..telemetry import Attempt
    from .app import Afresh
    from .checkpoint import Checkpoints
    from .dependencies import Call
    from .guarded import Blamed
    from .progress import Reports, Throttle

__all__ = [
    "ExponentialBackoff",
    "RetryStrategy",
    "TaskOptions",
    "connection",
    "current_job",
    "failure_rule",
    "preset",
    "task",
]


DEFAULT_PRIORITY = 5
"""The middle of 1 to 10; Procrastinate's own default of 0 would put a task behind all that say a priority."""


MOST_BLAMED = 50
"""Exceptions out of guarded blocks kept of a run: each holds frames, and one of the latest may end it."""

Cost = Literal["normal", "deferrable"]
"""Whether a job may wait for the quiet hours, if its priority is low."""


DependencyOf = Callable[[Mapping[str, Any]], str | None]
"""What a job relies on, by its arguments."""

Check = Callable[[Mapping[str, Any], Settings], Mapping[str, str]]
"""What is wrong with arguments beyond what their types say, by argument."""


Outbound = bool | Callable[[Mapping[str, Any]], bool]
"""Whether a job reaches out to people or to other hosts; or how its arguments tell."""


class SlugTaken(Exception):  # noqa: N818  Reads as what happened, as Procrastinate's own TaskAlreadyRegistered does.
    """Two tasks want the same slug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a task declares beyond Procrastinate's options.

    Attributes:
        slug: Its short name in addresses, in kebab-case.
        depends_on: The dependency whose breaker and budget it shares.
        dependency_of: What one of its jobs relies on instead; for jobs that come over HTTP or from Python.
        check: Looks at arguments that fit their types; for jobs that come over HTTP.
        timeout: Longest run of one attempt; None: TASK_TIMEOUTS or JOB_TIMEOUT.
        task_type: Such as ``email``; the metrics' and logs' ``operation_type``.
        idempotent: False: never run again by itself while the effect of a failed attempt is unknown.
        critical: An open breaker of its dependency is a critical alert.
        cost: ``deferrable``: may wait outside peak hours.
        http: May be deferred over HTTP; None: by where it is defined.
        replay_on_recovery: Its dead letters of an outage are replayed when what their jobs relied on has recovered.
        outbound: Its jobs reach out to people or to other hosts, all of them or those with such arguments: how many of
            them a key hands in is limited.
        decides_by_type: No ``retry=`` was given, so the policy of the failure's type decides.
    """

    slug: str
    depends_on: str | None = None
    dependency_of: DependencyOf | None = None
    check: Check | None = None
    timeout: timedelta | None = None
    task_type: str | None = None
    idempotent: bool = True
    critical: bool = False
    cost: Cost = "normal"
    http: bool | None = None
    replay_on_recovery: bool = False
    outbound: Outbound = False
    decides_by_type: bool = True


@dataclass(frozen=True, slots=True)
class Periodic:
    """When a task is deferred by itself, and whether.

    Attributes:
        catches_up: Its last tick is made good where for more than ten minutes from it on no worker lived.
    """

    cron: str
    when: Callable[[Settings], bool] = field(default=lambda _: True)
    catches_up: bool = False


def kebab(name: str) -> str:
    """`FetchJoke` and `fetch_joke` as ``fetch-joke``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def options_of(task: Task[Any, Any, Any]) -> TaskOptions:
    """The options of any task, however it was registered."""
    options = getattr(task, "afresh_options", None)
    if isinstance(options, TaskOptions):
        return options
    # A plain task with a strategy has said how it wants to be retried; Procrastinate keeps no trace of an explicit
    # `retry=False` apart from none at all, so a plain task without a strategy has said nothing.
    name = getattr(task.func, "__name__", task.name)  # What is callable need not have a name.
    return TaskOptions(slug=kebab(name), decides_by_type=task.retry_strategy is None)


def runs_in_loop(task: Task[Any, Any, Any]) -> bool:
    """Whether a task runs in its worker's loop, where it can be stopped from outside, and not in a thread."""
    return inspect.iscoroutinefunction(task.func)


@dataclass(slots=True)
class Declarations:
    """Every task made by `@task`, and the app that has adopted them."""

    tasks: dict[str, Task[Any, Any, Any]] = field(default_factory=dict)
    schedules: dict[str, Periodic] = field(default_factory=dict)
    slugs: dict[str, str] = field(default_factory=dict)
    app: "Afresh | None" = None
    blueprint: procrastinate.Blueprint = field(default_factory=procrastinate.Blueprint)

    def add(self, declared: Task[Any, Any, Any], options: TaskOptions, periodic: Periodic | None) -> None:
        """Take a task in, and hand it to the app if there is one already."""
        holder = self.slugs.setdefault(options.slug, declared.name)
        if holder != declared.name:
            raise SlugTaken(f"slug {options.slug!r} of task {declared.name} is taken by task {holder}")
        self.tasks[declared.name] = declared
        if periodic:
            self.schedules[declared.name] = periodic
        if self.app:
            self.app.register(declared, periodic)

    def adopt(self, app: "Afresh") -> None:
        """Let `app` run and defer every task. The app made last is the one that ``defer`` speaks to."""
        self.app = app
        for name, declared in self.tasks.items():
            app.register(declared, self.schedules.get(name))


declarations = Declarations()


def relied_on(task_name: str, args: Mapping[str, Any]) -> str | None:
    """What a job relies on by its arguments; None: what its task does, or nobody here knows."""
    declared = declarations.tasks.get(task_name)
    find = None if declared is None else options_of(declared).dependency_of
    return None if find is None else find(args)


def terms_of(task_name: str) -> Mapping[str, Any]:
    """The queue, priority and locks of a job whose submission says none: its task's own, if it is declared here."""
    declared = declarations.tasks.get(task_name)
    if declared is None:
        return _UNKNOWN_TERMS
    return {
        "queue": declared.queue,
        "priority": declared.priority,
        "lock": declared.lock,
        "queueing_lock": declared.queueing_lock,
    }


_UNKNOWN_TERMS: Mapping[str, Any] = {"queue": jobs.DEFAULT_QUEUE, "priority": DEFAULT_PRIORITY}


failure_rule = book.failure_rule
"""Decorator of a rule of your own for what a failure is."""


def task(  # noqa: PLR0913  Each is an option of a task; Procrastinate has ten of them.
    *,
    slug: str | None = None,
    depends_on: str | None = None,
    dependency_of: DependencyOf | None = None,
    check: Check | None = None,
    timeout: timedelta | None = None,
    task_type: str | None = None,
    idempotent: bool = True,
    critical: bool = False,
    cost: Cost = "normal",
    http: bool | None = None,
    replay_on_recovery: bool = False,
    outbound: Outbound = False,
    periodic: str | Periodic | None = None,
    retry: RetryValue | None = None,
    name: str | None = None,
    queue: str = jobs.DEFAULT_QUEUE,
    priority: int = DEFAULT_PRIORITY,
    **procrastinate_options: Any,
) -> Callable[[Callable[..., Any]], Task[Any, Any, Any]]:
    """Declare a function as a task.

    Args:
        slug: Short name in addresses; by default the function's name in kebab-case.
        depends_on: The dependency it relies on, such as ``joke-api``.
        dependency_of: Of a job's arguments makes what that job relies on, such as the host of an address. Where a job
            comes from Python nobody has checked them; None: they do not say.
        check: Of arguments that fit their types makes what is wrong with them all the same, by argument.
        timeout: Longest run of one attempt.
        task_type: What kind of work it is, such as ``email``.
        idempotent: False if running it twice does harm.
        critical: Whether an open breaker of its dependency is critical.
        cost: ``deferrable`` if it may wait for a cheaper hour.
        http: Whether it may be deferred over HTTP.
        replay_on_recovery: Whether dead letters that an outage left are replayed when that is over, be it one of its
            dependency or of one that its jobs named themselves.
        outbound: Whether it reaches out, so that a key may hand in OUTBOUND_RATE_LIMIT of its jobs in a minute; or a
            function that tells it of a job's arguments.
        periodic: A cron line in UTC, or a `Periodic` that a setting can switch off.
        retry: None: the policy of each failure's type decides. An `ExponentialBackoff` or a preset: that policy.
            Procrastinate's own values and strategies alone decide. ``False`` or 0: one attempt.
        name: Full name; by default the dotted path.
        queue: Where its jobs wait.
        priority: 1 to 10, higher first.
        **procrastinate_options: lock, queueing_lock, aliases, pass_context, task_middleware.

    Raises:
        SlugTaken: Another task has this slug.
        ValueError: No dependency can have the name that `depends_on` gives; or no job be put into this `queue`.
    """
    fit_queue(queue)
    if depends_on is not None:
        checked_name(depends_on)

    def declare(func: Callable[..., Any]) -> Task[Any, Any, Any]:
        declared = DeclaredTask(
            func,
            blueprint=declarations.blueprint,
            name=name,
            queue=queue,
            priority=priority,
            retry=retry if retry is not None else False,
            **procrastinate_options,
        )
        options = TaskOptions(
            slug=slug or kebab(func.__name__),
            depends_on=depends_on,
            dependency_of=dependency_of,
            check=check,
            timeout=timeout,
            task_type=task_type,
            idempotent=idempotent,
            critical=critical,
            cost=cost,
            http=http,
            replay_on_recovery=replay_on_recovery,
            outbound=outbound,
            decides_by_type=retry is None,
        )
        declared.afresh_options = options  # type: ignore[attr-defined]  # A Task is Procrastinate's; ours rides on it.
        declarations.add(declared, options, Periodic(periodic) if isinstance(periodic, str) else periodic)
        declared.__doc__ = func.__doc__
        return declared

    return declare


@dataclass(slots=True)
class RunningJob:
    """What a task may know about the job that runs it.

    Attributes:
        attempt: From 1.
        claim: With the worker it names one run of the job, of which an attempt can have several.
        told: The attempt, as telemetry tells of it.
        limit: How long an attempt may run; None: not known.
        call: As what it was let in at its claim; None: it relies on nothing.
        ended: The run is over; a thread may outlive it.
        blamed: The latest exceptions that left a guarded block.
        worker_id: Under which it was claimed.
        checkpoints: Those that it has asked for; None: it has asked for none.
        delete: Which jobs its worker deletes at their end.
        finished: It has succeeded, in one transaction with what its task wrote.
    """

    app: "Afresh"
    job_id: int
    task_name: str
    attempt: int
    claim: int
    reports: "Reports"
    told: "Attempt"
    limit: timedelta | None = None
    call: "Call | None" = None
    throttle: "Throttle | None" = None
    ended: bool = False
    blamed: "deque[Blamed]" = field(default_factory=lambda: deque(maxlen=MOST_BLAMED))
    worker_id: int | None = None
    checkpoints: "Checkpoints | None" = None
    delete: jobs.DeleteJobCondition = jobs.DeleteJobCondition.NEVER
    finished: bool = False

    @property
    def dependency(self) -> str | None:
        """Under whose breaker it was let in."""
        return None if self.call is None else self.call.name


_current: ContextVar[RunningJob | None] = ContextVar("afresh_running_job", default=None)


def current_job() -> RunningJob:
    """The job that the calling task runs for.

    Raises:
        LookupError: Not called from a job.
    """
    running = running_job()
    if running is None:
        raise LookupError("no job is running here")
    return running


def running_job() -> RunningJob | None:
    """As `current_job`; None where it raises."""
    return _current.get()


@asynccontextmanager
async def connection() -> AsyncIterator[AsyncConnection[Any]]:
    """A connection to the queue's database, in autocommit mode, for the task that calls it."""
    async with current_job().app.connection() as conn:
        yield conn
