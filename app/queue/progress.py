"""How far a job has come: what its task reports is checked and throttled here, and written by the worker's one writer.

Never keeps a task waiting for the database.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import psycopg

from ..postgres.sqlfiles import load
from ..redact import redact, redact_text
from ..telemetry import ProgressRefused, emit
from .storable import refusal_of, storable, without_nul
from .task import RunningJob, running_job
from .threads import loop_here

if TYPE_CHECKING:
    from ..telemetry import Attempt

SQL = load("progress")

Row = dict[str, Any]

WRITE_SECONDS = 0.5
"""Between two reports of one job that are stored; the last one of a run is stored whenever it comes."""

LONGEST_MESSAGE = 1_000
"""Characters kept of a message."""

LONGEST_STEP = 255
"""Characters kept of a step's name."""

LARGEST_DATA = 16_384
"""Bytes of JSON that may come with a report."""


class Report(NamedTuple):
    """A report on its way, and the attempt that said it."""

    row: Row
    attempt: "Attempt"


class _Breath:
    """Awaiting it lets others run, once."""

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.sleep(0).__await__()


_BREATH = _Breath()


def progress(
    fraction: float, message: str | None = None, *, current_step: str | None = None, **data: Any
) -> Awaitable[None]:
    """Report how far the calling task has come.

    It is told when it is called: a plain function calls it, a coroutine may await it to let others run. Of reports
    that follow each other faster than `WRITE_SECONDS` the newest is stored, and always the last. Outside of a job,
    as in a test that calls the task's function, nothing is stored.

    Args:
        fraction: From 0 to 1. It may fall, for instance when an attempt starts afresh.
        message: For people, such as ``Step 3 of 4``; cut to `LONGEST_MESSAGE` characters.
        current_step: For programs, such as ``review``.
        **data: Whatever else belongs to it; JSON of at most `LARGEST_DATA` bytes. Values of secret keys are masked.

    Raises:
        ValueError: `fraction` is not within 0 and 1, or `data` is too large.
        TypeError: `data` is not JSON.
    """
    row = {
        "fraction": _checked(fraction),
        "message": None if message is None else storable(redact_text(str(message)[:LONGEST_MESSAGE])),
        "current_step": None if current_step is None else storable(redact_text(str(current_step)[:LONGEST_STEP])),
        "data": _stored(data) if data else None,
    }
    running = running_job()
    if running is not None:
        running.reports.hear(running, row)
    return _BREATH


def _checked(fraction: float) -> float:
    number = float(fraction)
    if not (math.isfinite(number) and 0 <= number <= 1):
        raise ValueError(f"progress is a fraction from 0 to 1, not {fraction!r}")
    return number


def _stored(data: dict[str, Any]) -> Any:
    """Return the data as it will be read back: what is changed by the task afterwards is not in this report."""
    text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)
    if len(text) > LARGEST_DATA:
        raise ValueError(f"the data of a progress report has {len(text):,} bytes of JSON; {LARGEST_DATA:,} are allowed")
    return redact(without_nul(orjson.loads(text)))


class Reports:
    """The way of reports from the tasks of one worker to its writer. Made in the worker's loop."""

    def __init__(self, write: Callable[[Report], None]) -> None:
        self._write = write
        self._numbers = count(1)
        self.loop = asyncio.get_running_loop()

    def hear(self, running: RunningJob, row: Row) -> None:
        """Take a report, from any thread. That of a run that is over is dropped: its thread may have outlived it."""
        if running.ended or self.loop.is_closed():
            return
        if loop_here() is self.loop:
            self._take(running, row)
        else:
            self.loop.call_soon_threadsafe(self._take, running, row)

    def _take(self, running: RunningJob, row: Row) -> None:
        if running.ended:
            return
        if running.throttle is None:
            running.throttle = Throttle(self.loop, self._write)
        of_run = {"job_id": running.job_id, "attempts": running.attempt - 1, "claim": running.claim}
        running.throttle.add(Report(row | of_run | {"report": next(self._numbers)}, running.told))


class Throttle:
    """Passes on the first report of a run at once, then the newest every `WRITE_SECONDS`, and at the end the last."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[Report], None]) -> None:
        self._loop = loop
        self._write = write
        self._newest: Report | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, report: Report) -> None:
        """Take the newest report; it replaces the one that waits."""
        self._newest = report
        if self._timer is None:
            self._pass_on()

    def _pass_on(self) -> None:
        self._timer = None
        if self._newest is not None:
            report, self._newest = self._newest, None
            self._write(report)
            self._timer = self._loop.call_later(WRITE_SECONDS, self._pass_on)

    def close(self) -> None:
        """The run is over: pass on what waits, ahead of its settlement."""
        if self._timer is not None:
            self._timer.cancel()
        if self._newest is not None:
            self._write(self._newest)


async def write_reports(conn: psycopg.AsyncConnection[Any], worker_id: int, reports: Sequence[Report]) -> None:
    """Store the newest reports of jobs that this worker still runs; one that Postgres refuses is told and dropped.

    Raises:
        psycopg.OperationalError: The database is out of reach.
    """
    try:
        await conn.execute(SQL["write_progress"], (worker_id, orjson.dumps([each.row for each in reports]).decode()))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(reports) == 1:
            emit(ProgressRefused(reports[0].attempt, refusal_of(error)))
            return
        for each in reports:
            await write_reports(conn, worker_id, [each])
