"""What one process knows and has to say of the dependencies that its jobs call: snapshot, outcomes, budgets.

A decision reads memory, and a success writes a count there; of a dependency that is well nothing else is written. What
others must know of the rest is told in transactions of its own, never in a settlement's, which would wait for the row
that all workers write (decision 19).
"""

import asyncio
import contextlib
import logging
from collections import deque
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from ..retry import budget
from ..retry.breaker.admit import Admission
from ..retry.breaker.counting import Report
from ..retry.breaker.local import REPORT_SECONDS, Snapshot
from ..retry.breaker.relevance import Relevance, relevance
from ..retry.breaker.rules import Rules, rules_from
from ..retry.breaker.states import State, Transition
from ..retry.circumstances import Circumstances
from ..retry.draft import HINT_MAX_SECONDS
from ..retry.failure import Failure, FailureType
from ..retry.policy import Decision, Retry, Snooze, SnoozeReason
from ..store import breakers
from ..telemetry import BreakerMoved, emit
from .connector import AfreshConnector
from .known import Known
from .settle import refused
from .task import options_of

if TYPE_CHECKING:
    from .app import Afresh

_logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0
"""Between two looks at the breakers, if no notification comes."""

HEARD_SECONDS = 2.0
"""How long a decision that buries a job waits for what others say, at most."""

MOST_UNSENT = 1_000
"""Reports kept while the database is out of reach."""

MOST_KNOWN = 1_000
"""Dependencies kept in memory, and those that are not well: a task may guard each host there is."""

_COUNTED = frozenset({Relevance.COUNTED, Relevance.HOLDS})
_REPORTED = frozenset({State.CLOSED, State.RAMPING})


class Call(NamedTuple):
    """A job, or a part of one, that calls a dependency.

    Attributes:
        generation: Of the breaker when it was let in.
        permit: Of a probe.
        token: It took one of a ramp's tokens.
    """

    name: str
    job_id: int
    generation: int = 0
    permit: int | None = None
    token: bool = False


class _Probe(NamedTuple):
    name: str
    permit: int
    outcome: Relevance


class _Pause(NamedTuple):
    name: str
    generation: int
    delay: timedelta


class _Unused(NamedTuple):
    name: str
    generation: int
    tokens: int


class _Counted(NamedTuple):
    name: str
    said: Report


_Word = _Probe | _Pause | _Unused | _Counted


