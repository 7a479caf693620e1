"""Settling: the ends of runs are written in groups, fenced, until the database has confirmed each.

A settlement joins the flush that comes next; while one is in flight the next group gathers, so nothing waits for a
timer. What could not be written stays in memory and is written when the database is back: an outage delays the
acknowledgement of a job that succeeded, it does not run the job again. What breakers hear of it is not written here:
see `Dependencies`.
"""

import asyncio
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import psycopg
from procrastinate import jobs
from procrastinate.manager import JobManager

from ..postgres.sqlfiles import load
from ..telemetry import AttemptAborted, EndRefused, Event, JobCoalesced, JobsSettled, OwnershipLost, emit
from .connector import AfreshConnector
from .outage import Outage
from .progress import Report, write_reports
from .storable import refusal_of, storable

if TYPE_CHECKING:
    from ..telemetry import Attempt
    from .app import Afresh

SQL = load("spine")

UNREACHABLE = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError)
"""The database cannot answer now: lost, restarting, out of connections, disk full, statement cancelled."""

LONGEST_GROUP = 500
"""Settlements in one statement; bounds its memory and how long its row locks last."""

LONGEST_PAUSE = 5.0
"""Seconds between two tries while the database is out of reach."""

LONGEST_TEXT = 16_000
"""Characters kept of a text that had to be replaced."""

TEXTS = ("exception_type", "message", "traceback", "fingerprint")
CHANGES = ("priority", "queue_name", "lock")


