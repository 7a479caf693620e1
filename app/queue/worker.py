"""The worker: Procrastinate's, with its loop replaced by one that claims and settles in groups.

Overridden on purpose and pinned by tests/queue/test_conformance.py: `_run_loop` and `_shutdown`, because plain
Procrastinate fetches one job per round trip, stops its heartbeat before it drains, and ends with its listener.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg
from procrastinate import worker as procrastinate_worker
from procrastinate.job_context import AbortReason, JobContext

from .. import telemetry
from .call import Calls
from .claim import Claimed, Claims, UnreadableJobs
from .execute import Executor
from .loops import TROUBLE, cut_short, promptly, side_loops
from .overload import Overload
from .presence import Presence, tell_drain, tell_presence
from .settle import Settler, UnsettledJobs
from .signals import obeying
from .task import runs_in_loop

if TYPE_CHECKING:
    from .app import Afresh

LOOK_AHEAD = 0.05
"""Seconds of work that may be claimed beyond what runs at once, where jobs are short."""

LONGEST_LOOK_AHEAD = 200
"""Jobs claimed ahead at most."""

STALE_AHEAD = 0.2
"""A job claimed ahead that has not started after so many seconds goes back for other workers."""

THREAD_NOTICE = 2.0
"""Seconds that a thread has to notice that its worker stops, before its job goes back without it."""

LAST_WORDS = 5.0
"""Seconds that a stopping worker has at least to write how its jobs ended, however short its grace; that a task has to
end after it was cancelled: one that refuses loses its job all the same; and that all else may take that it says."""


class AfreshWorker(procrastinate_worker.Worker):
    """Claims as many jobs as there is room for, runs them, and hands their ends to the one writer."""

    app: "Afresh"

    async def _run_loop(self) -> None:
        """Work until stopped; then let go of everything in order."""
        self._begin()
        await self._meet_dependencies()
        telemetry.emit(telemetry.WorkerStarted(self._label, tuple(self.queues or ()), self.concurrency))
        side = side_loops(self)
        with obeying(self.stop) if self.install_signal_handlers else contextlib.nullcontext():
            try:
                await cut_short(self._work(), stop=self._stop_event, within=LAST_WORDS)
            finally:
                await self._shutdown(side)
                telemetry.emit(telemetry.WorkerStopped(self._label))

    def _begin(self) -> None:
        assert self.worker_id is not None  # noqa: S101  Worker.run registers before it starts the loop.
        self._running_jobs = {}
        self._claimed: dict[asyncio.Task[Any], Claimed] = {}
        self.app.running[self] = self._claimed
        self._missed_at = time.monotonic() + self.update_heartbeat_interval
        self._returning: set[int] = set()
        self._registering = asyncio.Lock()
        self._ahead: deque[tuple[Claimed, float]] = deque()
        self._average = 1.0
        self._releasing: asyncio.Task[None] | None = None
        self._letting_go = asyncio.Lock()
        self._draining = False
        self.settler = Settler(self.app, self.worker_id, self.delete_jobs)
        self.claims = Claims(self.app, self.worker_id, list(self.queues) if self.queues else None)
        self._calls = Calls(self.app, self)
        self.overload = Overload(self._label, self.app.settings.worker, self.app.read_load)
        self.presence = Presence(self._label, self.queues, self.concurrency, self.app.settings.database.data_dir)
        self._executor = Executor(self.app, self._calls, self.settler.add, self.settler.report)
        self._new_job_event.clear()

    async def _meet_dependencies(self) -> None:
        """Know the breakers before the first claim, and say what the tasks here rely on and how many run at once."""
        with contextlib.suppress(*TROUBLE):  # It is looked at every second anyway.
            await self.app.dependencies.introduce()
            await self.app.dependencies.refresh()
            await tell_drain(self.app)

    @property
    def _label(self) -> str:
        return self.worker_name or f"worker-{self.worker_id}"

    def stop(self) -> None:
        """Take no more jobs, and end when those that run have ended. May be called from any thread."""
        super().stop()  # type: ignore[no-untyped-call]  # Procrastinate's is not annotated.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._new_job_event.set)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop_event.is_set()

    # Claiming

    async def _work(self) -> None:
        empty = 0
        while not self.stopping:
            self._new_job_event.clear()
            await self._adopt_missed()
            room = self._room()
            if room == 0:
                await self._pause(self.update_heartbeat_interval)
                continue
            landed = self.settler.landed
            claimed = await self._claim(room)
            if claimed is None:
                continue
            self._accept(claimed)
            empty = 0 if claimed else empty + 1
            if claimed:
                await asyncio.sleep(0)  # What was claimed starts before the next claim is put together.
            # Empty-handed twice: other workers who claim at the same moment hide each other's jobs for an instant.
            if empty == 1:
                await self._pause(0.01)
            elif empty:
                empty = await self._rest(landed)

    async def _rest(self, landed: int) -> int:
        """Wait until there may be work again, or stop where all is done; return how often it was looked for already."""
        if self.wait:
            await self._sleep_until_work()
            return 0
        if self._running_jobs:
            await self._sleep_until_work()
            return 1
        await self.settler.drained()
        if self.settler.landed == landed:
            self.stop()
        return 0  # What landed since may let others run: a lock, a retry without delay.

    def _room(self) -> int:
        """How many jobs to claim now: with no slot free, none until half of those in hand is gone, for large claims."""
        if self.overload.active:
            return 0
        ahead = min(LONGEST_LOOK_AHEAD, int(self.concurrency * LOOK_AHEAD / self._average))
        in_hand = len(self._running_jobs) + len(self._ahead)
        if in_hand >= self.concurrency and in_hand > (self.concurrency + ahead) // 2:
            return 0
        return max(0, self.concurrency + ahead - in_hand)

    async def _claim(self, room: int) -> list[Claimed] | None:
        registered = self.worker_id
        try:
            claimed = await self.claims.take(room, idle=not self._running_jobs)
        except psycopg.errors.ForeignKeyViolation:  # Pruned: somebody took this worker for lost.
            await self.register_again(registered)
            return None
        except UnreadableJobs:
            self._missed_at = 0.0
            return None
        except TROUBLE as error:
            self._missed_at = 0.0  # It may have been done, with only the answer lost.
            self.settler.outage.lost("claims", error)
            await self._pause(1.0)
            return None
        self.settler.outage.back("claims")
        return claimed

    async def _adopt_missed(self) -> None:
        """From time to time, and after a claim that failed, look for jobs that only the database knows to be ours."""
        if time.monotonic() < self._missed_at:
            return
        known = {context.job.id or 0 for context in self._running_jobs.values()}
        known |= {each.job_id for each, _ in self._ahead} | self._returning | set(self.settler.unconfirmed)
        with contextlib.suppress(*TROUBLE):
            missed, unreadable = await self.claims.missed(list(known))
            for each, error in unreadable:
                self._executor.refuse(each, error)
            self._accept(missed)
            self._missed_at = time.monotonic() + self.update_heartbeat_interval

    def _accept(self, claimed: list[Claimed]) -> None:
        self.settler.forget(each.job_id for each in claimed)
        now = time.monotonic()
        for each in claimed:
            if len(self._running_jobs) < self.concurrency and not self.stopping:
                self._start(each)
            else:
                self._ahead.append((each, now))
        if self._ahead:
            asyncio.get_running_loop().call_later(STALE_AHEAD, self._release_stale)

    async def _sleep_until_work(self) -> None:
        """Until something is announced, something falls due, or the polling interval ends."""
        pause = self.fetch_job_polling_interval
        with contextlib.suppress(*TROUBLE):  # The interval alone does, until the database is back.
            waits = (await self.claims.next_due(), self.claims.gate.pause())
            pause = min([pause, *(max(0.0, each) for each in waits if each is not None)])
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._new_job_event.set)
        try:
            await self._new_job_event.wait()
        finally:
            timer.cancel()

    # Running

    def _start(self, claimed: Claimed) -> None:
        job_id = claimed.job_id
        context = JobContext(
            app=self.app,
            worker_name=self.worker_name,
            worker_queues=self.queues,
            additional_context=self.additional_context.copy() if self.additional_context else {},
            job=claimed.job,
            abort_reason=lambda: self._job_ids_to_abort.get(job_id),
            start_timestamp=time.time(),
        )
        if claimed.job.abort_requested:
            self._job_ids_to_abort[job_id] = AbortReason.USER_REQUEST
        self._executor.expect(claimed)
        run = asyncio.create_task(self._executor.execute(claimed, context, self))
        self._running_jobs[run] = context
        self._claimed[run] = claimed
        run.add_done_callback(self._ended)

    def _ended(self, run: asyncio.Task[Any]) -> None:
        context = self._running_jobs.pop(run)
        fault = None if run.cancelled() else run.exception()
        self._executor.ensure_settled(self._claimed.pop(run), context, fault)
        self._job_ids_to_abort.pop(context.job.id or 0, None)
        self._average += 0.1 * (max(1e-5, time.time() - context.start_timestamp) - self._average)
        if self._ahead and (self.overload.active or self.app.dependencies.braked() or self.claims.gate.has_shut()):
            self._let_go()
        else:
            self._start_ahead()
        self._new_job_event.set()

    def _start_ahead(self) -> None:
        """Start what was claimed ahead where there is room by now."""
        while self._ahead and len(self._running_jobs) < self.concurrency and not self.stopping:
            self._start(self._ahead.popleft()[0])

    def _release_stale(self) -> None:
        """Jobs that were to start within an instant and could not: others may have room for them."""
        late = time.monotonic() - STALE_AHEAD / 2
        if self._ahead and self._ahead[0][1] <= late and not self.stopping:
            self._let_go()

    def _let_go(self) -> None:
        if self._releasing is None or self._releasing.done():
            self._average = max(self._average, 2 * LOOK_AHEAD * self.concurrency)  # Nothing ahead until jobs end.
            self._releasing = asyncio.create_task(self.release_ahead())

    async def release_ahead(self) -> None:
        """Give back what was claimed ahead and has not started.

        What cannot go back is kept, and starts here when there is room: a job that was asked to abort, and one whose
        queueing lock another job waits with. Where the answer was lost nobody knows; then a settlement gives them back.
        """
        async with self._letting_go:
            if not self._draining:
                await self._release_ahead()

    async def _release_ahead(self) -> None:
        ahead, unknown = list(self._ahead), list(self._ahead)
        self._ahead.clear()
        ids = {each.job_id for each, _ in ahead}
        self._returning |= ids
        try:
            kept = await asyncio.wait_for(self.claims.release([each for each, _ in ahead]), LAST_WORDS)
        except psycopg.IntegrityError:
            kept, unknown = ids, []
        except TROUBLE:
            kept = set()
        else:
            unknown = []
        finally:
            self._returning -= ids
            for each, _ in unknown:
                self._executor.give_back(each)
        self._ahead.extendleft(reversed([each for each in ahead if each[0].job_id in kept]))
        self._start_ahead()  # The last job that ran may have ended meanwhile, and found nothing to start.

    async def beat(self, *, anew: bool = False) -> None:
        """Say that this worker lives, on a new connection if so wished; pruned by others, it registers again.

        Raises:
            psycopg.Error, procrastinate.exceptions.ConnectorException, TimeoutError: Nothing was said.
        """
        budgets = self.app.dependencies.budgets()
        registered = self.worker_id
        said = self.presence.report(registered or 0, len(self._running_jobs), self.overload, budgets)
        if not await tell_presence(self.app, said, anew=anew):
            await self.register_again(registered)

    async def register_again(self, pruned: int | None) -> None:
        """Go on under a new registration: the one that was `pruned` is gone, and its jobs are others' by now."""
        with contextlib.suppress(*TROUBLE):  # The next claim or heartbeat tries again.
            async with self._registering:
                if self.worker_id != pruned:  # A claim and a heartbeat noticed it, the later one maybe long after.
                    return
                worker_id = await self.app.job_manager.register_worker()
            self._ahead.clear()
            self.worker_id = worker_id
            self.settler.worker_id = worker_id
            self.claims.worker_id = worker_id

    async def _handle_notification(self, *, channel: str, notification: Any) -> None:
        if notification["type"] == "held":  # A job claimed ahead may belong to what is held back now.
            await self.release_ahead()
        elif notification["type"] == "breaker":
            await self._see_breakers()
        else:
            self.claims.hear(notification)
            await super()._handle_notification(channel=channel, notification=notification)

    async def _see_breakers(self) -> None:
        """A breaker moved, or has room for a probe: let go of what is shut, and look whether there is more to do."""
        with contextlib.suppress(*TROUBLE):  # It is looked at every second anyway.
            await self.app.dependencies.refresh()
            if self.claims.gate.has_shut():
                await self.release_ahead()
        self.claims.gate.look_again()
        self._new_job_event.set()

    def _handle_abort_jobs_requested(self, job_ids: Any) -> None:
        wanted = set(job_ids)
        for claimed, _ in self._ahead:
            if claimed.job_id in wanted:
                self._job_ids_to_abort[claimed.job_id] = AbortReason.USER_REQUEST
        super()._handle_abort_jobs_requested(wanted)

    def _abort_job(self, process_job_task: asyncio.Task[Any], context: JobContext, reason: AbortReason) -> None:
        self._job_ids_to_abort[context.job.id or 0] = reason
        if self._is_async(context):  # Others ask ``context.should_abort()``.
            self._cancel(process_job_task)

    def _is_async(self, context: JobContext) -> bool:
        task = self.app.tasks.get(context.job.task_name)
        return task is not None and runs_in_loop(task)

    @staticmethod
    def _cancel(run: asyncio.Task[Any]) -> None:
        """Cancel a run behind its first step: cancelled before, it would end without a settlement."""
        asyncio.get_running_loop().call_soon(run.cancel)

    # Letting go

    async def _shutdown(self, side_tasks: list[asyncio.Task[Any]]) -> None:
        """Drain while the heart still beats; what does not end in time goes back to the queue."""
        await self.release_ahead()
        async with self._letting_go:
            self._draining = True  # What could not go back by now goes the way of what runs.
        if self._running_jobs:
            await asyncio.wait(self._running_jobs, timeout=self.shutdown_graceful_timeout)
        await self._release_running()
        grace = self.shutdown_graceful_timeout
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.settler.drained(), None if grace is None else max(grace, LAST_WORDS))
        with contextlib.suppress(*TROUBLE):  # A permit that is not given back runs out.
            await promptly(self.app.dependencies.flush(), within=LAST_WORDS)
        unsettled = len(self.settler.unconfirmed)
        for task in side_tasks:
            task.cancel()
        await asyncio.wait(side_tasks, timeout=LAST_WORDS)  # What has no answer is slow to be cancelled, too.
        self._calls.close()
        if self.worker_id is not None:
            with contextlib.suppress(*TROUBLE):
                await promptly(self.claims.sign_off(), within=LAST_WORDS)
        self.worker_id = None
        if unsettled:
            raise UnsettledJobs(unsettled)

    async def _release_running(self) -> None:
        for claimed, _ in self._ahead:  # Those that could not go back go the way of those that run.
            self._job_ids_to_abort.setdefault(claimed.job_id, AbortReason.SHUTDOWN)
            self._start(claimed)
        self._ahead.clear()
        running = dict(self._running_jobs)
        for run, context in running.items():
            self._abort_job(run, context, self._job_ids_to_abort.get(context.job.id or 0, AbortReason.SHUTDOWN))
        if threads := [run for run, context in running.items() if not self._is_async(context)]:
            await asyncio.wait(threads, timeout=THREAD_NOTICE)
            for run in threads:
                self._cancel(run)
        if running:
            await asyncio.wait(running, timeout=LAST_WORDS)
        for run, context in self._running_jobs.items():
            self._executor.ensure_settled(self._claimed[run], context, None)