class Dependencies:
    """The dependencies as one process sees them."""

    def __init__(self, app: "Afresh", snapshot: Snapshot | None = None) -> None:
        self._app = app
        self._known: dict[str, Known] = {}
        self._snapshot = snapshot or Snapshot()
        self._ahead_of_us = timedelta(0)
        self._untold: set[str] = set()
        self._streaks: set[str] = set()
        self._flushing = asyncio.Lock()
        self._unsent: deque[_Word] = deque(maxlen=MOST_UNSENT)
        self._urgent = asyncio.Event()
        self._heard = asyncio.Event()
        self.rng = Random()  # noqa: S311  Spreads load; no secret.

    # Reading

    def now(self) -> datetime:
        """The time by the database's clock, by which all workers count."""
        return datetime.now(UTC) + self._ahead_of_us

    @property
    def snapshot(self) -> Snapshot:
        """The breakers as last read."""
        return self._snapshot

    def call(self, name: str, job_id: int) -> Call:
        """A call that is let in because nothing holds its dependency back."""
        seen = self._snapshot.of(name)
        return Call(name, job_id, 0 if seen is None else seen.generation)

    def still_holds(self, call: Call) -> bool:
        """Whether what let a call in holds at this moment: nothing has moved since, or it is a probe."""
        return call.permit is not None or self._is_current(call)

    def rules_of(self, name: str) -> Rules:
        """By what the breaker of a dependency goes."""
        return self._of(name).rules

    def lease_of(self, name: str) -> timedelta:
        """The longest run of a job that relies on a dependency, as far as its task says."""
        engine = self._app.engine
        limits = [engine.timeout_of(task) for task in self._app.tasks.values() if options_of(task).depends_on == name]
        return max(limits, default=engine.settings.job_timeout)

    def turn(self, name: str, first: datetime, gap: timedelta, *, within: timedelta) -> datetime | None:
        """When a job of this process that was refused inside its task looks again, as `Known.turn`."""
        return self._of(name).turn(first, gap, now=self.now(), within=within)

    def braked(self) -> list[str]:
        """Dependencies of which nothing is to be claimed until the next second: here every call failed in this one."""
        if self._streaks:
            now, known = self.now(), self._known
            self._streaks = {each for each in self._streaks if known[each].braked(now)}
        return list(self._streaks)

    def budgets(self) -> dict[str, float]:
        """Retries that each dependency is owed by this process now, in tokens; below zero they are promised already.

        May be called from any thread.
        """
        now = self.now()
        return {name: budget.earned(each.budget, each.calls, now).tokens for name, each in list(self._known.items())}

    # Asking

    async def admitted(self, conn: breakers.Conn, name: str, want: int, *, run: timedelta | None = None) -> Admission:
        """How many of `want` waiting jobs of a dependency may be claimed; their tokens and permits are taken.

        `run` is how long they may run, where that is known.
        """
        rules, lease = self.rules_of(name), run or self.lease_of(name)
        admission = await breakers.admitted(conn, name, want, rules=rules, job_timeout=lease, rng=self.rng)
        for each in admission.transitions:
            emit(BreakerMoved(each))
        return admission

    # Outcomes

    def worked(self, call: Call) -> None:
        """A call came back."""
        known = self._of(call.name)
        known.calls += 1
        if call.permit is not None:
            self._say(_Probe(call.name, call.permit, Relevance.WORKED))
        elif self._is_current(call):
            known.ring.success(self.now())

    def judge(self, call: Call, failure: Failure) -> Circumstances:
        """Count the failure of a call, and tell what stands around it."""
        means = self._failed(call, failure)
        known, now = self._of(call.name), self.now()
        known.budget, known.calls = budget.earned(known.budget, known.calls, now), 0
        return Circumstances(
            dependency=call.name,
            relevance=means,
            breaker=self._snapshot.of(call.name),
            generation=call.generation,
            probe=call.permit is not None,
            budget_seconds=budget.wait_seconds(known.budget, budget.cost(failure.type)),
        )

    def _failed(self, call: Call, failure: Failure) -> Relevance:
        known = self._of(call.name)
        known.calls += 1
        means = relevance(failure, known.rules.trips)
        if call.permit is not None:
            self._say(_Probe(call.name, call.permit, means))
        elif self._is_current(call):
            self._count(call, failure, means, known)
        if means is Relevance.PACED and failure.hint is not None and failure.hint.seconds > 0:
            delay = timedelta(seconds=min(failure.hint.seconds, HINT_MAX_SECONDS))
            self._say(_Pause(call.name, call.generation, delay))
        return means

    def unused(self, call: Call) -> None:
        """A call was let in and never made: what it was given goes back."""
        if call.permit is not None:
            self._say(_Probe(call.name, call.permit, Relevance.SILENT))
        elif call.token:
            self._say(_Unused(call.name, call.generation, 1))

    def put_back(self, name: str, generation: int, tokens: int) -> None:
        """A ramp's tokens with which no job was claimed go back."""
        self._say(_Unused(name, generation, tokens))

    def _count(self, call: Call, failure: Failure, means: Relevance, known: Known) -> None:
        now = self.now()
        match means:
            case Relevance.WORKED:
                known.ring.success(now)
            case Relevance.COUNTED:
                known.ring.failure(now, call.job_id, failure.type)
            case Relevance.HOLDS:
                known.ring.holding(call.job_id, failure.type)
                known.refused(now)
            case Relevance.PACED:
                known.ring.paced()
            case Relevance.SILENT:
                return
        if means in _COUNTED:
            known.threshold = known.rules.trips[failure.type].failures
            self._untold.add(call.name)
            self._streaks.add(call.name)
            if call.name not in self._snapshot.suspects:
                self._urgent.set()

    def _is_current(self, call: Call) -> bool:
        """Whether it was let in under the breaker's present generation; what comes later says nothing."""
        seen = self._snapshot.of(call.name)
        return call.generation == (0 if seen is None else seen.generation)

    def charge(self, call: Call, kind: FailureType, decision: Decision) -> None:
        """Take what a retry costs from the budget, be it now or later."""
        costs = isinstance(decision, Retry) or (isinstance(decision, Snooze) and decision.reason is SnoozeReason.BUDGET)
        if costs:
            known = self._of(call.name)
            known.budget = budget.spent(known.budget, budget.cost(kind))

    # Talking with the database

    async def refresh(self) -> None:
        """Read the breakers.

        Raises:
            psycopg.Error, TimeoutError: The database is out of reach.
        """
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            return
        async with connector.connection() as conn:
            snapshot, at = await breakers.read_snapshot(conn)
        self._ahead_of_us = at - datetime.now(UTC)
        former, self._snapshot = self._snapshot, snapshot
        for name, known in self._known.items():
            if _generation(former, name) != _generation(snapshot, name):
                known.ring.forget()
        if len(self._known) > MOST_KNOWN:
            kept = self._untold | self._streaks
            self._known = {name: each for name, each in self._known.items() if name in kept or snapshot.of(name)}

    async def flush(self) -> None:
        """Say what is to be said; what could not be said is kept.

        That is one report for each dependency that failed here or that others watch, with all that worked and failed
        since the last, if anything did; each probe's result, each rate limit's hint, and unused tokens. They go one
        after the other on one connection, each in a transaction of its own. One whose answer was lost is said again.

        Raises:
            psycopg.Error, TimeoutError: The database is out of reach.
        """
        heard, self._heard = self._heard, asyncio.Event()
        self._gather()
        try:
            await self._tell_all()
        finally:
            heard.set()

    async def _tell_all(self) -> None:
        connector = self._app.connector
        if not self._unsent or not isinstance(connector, AfreshConnector):
            return
        async with self._flushing, connector.connection() as conn:
            while self._unsent:
                word = self._unsent[0]
                try:
                    await self._tell(conn, word)
                except psycopg.Error as error:
                    if not refused(error):
                        raise
                    # It would be refused for ever, and what there is to say of others does not wait for it.
                    _logger.warning(
                        "what became of calls of %.80r cannot be told (%s)", word.name, str(error).partition("\n")[0]
                    )
                if self._unsent and self._unsent[0] is word:  # Where there are too many, the oldest is dropped.
                    self._unsent.popleft()
        await self.refresh()

    async def heard(self) -> None:
        """Wait until what was counted here is told, and what came of it is known; for a moment at most."""
        heard = self._heard
        self._urgent.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_SECONDS):
                await heard.wait()

    async def report(self) -> None:
        """Say what is to be said each half second until cancelled.

        At once: failures of what is not suspect yet, probes, hints, unused tokens, and what else is there by then.
        """
        while True:
            with contextlib.suppress(TimeoutError):  # Not `wait_for`: see `Adaptation.look`.
                async with asyncio.timeout(REPORT_SECONDS):
                    await self._urgent.wait()
            self._urgent.clear()
            await self.flush()

    async def look(self) -> None:
        """Read the breakers every second until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def introduce(self) -> None:
        """Say what the tasks here rely on.

        Raises:
            psycopg.Error, TimeoutError: The database is out of reach.
        """
        connector, own = self._app.connector, self._app.own_dependencies()
        if own[0] and isinstance(connector, AfreshConnector):
            async with connector.connection() as conn:
                replayed = [name for name in own[0] if options_of(self._app.tasks[name]).replay_on_recovery]
                await breakers.tell_dependencies(conn, own, replayed)

    def _gather(self) -> None:
        """Turn what was counted into reports: of those who failed here, and of those whom others watch too."""
        due = self._untold | self._snapshot.suspects | set(self._snapshot.gated())
        now = self.now()
        for name in due & self._known.keys():
            seen = self._snapshot.of(name)
            if seen is not None and seen.state not in _REPORTED:
                continue
            generation, since = (0, None) if seen is None else (seen.generation, seen.since)
            said = self._known[name].ring.take(generation, since=since, now=now)
            if not said.is_empty:
                self._unsent.append(_Counted(name, said))
            self._untold.discard(name)

    def _say(self, word: _Word) -> None:
        self._unsent.append(word)
        self._urgent.set()

    async def _tell(self, conn: breakers.Conn, word: _Word) -> None:
        moved: Transition | None = None
        match word:
            case _Probe(name, permit, outcome):
                moved = await breakers.probed(conn, name, permit, outcome, rules=self.rules_of(name), rng=self.rng)
            case _Pause(name, generation, delay):
                moved = await breakers.paced(conn, name, delay, generation)
            case _Unused(name, generation, tokens):
                await breakers.give_back(conn, name, generation, tokens)
            case _Counted(name, said):
                moved = await breakers.report(conn, name, said, self.rules_of(name), self.rng)
        if moved is not None:
            emit(BreakerMoved(moved))

    def _of(self, name: str) -> Known:
        known = self._known.get(name)
        if known is None:
            settings = self._app.settings
            rules = rules_from(self._app.engine.by_type.policies, settings.breaker.overrides_of(name))
            known = self._known[name] = Known(rules, budget.Budget(per_call=settings.retry.budget))
        return known


def _generation(snapshot: Snapshot, name: str) -> int:
    seen = snapshot.of(name)
    return 0 if seen is None else seen.generation