class UnsettledJobs(Exception):  # noqa: N818  Reads as what happened.
    """A worker ended before it could store how its last jobs ended; others will run them again."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the database is out of reach: how {count} jobs ended could not be stored, they will run again"
        )


class Settlement(NamedTuple):
    """How one run ended, and what is told once that is written.

    Attributes:
        claim: Which run of the job it ends.
        ending: None for a success; else the row of `afresh.settle_endings`.
        result: What the task returned, as JSON; None if nothing.
        note: Why what it returned is not stored.
        checkpoints_of: The jobs whose checkpoints go with a success.
        tries: How often it failed to be written although the database answered.
    """

    job: jobs.Job
    job_id: int
    claim: int
    attempt: "Attempt"
    events: tuple[Event, ...] = ()
    ending: dict[str, Any] | None = None
    result: bytes | None = None
    note: str | None = None
    checkpoints_of: tuple[int, ...] = ()
    tries: int = 0


@dataclass(slots=True)
class Settler:
    """The one writer of a worker."""

    app: "Afresh"
    worker_id: int
    delete: jobs.DeleteJobCondition = jobs.DeleteJobCondition.NEVER
    outage: Outage = field(default_factory=Outage)
    _pending: dict[int, Settlement] = field(default_factory=dict)
    _flying: dict[int, Settlement] = field(default_factory=dict)
    _reports: dict[int, Report] = field(default_factory=dict)
    _reports_flying: dict[int, Report] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _flushed: asyncio.Event = field(default_factory=asyncio.Event)
    _put_off: dict[int, Settlement] = field(default_factory=dict)
    landed: int = 0

    def __post_init__(self) -> None:
        self._idle.set()

    def add(self, settlement: Settlement) -> None:
        """Have a settlement written with the next group. Of two for one job only that of the later claim is true."""
        other = self._pending.get(settlement.job_id)
        if other is not None and other.claim > settlement.claim:
            other, settlement = settlement, other
        if other is not None and other.claim < settlement.claim:
            emit(OwnershipLost(other.attempt))
        self._pending[settlement.job_id] = settlement
        self._idle.clear()
        self._arrived.set()

    def report(self, report: Report) -> None:
        """Have a progress report written with the next group, ahead of its settlements."""
        self._reports[report.row["job_id"]] = report
        self._arrived.set()

    def forget(self, job_ids: Iterable[int]) -> None:
        """Drop unconfirmed settlements of jobs that were claimed again: the claim proves that they landed."""
        for job_id in job_ids:
            for unconfirmed in (self._pending, self._flying, self._put_off):
                unconfirmed.pop(job_id, None)
            self._reports.pop(job_id, None)
        self._tell()

    @property
    def unconfirmed(self) -> Collection[int]:
        """The jobs whose end has not been written yet, as far as is known."""
        return {*self._pending, *self._flying, *self._put_off}

    async def written(self, job_id: int) -> None:
        """Return when the job's settlement is confirmed, refused or forgotten."""
        while job_id in self.unconfirmed:
            await self._flushed.wait()

    async def drained(self) -> None:
        """Return when every settlement is confirmed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        pause = 0.0
        while True:
            await self._arrived.wait()
            self._take_group()
            group = list(self._flying.values())
            try:
                await self._write(group)
            except psycopg.errors.DeadlockDetected:  # Whoever it met is past it now.
                self._put_back()
            except (psycopg.Error, TimeoutError) as error:
                pause = min(LONGEST_PAUSE, 2 * pause or 0.05)
                self._keep(error)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  Spreads load; no secret.
            except BaseException:  # Cancelled, or a fault of ours: the supervisor is told, and nothing is dropped.
                self._put_back()
                raise
            else:
                pause = 0.0
                self._confirm(len(group))

    def _take_group(self) -> None:
        group = list(self._pending)[:LONGEST_GROUP]
        self._flying = {job_id: self._pending.pop(job_id) for job_id in group}
        self._reports_flying, self._reports = self._reports, {}
        if not self._pending:
            self._arrived.clear()

    def _put_back(self) -> None:
        arrived, self._pending = self._pending, self._flying
        for each in arrived.values():
            self.add(each)
        self._reports = {**self._reports_flying, **self._reports}
        self._flying = {}
        self._arrived.set()

    def _keep(self, error: BaseException) -> None:
        self._put_back()
        self.outage.lost("settlements", error)

    def _confirm(self, count: int) -> None:
        self.landed += count
        self._flying = {}
        if count:  # A group may hold nothing but reports of progress.
            emit(JobsSettled(count))
        self._tell()
        self.outage.back("settlements")

    def _tell(self) -> None:
        """Wake those who wait for settlements."""
        self._flushed.set()
        self._flushed = asyncio.Event()
        if not self.unconfirmed:
            self._idle.set()

    async def _write(self, group: list[Settlement]) -> None:
        connector = self.app.connector
        if not isinstance(connector, AfreshConnector):
            for each in group:
                await self._write_through_procrastinate(each)
            return
        async with connector.connection() as conn:
            if self._reports_flying:
                await write_reports(conn, self.worker_id, list(self._reports_flying.values()))
            successes = [each for each in group if each.ending is None]
            endings = [each for each in group if each.ending is not None]
            for part in (successes, endings):
                if part:
                    await self._write_part(conn, part)

    async def _write_part(self, conn: psycopg.AsyncConnection[Any], part: list[Settlement]) -> None:
        """Write a group; if the database refuses it, one by one, so that one bad row does not hold up the others."""
        try:
            verdicts = await self._execute(conn, part)
        except (psycopg.Error, TypeError) as error:  # orjson raises TypeError for what is no JSON.
            if not refused(error):
                raise
            if len(part) == 1:
                self._try_differently(part[0], error)
                return
            for each in part:
                await self._write_part(conn, [each])
        else:
            for each in part:  # What has landed is not written, and told, again if the rest of the group fails.
                self._flying.pop(each.job_id, None)
            self._announce(part, verdicts)

    def _try_differently(self, settlement: Settlement, error: psycopg.Error | TypeError) -> None:
        """For a row refused alone: a race over a queueing lock passes, what cannot be stored is replaced."""
        if self._flying.pop(settlement.job_id, None) is None:
            return
        if not isinstance(error, psycopg.IntegrityError):
            emit(EndRefused(settlement.attempt, refusal_of(error)))
        later = _storable(settlement, error) if unstorable(error) else settlement
        later = later._replace(tries=settlement.tries + 1)
        self._put_off[later.job_id] = later
        delay = min(60.0, 0.05 * 2.0 ** min(settlement.tries, 20))  # Of a power beyond 1023 there is no float.
        asyncio.get_running_loop().call_later(delay, self._add_again, later)

    def _add_again(self, settlement: Settlement) -> None:
        if self._put_off.get(settlement.job_id) is settlement:  # Else it was forgotten meanwhile.
            del self._put_off[settlement.job_id]
            self.add(settlement)

    async def _execute(self, conn: psycopg.AsyncConnection[Any], part: list[Settlement]) -> list[tuple[Any, ...]]:
        if part[0].ending is None:
            results = b",".join(b'"%d":%b' % (each.job_id, each.result) for each in part if each.result is not None)
            notes = {str(each.job_id): each.note for each in part if each.note is not None}
            checkpoints = {str(each.job_id): each.checkpoints_of for each in part if each.checkpoints_of}
            cursor = await conn.execute(
                SQL["settle_successes"],
                (
                    self.worker_id,
                    [each.job_id for each in part],
                    [each.job.attempts for each in part],
                    f"{{{results.decode()}}}" if results else None,
                    self.delete is not jobs.DeleteJobCondition.NEVER,
                    orjson.dumps(notes).decode() if notes else None,
                    [each.claim for each in part],
                    orjson.dumps(checkpoints).decode() if checkpoints else None,
                ),
            )
        else:
            runs, failures = _told_apart([each.ending for each in part if each.ending is not None])
            always = self.delete is jobs.DeleteJobCondition.ALWAYS
            cursor = await conn.execute(SQL["settle_endings"], (self.worker_id, runs, always, None, failures))
        return await cursor.fetchall()

    def _announce(self, part: list[Settlement], verdicts: list[tuple[Any, ...]]) -> None:
        by_id = {each.job_id: each for each in part}
        for job_id, verdict, *outcome in verdicts:
            each = by_id[job_id]
            for event in told(each.attempt, each.ending, each.events, verdict, outcome[0] if outcome else None):
                emit(event)

    async def _write_through_procrastinate(self, settlement: Settlement) -> None:
        """On a connector that is not ours, by Procrastinate's own functions; `afresh` has no tables there."""
        manager, job, ending = self.app.job_manager, settlement.job, settlement.ending
        status = jobs.Status.SUCCEEDED if ending is None else jobs.Status(ending["status"])
        if ending is not None and status is jobs.Status.TODO:
            await JobManager.retry_job(manager, job, ending["next_run_at"], *(ending.get(change) for change in CHANGES))
        else:
            delete = self.delete is jobs.DeleteJobCondition.ALWAYS or (
                self.delete is jobs.DeleteJobCondition.SUCCESSFUL and ending is None
            )
            await JobManager.finish_job(manager, job, status, delete)
        for event in settlement.events:
            emit(event)


