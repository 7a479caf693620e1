"""What has to be right for jobs to get done: each thing that is looked at, what was found, and what to do about it.

Judges what others have read; `afresh doctor` and the dashboard's page of the system tell the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from ..config import AlertSettings, ApiSettings, MailSettings, Settings
from ..config.environment import project_root
from ..queue.presence import Disk
from ..store.monitoring import read_monitoring
from ..store.samples import last_sampled
from ..store.workers import Worker
from .alerts.channels import channel_of, is_understood
from .health import Status, judge_monitoring, judge_schema, newest_migration

MOST_DRIFT = timedelta(seconds=5)
"""Between this machine's clock and the database's: times of attempts are the worker's, what is due the database's."""

OLDEST_POSTGRES = 15

OWN_QUEUES = ("maintenance", "monitoring", "analytics", "dead_letters", "cleanup")
"""Queues without which the service does not look after itself."""

NAMED = 5
"""Workers that a finding names."""


class Verdict(StrEnum):
    """What was found."""

    WELL = "well"
    LOOK = "look"
    MEND = "mend"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        found: What there is.
        mend: What to do about it; empty where it is well.
    """

    about: str
    verdict: Verdict
    found: str
    mend: str = ""


def judge_settings() -> Finding:
    """Where settings come from."""
    root = project_root()
    where = f"read from {root / '.env'}" if (root / ".env").is_file() else "no .env; the environment and the defaults"
    return Finding("settings", Verdict.WELL, where)


def judge_address(api: ApiSettings) -> Iterator[Finding]:
    """An address that others can reach, and no key that would let them in."""
    if api.admin_key is None and api.host not in {"127.0.0.1", "localhost", "::1"}:
        keys = "make one with `afresh keys create`, or set ADMIN_API_KEY"
        yield Finding("api", Verdict.LOOK, f"API_HOST is {api.host}: it serves others only with a key", keys)


def judge_server(version: int, name: str) -> Finding:
    """The server's version, as libpq tells it: 180001."""
    major = version // 10_000
    found = f"PostgreSQL {major}, {name}"
    if major < OLDEST_POSTGRES:
        return Finding("database", Verdict.MEND, found, f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    return Finding("database", Verdict.WELL, found)


def judge_migration(found: int) -> Finding:
    """The newest migration that is applied, as `health` judges it."""
    check = judge_schema(found, newest_migration())
    well = check.status is Status.HEALTHY
    return Finding(
        "schema", Verdict.WELL if well else Verdict.MEND, check.reason, "" if well else "run `afresh migrate`"
    )


def judge_clock(theirs: datetime, before: datetime, after: datetime) -> Finding:
    """The database's clock, asked between two looks at ours."""
    drift = theirs - (before + (after - before) / 2)
    seconds = f"{abs(drift.total_seconds()):.1f} s"
    if abs(drift) > MOST_DRIFT:
        told = f"the database's clock is {seconds} {'ahead of' if drift > timedelta() else 'behind'} this machine's"
        return Finding("clock", Verdict.MEND, told, "let both machines keep time by NTP")
    return Finding("clock", Verdict.WELL, f"it is within {seconds} of the database's")


def judge_workers(workers: Sequence[Worker]) -> Iterator[Finding]:
    """Who lives, who was lost, and whether anybody serves our own queues."""
    alive = [worker for worker in workers if worker.lives]
    lost = [worker for worker in workers if worker.status == "lost"]
    if not alive:
        yield Finding("workers", Verdict.MEND, "no worker is alive: jobs wait", "start one with `afresh worker`")
    else:
        yield Finding("workers", Verdict.WELL, f"{len(alive)} alive: {', '.join(map(str, alive[:NAMED]))}")
    if lost:
        ended = "see what ended it: memory, a node, a crash"
        yield Finding("workers", Verdict.LOOK, f"{len(lost)} lost within the hour: {lost[-1]}", ended)
    if len(versions := {worker.version for worker in alive if worker.version}) > 1:
        told = f"they run versions {', '.join(sorted(versions))}"
        yield Finding("workers", Verdict.LOOK, told, "end the deploy: restart the older ones")
    if unserved := _unserved(alive):
        told = f"no worker takes jobs of {', '.join(unserved)}"
        yield Finding("queues", Verdict.MEND, told, "add them to WORKER_QUEUES of one worker at least")


def _unserved(alive: Sequence[Worker]) -> list[str]:
    if not alive or any(worker.queues is None for worker in alive):
        return []
    served = {queue for worker in alive for queue in worker.queues or ()}
    return [queue for queue in OWN_QUEUES if queue not in served]


async def ask_evaluation(conn: AsyncConnection[Any], workers: Sequence[Worker]) -> Finding:
    """Whether alerts are evaluated, as `health` judges it."""
    check = judge_monitoring(
        await read_monitoring(conn),
        datetime.now(UTC),
        sampled=await last_sampled(conn),
        working_since=min((each.started_at for each in workers if each.lives and each.started_at), default=None),
    )
    well = check.status is Status.HEALTHY
    mend = "" if well else "let a worker take jobs of the queue monitoring, and look at the failures of its tasks"
    return Finding("monitoring", Verdict.WELL if well else Verdict.MEND, check.reason, mend)


def judge_machine(settings: Settings, memory: float, disks: Sequence[Disk]) -> Iterator[Finding]:
    """How full this machine is, in percent, beside its limits."""
    most = settings.worker.max_memory_percent
    if most and memory > most:
        told = f"{memory:.0f} % in use, MAX_MEMORY_PERCENT is {most:g}: a worker here takes no jobs"
        yield Finding("memory", Verdict.MEND, told, "end what needs it, or raise the limit")
    else:
        yield Finding("memory", Verdict.WELL, f"{memory:.0f} % in use")
    limit = settings.alert.max_disk_percent
    for disk in disks:
        told = f"{disk.percent:.0f} % of the disk with {disk.path} in use, {disk.free / 1e9:.1f} GB free"
        if limit and disk.percent > limit:
            yield Finding("disk", Verdict.MEND, told, "make room: a database without disk stops")
        else:
            yield Finding("disk", Verdict.WELL, told)


def judge_channels(alert: AlertSettings) -> Iterator[Finding]:
    """Whom alerts are sent to. Loads all of Apprise at first, which takes a second."""
    if not alert.urls:
        told = "ALERT_URLS is not set: alerts are stored and shown, and sent to nobody"
        yield Finding("alerts", Verdict.LOOK, told, "name an address, such as mailtos://… or slack://…")
    for url in alert.urls:
        if is_understood(url):
            yield Finding("alerts", Verdict.WELL, f"they are sent to {channel_of(url)}")
        else:
            told = f"Apprise does not understand {channel_of(url)} of ALERT_URLS"
            yield Finding("alerts", Verdict.MEND, told, "compare it with Apprise's list of services")


def judge_mail(mail: MailSettings) -> Iterator[Finding]:
    """Whether the report of each day can be mailed, where it is to be."""
    if not mail.report_to:
        return
    needed = {"SMTP_URL": mail.server, "MAIL_FROM": mail.sender}
    missing = " and ".join(name for name, value in needed.items() if value is None)
    if missing:
        told = "the report of each day cannot be mailed"
        yield Finding("report", Verdict.MEND, told, f"set {missing}, or unset REPORT_MAIL_TO")
    else:
        to = ", ".join(each.address for each in mail.report_to)
        yield Finding("report", Verdict.WELL, f"that of each day is mailed to {to}")
