"""THE SPINE. One run of one job: begin → call the task → outcome → classify → decide → settle.

    Returned   the task came back                        → success
    Raised     it raised, or ran out of time             → Failure → Decision → retry, snooze or dead letter
    Stopped    somebody asked for its end                → aborted
    Released   its worker stops                          → back to the queue, at no cost
    PutOff     it can wait, and these are dear hours    → snoozed until they are over
    Expired    its deadline passed while it waited       → dead, without having run
    Missing    no task of that name is known here        → snoozed for a grace time, then dead

Decides purely, acts once: whatever happened, exactly one settlement is handed to `settle`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, assert_never

from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason, JobContext

from .. import telemetry
from ..retry.failure import Failure
from ..retry.policy import DeadLetter, DeathCause, Decision, Retry, Snooze
from . import decide, record
from .call import AttemptTimedOut, Calls, Prepared
from .claim import Claimed
from .dependencies import Call
from .effects import note_late
from .guarded import Blame, Blamed, DependencyUnavailable, let_go, refusal_in
from .progress import Report, Reports
from .settle import Settlement
from .storable import encoded
from .task import RunningJob, _current, options_of

if TYPE_CHECKING:
    from procrastinate.worker import Worker

    from .app import Afresh


@dataclass(frozen=True, slots=True)
class Returned:
    """The task came back with `value`, and needs the checkpoints of these jobs no more."""

    value: Any
    checkpoints_of: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Raised:
    """The task raised, or ran out of time."""

    exception: BaseException
    blamed: tuple[Blamed, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopped:
    """Somebody asked for the job's end."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker stops before the job is done."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No task of that name is known here."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Its deadline passed before it could begin."""

    deadline: datetime


@dataclass(frozen=True, slots=True)
class PutOff:
    """Its work can wait for the quiet hours."""

    decision: Snooze


Outcome = Returned | Raised | Stopped | Released | Missing | Expired | PutOff