def refused(error: psycopg.Error | TypeError) -> bool:
    """Whether the database judged these very rows, rather than being unable to write any: then waiting does not help.

    A read-only server (class 25) is out of reach; a value beyond the program's limits (class 54) is refused.
    """
    kind = (getattr(error, "sqlstate", None) or "")[:2]
    return kind == "54" or not (isinstance(error, UNREACHABLE) or kind == "25")


def unstorable(error: psycopg.Error | TypeError) -> bool:
    """Whether it is a value that the database, or JSON, cannot hold.

    Not where a function or a right is missing (class 42): no other value would fare better, and what is missing may
    come.
    """
    kind = (getattr(error, "sqlstate", None) or "")[:2]
    return kind != "42" and not isinstance(error, psycopg.IntegrityError | psycopg.InternalError)


def _told_apart(endings: list[dict[str, Any]]) -> tuple[str, str]:
    """Runs, and the failures that ended them, each once: a dependency that is down ends hundreds in the same way."""
    numbers: dict[int, int] = {}
    failures: list[dict[str, Any]] = []
    runs = []
    for ending in endings:
        failure = ending.get("failure")
        if failure is not None:
            number = numbers.setdefault(id(failure), len(failures))
            if number == len(failures):
                failures.append(failure)
            ending = {**ending, "failure": number}  # noqa: PLW2901  The same run, as it is sent.
        runs.append(ending)
    return _as_json(runs), _as_json(failures)


def _as_json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _storable(settlement: Settlement, error: psycopg.Error | TypeError) -> Settlement:
    """The same end with what any database can hold; how a job ended matters more than what it said.

    What a strategy wanted changed about the job is dropped first. Only if that is not enough, or there is no such wish,
    it is the texts, which were made storable before.
    """
    ending = settlement.ending
    if ending is not None and any(ending.get(name) is not None for name in CHANGES):
        return settlement._replace(ending={**ending, **dict.fromkeys(CHANGES)})
    if ending is not None:
        ending = {**ending, **_all_plain(ending, ("reason",)), "explanation": None}
        if (failure := ending.get("failure")) is not None:
            ending["failure"] = {**failure, **_all_plain(failure, TEXTS), "evidence": None}
    note = settlement.note if settlement.result is None else f"Postgres refused the result: {storable(str(error))}"
    return settlement._replace(ending=ending, result=None, note=note)


def _all_plain(fields: dict[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: _plain(fields[name])[:LONGEST_TEXT] for name in names if fields.get(name) is not None}


def _plain(text: str) -> str:
    """ASCII, which every encoding of a database has, and no NUL; a text that is so already stays as it is."""
    return text.encode("ascii", "backslashreplace").decode().replace("\0", r"\x00")


def told(
    attempt: "Attempt", ending: dict[str, Any] | None, events: tuple[Event, ...], verdict: str, outcome: str | None
) -> tuple[Event, ...]:
    """What is announced of a settlement, `events` being what was wanted, by what the database made of it."""
    if verdict == "lost":
        return (OwnershipLost(attempt),)
    if verdict == "coalesced":
        return (JobCoalesced(attempt),)
    if ending is not None and outcome == "aborted" != ending["outcome"]:
        return (AttemptAborted(attempt, 0.0),)
    return events
