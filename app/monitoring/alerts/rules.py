"""The rules, made of the settings. Prometheus's are made of the same (prometheus.py), and so is the guide's table."""

from collections.abc import Sequence
from datetime import timedelta

from ...config import Settings
from . import queries
from .growth import LEAST_FAILURES
from .rule import Level, Rule, Severity

ERROR_RATE = "error-rate"
SUCCESS_RATE = "success-rate"
DEAD_LETTERS = "dead-letters"
DUPLICATE_RATE = "duplicate-rate"
BREAKER_OPEN = "breaker-open"
QUEUE_SIZE = "queue-size"
MEMORY = "memory"
DISK = "disk"
WORKER_LOST = "worker-lost"
WORKER_OVERLOADED = "worker-overloaded"
FAILURE_GROUP = "failure-group"
FAILURE_GROWTH = "failure-growth"
MILESTONE = "milestone"
"""Told like an alert; a good one, that is over as soon as it is told."""

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL

RELIEF = 0.2
"""How far a number has to go back from its threshold before it counts as well, as a share of that."""

HOST_RELIEF = 5.0
"""Likewise, in points of a percentage: as far as an overloaded worker waits, too."""

LOSS_SHOWN = timedelta(minutes=10)
"""How long a lost worker is an alert, where it does not come back and others live."""

ONE_OR_TWO = (Level(WARNING, 0.0, 0.0), Level(CRITICAL, 1.0, 1.0))
"""Of readings that are 1 where something is so, and 2 where that is critical."""

OVERLOADED_AFTER = timedelta(minutes=5)
"""How long a worker takes no jobs for want of room before that is an alert: a busy minute is what the limit is for."""

GROUP_NEW = timedelta(days=1)
"""How long a failure group is new, where it goes on failing and nobody has resolved or muted it."""

GROUP_QUIET = timedelta(hours=1)
"""A failure group that has not been met for so long is no alert any more."""

