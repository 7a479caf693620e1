"""The gate at the claim: of a dependency that is not well only as many jobs are taken as its breaker admits.

What is held back costs a claim nothing here: the database keeps it back by itself. Only where a probe may be due, or a
ramp may have tokens, the breaker is asked before a claim; what it admitted and nobody claimed goes back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from psycopg import AsyncConnection

from ..retry.breaker.admit import Admission
from ..retry.breaker.local import Seen
from ..retry.breaker.states import State
from ..store import breakers
from .dependencies import Call, Dependencies

if TYPE_CHECKING:
    from .app import Afresh
    from .claim import Claimed

LOOK_AGAIN = timedelta(seconds=0.25)
"""Where nothing waits, or nothing was to be had, and nobody knows when there will be."""

LONGEST_PAUSE = timedelta(seconds=5)
"""Where what was admitted could not be claimed again and again: a busy lock or a limit is in the way of what waits."""

EVERYTHING = "[]"

Pass = tuple[int, int | None, bool]
"""What a job was let in with: generation, permit, and whether it took a token."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many jobs a claim may take of dependencies that are not well.

    Attributes:
        admitted: By dependency.
        text: As `afresh.claim` takes it.
    """

    admitted: Mapping[str, Admission] = field(default_factory=dict)
    text: str = EVERYTHING


class _Barren(NamedTuple):
    """A dependency of which this worker could claim nothing, though it was admitted something.

    Without a pause it would be admitted the same at once: each permit that goes back is announced.
    """

    until: datetime
    pause: timedelta


class Gate:
    """The gate of one worker."""

    def __init__(self, app: "Afresh", queues: list[str] | None) -> None:
        self._app = app
        self._queues = queues
        self._ask_at: dict[str, datetime] = {}
        self._barren: dict[str, _Barren] = {}
        self._wake_at: datetime | None = None
        self._ramping: dict[str, bool] = {}

    @property
    def _dependencies(self) -> Dependencies:
        return self._app.dependencies

    def look_again(self) -> None:
        """Ask at the next claim, whatever was answered before: a breaker has changed."""
        self._ask_at.clear()

    @property
    def stands_open(self) -> bool:
        """Whether every dependency is well, as far as is known here."""
        return not (self._dependencies.braked() or self._dependencies.snapshot.gated())

    def has_shut(self) -> bool:
        """Whether a dependency holds its jobs back that let them in when this was last asked: it fell, or its ramp did.

        Not merely since the last look at the breakers: whoever trips one looks before its notification comes.
        """
        snapshot = self._dependencies.snapshot
        gated = [each for each in map(snapshot.of, snapshot.gated()) if each is not None]
        former, self._ramping = self._ramping, {each.name: each.state is State.RAMPING for each in gated}
        return any(each.name not in former or (each.shut and former[each.name]) for each in gated)

    def pause(self) -> float | None:
        """Seconds until a claim may be admitted more than the last one was; None: nobody knows."""
        if self._wake_at is None:
            return None
        return max(0.0, (self._wake_at - self._dependencies.now()).total_seconds())

    async def shares(self, conn: AsyncConnection[Any], room: int) -> Shares:
        """What the next claim, for so many jobs, may take."""
        braked = self._dependencies.braked()
        gated = self._dependencies.snapshot.gated()
        self._wake_at = None
        if not (braked or gated):
            return Shares()
        now = self._dependencies.now()
        admitted = await self._admitted(conn, self._askable(gated, now), room, now)
        return Shares(admitted, orjson.dumps([*_braked(set(braked) - set(gated)), *_shares(admitted)]).decode())

    def _askable(self, gated: Iterable[str], now: datetime) -> list[str]:
        askable = []
        for name in gated:
            seen = self._dependencies.snapshot.of(name)
            ask_at = self._ask_at.get(name) or (None if seen is None else first_look(seen, now))
            if ask_at is not None and (barren := self._barren.get(name)) is not None:
                ask_at = max(ask_at, barren.until)
            if ask_at is not None and ask_at <= now:
                askable.append(name)
            else:
                self._wake(ask_at)
        return askable

    async def _admitted(
        self, conn: AsyncConnection[Any], names: list[str], room: int, now: datetime
    ) -> dict[str, Admission]:
        if not names:
            return {}
        waiting = await breakers.count_waiting(
            conn, names, queues=self._queues, own=self._app.own_dependencies(), most=room
        )
        self._ask_at |= dict.fromkeys(names, now + LOOK_AGAIN)
        waiting |= {name: 0 for name in names if name not in waiting and self._is_quiet(name, now)}
        return {name: await self._ask(conn, name, min(room, jobs)) for name, jobs in waiting.items()}

    def _is_quiet(self, name: str, now: datetime) -> bool:
        """Whether a ramp is over of which nobody would hear, because no job waits for it."""
        seen = self._dependencies.snapshot.of(name)
        quiet = timedelta(seconds=self._dependencies.rules_of(name).quiet_seconds)
        return seen is not None and seen.limited_at is not None and now - seen.limited_at >= quiet

    async def _ask(self, conn: AsyncConnection[Any], name: str, want: int) -> Admission:
        mine = self._dependencies
        admission = await mine.admitted(conn, name, want)
        if admission.jobs:
            self._ask_at.pop(name, None)
        else:
            self._ask_at[name] = admission.retry_at or mine.now() + LOOK_AGAIN
        self._wake(self._ask_at.get(name))
        if admission.transitions:
            await mine.refresh()
        return admission

    def _wake(self, at: datetime | None) -> None:
        if at is not None:
            self._wake_at = at if self._wake_at is None else min(at, self._wake_at)

    def passes(self, shares: Shares) -> dict[str, Iterator[Pass]]:
        """What each job claimed under these shares was let in with, by dependency."""
        return {
            name: zip(
                repeat(each.breaker.generation),
                chain(each.permits, repeat(None)),
                repeat(each.breaker.state is State.RAMPING),
                strict=False,
            )
            for name, each in shares.admitted.items()
        }

    async def settle_up(self, conn: AsyncConnection[Any], shares: Shares, jobs: Iterable["Claimed"]) -> None:
        """Note the probes that were claimed, and give back what was admitted and not claimed."""
        if not shares.admitted:
            return
        taken = [(job, job.call) for job in jobs if job.call is not None]
        if probes := [(job, call.name, call.permit) for job, call in taken if call.permit is not None]:
            await breakers.note_probes(conn, [(job.job_id, name, permit) for job, name, permit in probes])
            for job, name, permit in probes:
                await self._lease(conn, name, permit, job)
        claimed = Counter(call.name for _, call in taken)
        for name, each in shares.admitted.items():
            self._note_yield(name, each.jobs, claimed[name])
            for permit in each.permits[claimed[name] :]:
                self._dependencies.unused(Call(name, 0, each.breaker.generation, permit))
            if each.breaker.state is State.RAMPING and claimed[name] < each.jobs:
                self._dependencies.put_back(name, each.breaker.generation, each.jobs - claimed[name])

    async def _lease(self, conn: AsyncConnection[Any], name: str, permit: int, job: "Claimed") -> None:
        """Let the lease of a probe last as long as its job may run: it would be taken for one that hangs."""
        task, known = self._app.tasks.get(job.job.task_name), self._dependencies.lease_of(name)
        run = job.timeout or (known if task is None else self._app.engine.timeout_of(task))
        if run > known:
            await breakers.lease(conn, name, permit, run)

    def _note_yield(self, name: str, admitted: int, claimed: int) -> None:
        if claimed:
            self._barren.pop(name, None)
        elif admitted:
            former = self._barren.get(name)
            pause = LOOK_AGAIN if former is None else min(LONGEST_PAUSE, 2 * former.pause)
            self._barren[name] = _Barren(self._dependencies.now() + pause, pause)
            self._wake(self._barren[name].until)


def first_look(seen: Seen, now: datetime) -> datetime | None:
    """When a breaker of which nothing else is known may be asked; None: not before it changes."""
    match seen.state:
        case State.ISOLATED:
            return None
        case State.OPEN | State.HELD:
            return min((each for each in (seen.until, seen.probe_at) if each is not None), default=None)
        case _:
            return seen.until or now


def _shares(admitted: Mapping[str, Admission]) -> Iterator[dict[str, Any]]:
    for name, each in admitted.items():
        if each.jobs and each.breaker.state is not State.CLOSED:
            generation = each.breaker.generation
            yield {"name": name, "generation": generation, "jobs": each.jobs, "retries": each.for_retries}


def _braked(names: Iterable[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        yield {"name": name, "generation": None, "jobs": 0, "retries": 0}
