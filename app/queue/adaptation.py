"""What decisions adapt to beside the dependency: how such retries went, how deep the queue is, which hours are dear.

A decision reads memory. The database is asked every few seconds, and only about queues whose jobs run here.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ..retry.adapt import OFF_PEAK_SPREAD_SECONDS
from ..retry.circumstances import Circumstances
from ..retry.decide import SNOOZED, rng_for
from ..retry.failure import Failure, FailureType
from ..retry.learning import Samples
from ..retry.offpeak import PeakHours, is_deferrable, peak_end
from ..retry.policy import Snooze, SnoozeReason, Step
from ..store.adaptation import count_ready, read_samples
from .claim import Claimed
from .connector import AfreshConnector
from .task import TaskOptions

if TYPE_CHECKING:
    from .app import Afresh
    from .call import Prepared
    from .decide import Judge
    from .record import Run

LOOK_SECONDS = 2.0
"""Between two counts of a queue's ready jobs."""

FRESH_SECONDS = 10.0
"""For so long a count is believed."""

SAMPLES_SECONDS = 60.0
"""Between two looks at how retries went, which is counted every ten minutes."""

DEEPEST = 1_000
"""Ready jobs are counted up to this."""


class _Depth(NamedTuple):
    ready: int
    at: float


class Adaptation:
    """What the decisions of one process adapt to."""

    def __init__(self, app: "Afresh") -> None:
        self._app = app
        self._on = app.settings.retry.adaptive
        self._peak = app.settings.off_peak.peak
        self._samples: Mapping[tuple[str, str], Samples] = {}
        self._samples_due = 0.0
        self._depths: dict[str, _Depth] = {}
        self._queues: set[str] = set()
        self._met = asyncio.Event()

    # Reading

    def meet(self, queue: str) -> None:
        """A job of this queue runs here: its depth is worth knowing."""
        if queue not in self._queues:
            self._queues.add(queue)
            self._met.set()

    def samples(self, task_name: str, kind: FailureType) -> Samples | None:
        """How such retries went; None: learning is off."""
        return self._samples.get((task_name, kind), Samples(0, 0)) if self._on else None

    def ready_jobs(self, queue: str) -> int:
        """How many jobs of a queue could run now, as counted last, `DEEPEST` at most; 0 where nobody has counted."""
        known = self._depths.get(queue)
        return known.ready if self._on and known and time.monotonic() - known.at < FRESH_SECONDS else 0

    def judging(self, run: "Run", judge: "Judge") -> "Judge":
        """Put what is known here beside what `judge` knows of the dependency."""
        job, options = run.claimed.job, run.prepared.options if run.prepared else None

        def judge_all(failure: Failure) -> Circumstances:
            around, samples = judge(failure), self.samples(job.task_name, failure.type)
            ready, peak = self.ready_jobs(job.queue), self._hours_of(run.claimed, options)
            if around is None:
                return Circumstances(samples=samples, ready_jobs=ready, peak=peak)
            return around._replace(samples=samples, ready_jobs=ready, peak=peak)

        return judge_all

    def put_off(self, claimed: Claimed, prepared: "Prepared", now: datetime) -> Snooze | None:
        """Let a job that is about to run wait, if it can and these are dear hours; None: it runs.

        Each time that it wakes in such hours, be it that a hold kept it over the quiet ones: but not where its deadline
        would pass, or MAX_WAIT with what it has waited so. A retry is left where a foreign strategy put it.
        """
        hours = self._hours_of(claimed, prepared.options)
        end = peak_end(now, hours) if hours else None
        if hours is None or end is None:
            return None
        waited = timedelta(seconds=(claimed.waited or {}).get(SnoozeReason.OFF_PEAK, 0.0))
        if waited + (end - now) > self._app.settings.retry.max_wait:
            return None
        if claimed.job.attempts and self._app.engine.tier_of(prepared.task) is None:
            return None
        spread = rng_for(claimed.job_id, claimed.job.attempts).uniform(0, OFF_PEAK_SPREAD_SECONDS)
        at = end + timedelta(seconds=spread)
        if claimed.deadline is not None and claimed.deadline <= at:
            return None
        step = Step("off_peak", f"peak hours {hours} → {at:%H:%M:%S}", {"delay_seconds": (at - now).total_seconds()})
        return Snooze(at, at - now, SnoozeReason.OFF_PEAK, (step, SNOOZED))

    def _hours_of(self, claimed: Claimed, options: TaskOptions | None) -> PeakHours | None:
        cost = claimed.cost or (options.cost if options else None)
        return self._peak if is_deferrable(cost, claimed.job.priority) else None

    # Looking

    async def look(self) -> None:
        """Keep what is known fresh until cancelled.

        Raises:
            psycopg.Error, TimeoutError: The database is out of reach.
        """
        while self._on:
            # Not `wait_for`: up to Python 3.11 it loses a cancellation that comes just after what it waited for, and a
            # worker that stops would wait for this loop for ever.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAMPLES_SECONDS):
                    await self._met.wait()
            await self.refresh()
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self) -> None:
        """Read how retries went, if it is time, and count the queues whose jobs ran since the last look.

        Raises:
            psycopg.Error, TimeoutError: The database is out of reach.
        """
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            return
        queues, self._queues = self._queues, set()
        self._met.clear()
        async with connector.connection() as conn:
            if time.monotonic() >= self._samples_due:
                read = await read_samples(conn)
                self._samples = {
                    (each.task_name, each.failure_type): Samples(each.retries, each.successes) for each in read
                }
                self._samples_due = time.monotonic() + SAMPLES_SECONDS
            own = self._app.own_dependencies()
            counts = {queue: await count_ready(conn, queue, own=own, most=DEEPEST) for queue in queues}
        now = time.monotonic()
        fresh = {queue: each for queue, each in self._depths.items() if now - each.at < FRESH_SECONDS}
        self._depths = fresh | {queue: _Depth(ready, now) for queue, ready in counts.items()}