class Executor:
    """Runs the jobs of one worker."""

    def __init__(
        self,
        app: "Afresh",
        calls: Calls,
        settle: Callable[[Settlement], None],
        report: Callable[[Report], None],
    ) -> None:
        self._app = app
        self._calls = calls
        self._settle = settle
        self._reports = Reports(report)
        self._unsettled: dict[tuple[int, int], RunningJob | None] = {}
        self._given_up: dict[tuple[int, int], AttemptTimedOut] = {}

    async def execute(self, claimed: Claimed, context: JobContext, worker: "Worker") -> None:
        """Run a claimed job to its settlement. Raises nothing: a job's trouble stays the job's.

        `expect` comes before it and `ensure_settled` after it.
        """
        prepared = self._calls.prepare(claimed.job.task_name)
        attempt = _attempt(claimed, prepared)
        began = datetime.now(UTC)
        telemetry.emit(telemetry.AttemptStarted(attempt))
        kept_back = self._kept_back(claimed, prepared, context)
        outcome = kept_back or await self._run(claimed, prepared, attempt, context, worker)
        if (given_up := self._given_up.pop((claimed.job_id, claimed.claim), None)) is not None:
            await self._calls.bring_forward(given_up, claimed.job_id)
            return
        ended = max(began, datetime.now(UTC))
        run = record.Run(claimed, attempt, began, ended, prepared)
        self._tell_dependency(claimed.call, outcome)
        try:
            settlement = await self._conclude(outcome, run)
        except BaseException as error:  # noqa: BLE001  Our own fault: without a settlement the job would run for ever.
            settlement = _followed(run, *decide.after_own_fault(error))
        self._settle_once(settlement)
        if isinstance(outcome, Raised) and isinstance(outcome.exception, AttemptTimedOut):
            await self._calls.wait_for_thread(outcome.exception, claimed)

    def _tell_dependency(self, call: Call | None, outcome: Outcome) -> None:
        """What a failure says about a dependency is judged with it; everything else here."""
        if call is None:
            return
        match outcome:
            case Returned():
                self._app.dependencies.worked(call)
            case Raised(exception) if not isinstance(exception, DependencyUnavailable):
                return
            case _:
                self._app.dependencies.unused(call)

    def expect(self, claimed: Claimed) -> None:
        """Note that a run begins, and so owes a settlement."""
        self._unsettled[claimed.job_id, claimed.claim] = None

    def ensure_settled(self, claimed: Claimed, context: JobContext, fault: BaseException | None) -> None:
        """Settle a run that has not done so itself: it refuses to end on request, or ended by a fault of ours.

        Only what was asked to end goes back: anything else would meet the same fault again, for ever.
        """
        if (claimed.job_id, claimed.claim) not in self._unsettled:
            return
        if context.abort_reason():
            self.give_back(claimed)
        else:
            fault = fault or asyncio.CancelledError()
            self._settle_once(_followed(self._unstarted(claimed), *decide.after_own_fault(fault)))

    def limit_of(self, claimed: Claimed) -> float | None:
        """Seconds that an attempt may run; None: it is not one that `give_up` could end, or has been ended.

        A job with a lock is none: the lock promises one at a time. A thread is given up at its limit by itself.
        """
        prepared = self._calls.prepare(claimed.job.task_name)
        running = self._unsettled.get((claimed.job_id, claimed.claim))
        if prepared is None or not prepared.is_async or claimed.job.lock is not None or running is None:
            return None
        return None if running.finished else (claimed.timeout or prepared.timeout).total_seconds()

    async def give_up(self, claimed: Claimed, context: JobContext, rest: asyncio.Task[Any]) -> None:
        """Settle an attempt that goes on beyond its limit although it was cancelled; what comes of it is discarded."""
        key, prepared = (claimed.job_id, claimed.claim), self._calls.prepare(claimed.job.task_name)
        running = self._unsettled.get(key)
        if running is None or prepared is None:
            return
        timed_out = self._given_up[key] = AttemptTimedOut(claimed.timeout or prepared.timeout, rest)
        _close(running)
        blamed = tuple(running.blamed)
        running.blamed.clear()  # What it calls from now on is told by itself.
        outcome: Outcome = Raised(timed_out, blamed)
        if context.abort_reason():
            outcome = _ended_on_request(context)
            let_go(self._app.dependencies, blamed, own=running.call)
        self._tell_dependency(claimed.call, outcome)
        began = datetime.fromtimestamp(context.start_timestamp, UTC)
        run = record.Run(claimed, _attempt(claimed, prepared), began, max(began, datetime.now(UTC)), prepared)
        self._settle_once(await self._conclude(outcome, run))

    def give_back(self, claimed: Claimed) -> None:
        """Put a job back into its queue at no cost."""
        run = self._unstarted(claimed)
        self.expect(claimed)
        self._tell_dependency(claimed.call, Released())
        self._settle_once(run.settlement(record.released(run), telemetry.JobReleased(run.attempt)))

    def refuse(self, claimed: Claimed, error: Exception) -> None:
        """Bury a job that was claimed and cannot be read."""
        self.expect(claimed)
        self._tell_dependency(claimed.call, Released())
        self._settle_once(_followed(self._unstarted(claimed), *decide.after_unreadable_row(error), counted=False))

    def _unstarted(self, claimed: Claimed) -> record.Run:
        """A run that has not begun. Nothing here may fail: without a settlement the job would run for ever."""
        task = self._app.tasks.get(claimed.job.task_name)
        declared = None if task is None else options_of(task).task_type
        attempt, now = _attempt(claimed, self._calls.known(claimed.job.task_name)), datetime.now(UTC)
        attempt = attempt._replace(operation_type=attempt.operation_type or declared)
        return record.Run(claimed, attempt, now, now, None)

    def _settle_once(self, settlement: Settlement) -> None:
        run = (settlement.job_id, settlement.claim)
        if run in self._unsettled:
            del self._unsettled[run]
            self._settle(settlement)

    def _kept_back(self, claimed: Claimed, prepared: Prepared | None, context: JobContext) -> Expired | PutOff | None:
        self._app.adaptation.meet(claimed.job.queue)
        if prepared is None or context.abort_reason():
            return None
        now = datetime.now(UTC)
        if claimed.deadline is not None and claimed.deadline <= now:
            return Expired(claimed.deadline)
        decision = self._app.adaptation.put_off(claimed, prepared, now)
        return None if decision is None else PutOff(decision)

    async def _run(
        self,
        claimed: Claimed,
        prepared: Prepared | None,
        attempt: telemetry.Attempt,
        context: JobContext,
        worker: "Worker",
    ) -> Outcome:
        if context.abort_reason():  # Asked for before it began.
            return _ended_on_request(context)
        if prepared is None:
            return Missing()
        job = claimed.job
        limit = claimed.timeout or prepared.timeout
        running = RunningJob(
            self._app, claimed.job_id, job.task_name, attempt.attempt, claimed.claim, self._reports, attempt, limit
        )
        running.worker_id = job.worker_id
        running.delete = worker.delete_jobs
        running.call = claimed.call
        self._unsettled[claimed.job_id, claimed.claim] = running
        token = _current.set(running)
        outcome: Outcome
        try:
            value = await self._calls.call(prepared, claimed, context, worker)
            outcome = Returned(value, () if running.checkpoints is None else tuple(running.checkpoints.jobs))
        except BaseException as error:  # noqa: BLE001  The job boundary: whatever a task raises ends that job alone.
            outcome = _broken_off(running, context, error)
        finally:
            _current.reset(token)
            _close(running)
        if not isinstance(outcome, Raised) or isinstance(outcome.exception, DependencyUnavailable):
            let_go(self._app.dependencies, running.blamed, own=running.call)
        return outcome

    async def _conclude(self, outcome: Outcome, run: record.Run) -> Settlement:  # noqa: PLR0911  One for each outcome.
        match outcome:
            case Returned(value, checkpoints_of):
                return _success(run, value, checkpoints_of)
            case Raised(DependencyUnavailable() as refusal):
                return _followed(run, *decide.after_refusal(self._app.engine, run, refusal), counted=False)
            case Raised(exception, blamed):
                return await self._failure(run, exception, blamed)
            case Stopped():
                event = telemetry.AttemptAborted(run.attempt, run.seconds)
                return run.settlement(record.aborted(run), event)
            case Released():
                return run.settlement(record.released(run), telemetry.JobReleased(run.attempt))
            case PutOff(decision):
                return _put_off(run, decision)
            case Expired(deadline):
                return _followed(run, *decide.after_deadline(deadline), counted=False)
            case Missing():
                return _followed(run, *decide.after_missing_task(self._app.engine, run), counted=False)
            case _:
                assert_never(outcome)

    async def _failure(self, run: record.Run, exception: BaseException, blamed: tuple[Blamed, ...]) -> Settlement:
        blame = Blame(self._app.dependencies, run.claimed.call, blamed, exception)
        failure, decision = self._decided(run, exception, blame.judge)
        if blame.may_be_held and isinstance(decision, DeadLetter) and decision.cause is DeathCause.PERMANENT:
            # With a revoked key all that are in flight fail before the hold that spares them is known.
            with contextlib.suppress(asyncio.CancelledError):  # The run is over: there is nothing left to cancel.
                await self._app.dependencies.heard()
            failure, decision = self._decided(run, exception, blame.judge_again)
        blame.charge(failure, decision)
        return _followed(run, failure, decision, exception)

    def _decided(self, run: record.Run, exception: BaseException, judge: decide.Judge) -> tuple[Failure, Decision]:
        judging = self._app.adaptation.judging(run, judge)
        return decide.after_failure(self._app.engine, run, exception, judging)


