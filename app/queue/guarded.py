"""The same breaker inside a task, for dependencies that are only known while it runs."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ..retry.breaker.local import Seen
from ..retry.breaker.relevance import Relevance
from ..retry.breaker.states import State, checked_name
from ..retry.circumstances import Circumstances
from ..retry.classify import Context, classify
from ..retry.failure import Failure
from ..retry.policy import Decision, SnoozeReason
from ..retry.rules import book
from ..store import breakers
from .dependencies import Call, Dependencies
from .gate import first_look
from .task import RunningJob, current_job

if TYPE_CHECKING:
    from .app import Afresh

LOOK_AGAIN = timedelta(seconds=60)
"""After which a job comes back where its breaker has no end of its own, or where others look before it."""

SHORTEST_WAIT = timedelta(seconds=1)
SPREAD_SECONDS = 5.0
CROWD_SECONDS = 25.0
"""Over how long those are spread who do not look first."""


class DependencyUnavailable(Exception):  # noqa: N818  Reads as what happened.
    """The breaker of a dependency lets nobody in. Raised out of a task it puts the job back at no cost.

    Attributes:
        name: The dependency.
        delay: After which it is worth another look.
        reason: What the job waits for then.
    """

    def __init__(
        self, name: str, state: str, delay: timedelta, reason: SnoozeReason = SnoozeReason.DEPENDENCY_OPEN
    ) -> None:
        super().__init__(f"breaker of {name} is {state.replace('_', '-')}, look again in {delay.total_seconds():.0f} s")
        self.name = name
        self.delay = delay
        self.reason = reason


class Blamed(NamedTuple):
    """What left a guarded block, the call that it ended, and what stands around that; None: nobody judged it there."""

    exception: BaseException
    call: Call
    around: Circumstances | None


@asynccontextmanager
async def guarded(name: str) -> AsyncIterator[None]:
    """Call a dependency by its name, such as a host, under its breaker.

    What is raised inside counts against that dependency, in place of what the task relies on, and of guards around it.
    Where the job was let in under it at the claim it is not asked again: of a probe's one permit there is no second.

    Raises:
        DependencyUnavailable: Its breaker lets nobody in.
        LookupError: Not called from a job.
        ValueError: No dependency can have that name: it is empty, say, or longer than 255 characters.
    """
    running = current_job()
    app = running.app
    own = _own(running, checked_name(name))
    call, before = own or await _let_in(app, name, running), tuple(running.blamed)
    try:
        yield
    except BaseException as error:
        inner = (each for each in running.blamed if each not in before)
        if refusal_in(error) or any(_stems_from(error, each.exception) for each in inner):
            if own is None:  # A guard inside of this one knows better.
                app.dependencies.unused(call)
        elif isinstance(error, asyncio.CancelledError):  # Out of time, or asked to end: whoever knows which judges it.
            running.blamed.append(Blamed(error, call, None))
        else:
            around = app.dependencies.judge(call, _classified(running, error))
            running.blamed.append(Blamed(error, call, around))
        raise
    else:
        if own is None:  # Else that is told with the job's end.
            app.dependencies.worked(call)


class Blame:
    """Which of its calls a failed run is about: that of a guarded block, or the job's own."""

    def __init__(
        self, dependencies: Dependencies, own: Call | None, blamed: Sequence[Blamed], raised: BaseException
    ) -> None:
        self._dependencies = dependencies
        self._own = own
        self._blamed: Blamed | None = None
        if blamed:  # Of most runs, none: no chain need be walked.
            chain = _chain(raised)
            self._blamed = next((each for each in reversed(blamed) if each.exception in chain), None)
            let_go(dependencies, (each for each in blamed if each is not self._blamed), own=own)
        self._around: Circumstances | None = None

    def judge(self, failure: Failure) -> Circumstances | None:
        """Count the failure, and tell what stands around it."""
        self._around = self._judge(failure)
        return self._around

    def judge_again(self, _: Failure) -> Circumstances | None:
        """What stands around it by now; it is not counted twice."""
        around = self._around
        if around is None or around.dependency is None:
            return around
        return around._replace(breaker=self._dependencies.snapshot.of(around.dependency))

    @property
    def may_be_held(self) -> bool:
        """Whether the dependency lets none of us in, and others may have said so often enough to hold its jobs."""
        around = self._around
        return around is not None and around.relevance is Relevance.HOLDS and not around.caught

    def _judge(self, failure: Failure) -> Circumstances | None:
        own, blamed = self._own, self._blamed
        if blamed is None:
            return None if own is None else self._dependencies.judge(own, failure)
        if own is not None and own is not blamed.call:
            self._dependencies.unused(own)
        return blamed.around or self._dependencies.judge(blamed.call, failure)

    def charge(self, failure: Failure, decision: Decision) -> None:
        """Take what a retry costs from the dependency's budget."""
        call = self._own if self._blamed is None else self._blamed.call
        if call is not None:
            self._dependencies.charge(call, failure.type, decision)