RECENT, PAST = timedelta(hours=1), timedelta(days=7)
"""What a task's failure rate is taken from, and what it is compared with."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """All rules that are not switched off."""
    made = (*_rates(settings), *_sizes(settings), *_machines(settings), *_incidents(settings))
    return tuple(rule for rule in made if rule.levels)


def _rates(settings: Settings) -> Sequence[Rule]:
    alert = settings.alert
    window, after, quiet, least = queries.span(alert.window), alert.after, alert.resolve_after, alert.least_attempts
    return (
        Rule(
            name=ERROR_RATE,
            title="Many attempts fail",
            about="the service",
            what_to_do="Look at the failure groups: the largest says what fails and what helps. If a dependency is the "
            "cause, isolate it, or lower what is sent to it.",
            levels=_above((WARNING, alert.error_percent), (CRITICAL, alert.error_critical_percent)),
            query=queries.error_percent(window),
            volume=queries.attempts(window),
            after=after,
            quiet=quiet,
            least=least,
            unit="%",
            reach=alert.window,
        ),
        Rule(
            name=SUCCESS_RATE,
            title="Jobs do not succeed",
            about="the service",
            what_to_do="Look at the dead letters by cause: spent retries want a longer policy or a healthy dependency, "
            "permanent failures a change of the arguments or the code. Then replay them.",
            levels=_below((WARNING, alert.success_percent)),
            below=True,
            query=queries.success_percent(window),
            volume=queries.ended_jobs(window),
            after=after,
            quiet=quiet,
            least=least,
            unit="%",
            reach=alert.window,
        ),
        Rule(
            name=DUPLICATE_RATE,
            title="Much is submitted twice",
            about="the service",
            what_to_do="Find the client that repeats itself: it times out too early, or retries what was accepted. The "
            "repeats made no job.",
            levels=_above((WARNING, alert.duplicate_percent)),
            query=queries.duplicate_percent(),
            volume=queries.submissions(),
            after=after,
            quiet=quiet,
            least=least,
            unit="%",
        ),
        Rule(
            name=FAILURE_GROWTH,
            title="{subject} fails more often than it used to",
            about="a task",
            what_to_do="Look at what changed an hour ago: a deploy, a dependency, the arguments. The task's newest "
            "failure group says what is different.",
            levels=_growth(alert.failure_growth),
            query=queries.growth(queries.span(RECENT), queries.span(PAST)),
            volume=queries.attempts(queries.span(RECENT), "task_name"),
            label="task_name",
            only={WARNING: f"{queries.failures(queries.span(RECENT), 'task_name')} >= {LEAST_FAILURES}"},
            after=after,
            quiet=quiet,
            least=least,
            unit="times as often",
            reach=RECENT,
        ),
    )


def _sizes(settings: Settings) -> Sequence[Rule]:
    alert, most = settings.alert, settings.submission.max_queue_size
    return (
        Rule(
            name=DEAD_LETTERS,
            title="Dead letters wait for somebody",
            about="the service",
            what_to_do="Look at their summary, mend what killed them, then replay or abandon them by filter.",
            levels=_above((WARNING, alert.dead_letters), (CRITICAL, alert.dead_letters_critical)),
            query=f"max({queries.DEAD_LETTERS})",
            after=alert.after,
            quiet=timedelta(0),
            unit="letters",
        ),
        Rule(
            name=QUEUE_SIZE,
            title="Queue {subject} is long",
            about="a queue",
            what_to_do="Start more workers for it, or find out why they are slow: a limit, a busy lock, long jobs. At "
            "MAX_QUEUE_SIZE it takes no more.",
            # A queue is refused at its limit, so the limit itself is critical already.
            levels=_above((WARNING, alert.queue_size), (CRITICAL, max(0, most - 1))),
            query=f"max by (queue) ({queries.QUEUE_READY})",
            label="queue",
            after=alert.after,
            quiet=alert.after,
            unit="ready jobs",
        ),
    )


def _machines(settings: Settings) -> Sequence[Rule]:
    alert, memory = settings.alert, settings.worker.max_memory_percent
    return (
        Rule(
            name=MEMORY,
            title="Memory of {subject} is full",
            about="a host",
            what_to_do="Its workers take no jobs above MAX_MEMORY_PERCENT. Lower their concurrency, give them more "
            "memory, or find the task that keeps it.",
            levels=_host(WARNING, memory),
            query=f"max by (instance) ({queries.MEMORY})",
            label="instance",
            after=alert.after,
            quiet=alert.after,
            unit="%",
        ),
        Rule(
            name=DISK,
            title="A disk of {subject} is full",
            about="a host",
            what_to_do="Make room before it is needed: a database without disk stops. Shorten the retention, or look "
            "for what else fills it.",
            levels=_host(CRITICAL, alert.max_disk_percent),
            query=f"max by (instance) ({queries.DISK})",
            label="instance",
            after=alert.after,
            quiet=alert.after,
            unit="%",
        ),
        Rule(
            name=WORKER_OVERLOADED,
            title="Worker {subject} is overloaded",
            about="a worker",
            what_to_do="Its machine is fuller than MAX_CPU_PERCENT or MAX_MEMORY_PERCENT allow, so it takes no jobs; "
            "others do, if any have room. See what fills it, lower its concurrency, or start workers elsewhere.",
            levels=ONE_OR_TWO,
            query=f"max({queries.OVERLOADED})",
            only={CRITICAL: f"max({queries.OVERLOADED}) >= max({queries.ALIVE})"},
            after=max(alert.after, OVERLOADED_AFTER),
            quiet=alert.after,
        ),
    )


def _incidents(settings: Settings) -> Sequence[Rule]:
    alert = settings.alert
    return (
        Rule(
            name=BREAKER_OPEN,
            title="{subject} is not called",
            about="a dependency",
            what_to_do="See whether it is down, and whether its credentials and limits are in order. Its jobs wait at "
            "no cost, and go on by themselves when it answers again.",
            levels=ONE_OR_TWO,
            query=f"max by (dependency) ({queries.BREAKERS})",
            only={CRITICAL: f"max by (dependency) ({queries.CRITICAL}) == 1"},
            label="dependency",
            quiet=alert.after,
        ),
        Rule(
            name=WORKER_LOST,
            title="Worker {subject} was lost",
            about="a worker",
            what_to_do="Look at what ended it: the kernel's out-of-memory killer, a node that is gone, a crash. Others "
            "take over its jobs; where no worker is left, they wait: start one.",
            levels=ONE_OR_TWO,
            query=f"max({queries.LOST})",
            only={CRITICAL: f"max({queries.ALIVE}) == 0"},
        ),
        Rule(
            name=FAILURE_GROUP,
            title="A failure that is new, or has come back",
            about="a failure group",
            what_to_do="Look at the group: its newest failure, its tasks, what helps. Resolve it when it is mended, or "
            "mute it; both end this alert.",
            levels=(Level(WARNING, 0.0, 0.0),),
            query=f"max by (status) ({queries.GROUPS})",
            label="status",
        ),
    )


def _above(*pairs: tuple[Severity, float]) -> tuple[Level, ...]:
    return tuple(Level(severity, limit, limit * (1 - RELIEF)) for severity, limit in pairs if limit > 0)


def _below(*pairs: tuple[Severity, float]) -> tuple[Level, ...]:
    return tuple(Level(severity, limit, limit + RELIEF * (100 - limit)) for severity, limit in pairs if limit > 0)


def _host(severity: Severity, limit: float) -> tuple[Level, ...]:
    return (Level(severity, limit, limit - HOST_RELIEF),) if limit > 0 else ()


def _growth(times: float) -> tuple[Level, ...]:
    """At least so many times: beyond what is just below it."""
    return (Level(WARNING, times * (1 - 1e-9), 1 + (times - 1) / 2),) if times > 1 else ()