def _close(running: RunningJob) -> None:
    """Take no more reports of a run, and pass on the last one, ahead of its settlement."""
    running.ended = True
    if running.throttle is not None:
        running.throttle.close()
        running.throttle = None


def _broken_off(running: RunningJob, context: JobContext, error: BaseException) -> Outcome:
    if running.finished:
        note_late(running, error)
        return Returned(None)
    # Our own cancellations say why; a task that raises one by itself has failed like any other.
    cancelled = isinstance(error, asyncio.CancelledError) and context.abort_reason()
    if cancelled or isinstance(error, JobAborted):
        return _ended_on_request(context)
    return Raised(refusal_in(error) or error, tuple(running.blamed))


def _ended_on_request(context: JobContext) -> Stopped | Released:
    return Released() if context.abort_reason() is AbortReason.SHUTDOWN else Stopped()


def _success(run: record.Run, value: Any, checkpoints_of: tuple[int, ...]) -> Settlement:
    event = telemetry.AttemptSucceeded(run.attempt, run.seconds)
    result, note = (None, None) if value is None else encoded(value)
    return run.settlement(None, event, result=result, note=note, checkpoints_of=checkpoints_of)


def _followed(
    run: record.Run,
    failure: Failure,
    decision: Decision,
    exception: BaseException | None = None,
    *,
    counted: bool = True,
) -> Settlement:
    """What a decision makes of a run; one that never came to its call has spent no attempt, however it ends."""
    why = record.explained(decision)
    ending = record.failed(run, failure, decision, why, exception)
    ending["counted"] = ending["counted"] and counted
    return run.settlement(ending, *_told(run, failure, decision, why.reason))


def _put_off(run: record.Run, decision: Snooze) -> Settlement:
    why = record.explained(decision)
    event = telemetry.AttemptSnoozed(run.attempt, run.seconds, decision, why.reason)
    return run.settlement(record.put_off(run, decision, why), event)


def _told(run: record.Run, failure: Failure, decision: Decision, reason: str) -> tuple[telemetry.Event, ...]:
    match decision:
        case Snooze():
            return (telemetry.AttemptSnoozed(run.attempt, run.seconds, decision, reason, failure),)
        case Retry():
            return (telemetry.AttemptFailed(run.attempt, run.seconds, failure, decision, reason),)
        case DeadLetter(cause):
            return (
                telemetry.AttemptFailed(run.attempt, run.seconds, failure, decision, reason),
                telemetry.JobBuried(run.attempt, cause, reason),
            )
        case _:
            assert_never(decision)


def _attempt(claimed: Claimed, prepared: Prepared | None) -> telemetry.Attempt:
    retries = claimed.max_retries if claimed.max_retries is not None else (prepared.max_retries if prepared else None)
    return telemetry.Attempt(
        claimed.job.task_name,
        claimed.job.attempts + 1,
        None if retries is None else retries + 1,
        claimed.job_id,
        claimed.job.queue,
        claimed.task_type or (prepared.options.task_type if prepared else None),
        claimed.correlation_id,
        prepared.track_metrics if prepared else True,
    )