def let_go(dependencies: Dependencies, blamed: Iterable[Blamed], *, own: Call | None) -> None:
    """Give back what calls were let in with that were cut off, and of which nobody will tell how they ended."""
    for each in blamed:
        if each.around is None and each.call is not own:
            dependencies.unused(each.call)


def refusal_in(error: BaseException) -> DependencyUnavailable | None:
    """The refusal that an exception is, or a group of nothing else: the one with the longest wait."""
    if isinstance(error, DependencyUnavailable):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    refusals = [refusal_in(each) for each in error.exceptions]
    known = [each for each in refusals if each is not None]
    return max(known, key=lambda each: each.delay) if len(known) == len(refusals) else None


def _stems_from(exception: BaseException, origin: BaseException) -> bool:
    """Whether it is that one, has it for its cause, or holds it in a group; what was raised after it is another one."""
    return any(each is origin for each in _chain(exception, contexts=False))


def _chain(exception: BaseException, *, contexts: bool = True) -> list[BaseException]:
    """An exception, what it is a group of, and what it was raised from or, of `contexts`, during."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [exception]
    while pending:
        each = pending.pop()
        if each is not None and not any(each is known for known in found):
            found.append(each)
            pending += [each.__cause__, each.__context__ if contexts else None]
            pending += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
    return found


def _classified(running: RunningJob, error: BaseException) -> Failure:
    engine = running.app.engine
    rules = (*book.rules, *engine.rules)
    return classify(error, Context(task_name=running.task_name, retry_http_500=engine.settings.http_500, rules=rules))


def _own(running: RunningJob, name: str) -> Call | None:
    """As what the job was let in, if that was by this dependency, holds as yet, and was not used up by a failure."""
    call = running.call
    if call is None or call.name != name or any(each.call is call for each in running.blamed):
        return None
    return call if running.app.dependencies.still_holds(call) else None


async def _let_in(app: "Afresh", name: str, running: RunningJob) -> Call:
    dependencies, job_id = app.dependencies, running.job_id
    seen, now = dependencies.snapshot.of(name), dependencies.now()
    if name in dependencies.braked():
        raise DependencyUnavailable(name, "suspect", _spread(SHORTEST_WAIT, SPREAD_SECONDS, dependencies))
    if seen is None or seen.state is State.CLOSED:
        return dependencies.call(name, job_id)
    look_at, reason = first_look(seen, now), _waits_for(seen)
    if look_at is None or look_at > now:
        raise DependencyUnavailable(name, seen.state, _wait(name, look_at, dependencies), reason)
    async with app.connection() as conn:
        admission = await dependencies.admitted(conn, name, 1, run=running.limit)
        permit = next(iter(admission.permits), None)
        if permit is not None:
            await breakers.note_probes(conn, [(job_id, name, permit)])
    breaker = admission.breaker
    if not admission.jobs:
        # The probe that is out may have half an hour, and be back in a second.
        look_at = min(admission.retry_at or now + LOOK_AGAIN, now + LOOK_AGAIN)
        gap = timedelta(seconds=1 / breaker.rate) if breaker.state is State.RAMPING else LOOK_AGAIN
        raise DependencyUnavailable(name, breaker.state, _wait(name, look_at, dependencies, gap=gap), reason)
    return Call(name, job_id, breaker.generation, permit, breaker.state is State.RAMPING)


def _waits_for(seen: Seen) -> SnoozeReason:
    return SnoozeReason.DEPENDENCY_HELD if seen.state is State.HELD else SnoozeReason.DEPENDENCY_OPEN


def _wait(name: str, look_at: datetime | None, dependencies: Dependencies, *, gap: timedelta = LOOK_AGAIN) -> timedelta:
    """How long a job that was refused stays away: to be refused again it has to be started.

    So at each look one job of this process comes, or as many as a ramp lets out; the others come a minute later.
    """
    now = dependencies.now()
    first = now + LOOK_AGAIN if look_at is None else look_at
    at = dependencies.turn(name, first, gap, within=LOOK_AGAIN)
    if at is None:
        return _spread(max(LOOK_AGAIN, first - now), CROWD_SECONDS, dependencies)
    return _spread(max(SHORTEST_WAIT, at - now), SPREAD_SECONDS, dependencies)


def _spread(wait: timedelta, seconds: float, dependencies: Dependencies) -> timedelta:
    return wait + timedelta(seconds=dependencies.rng.uniform(0, seconds))
