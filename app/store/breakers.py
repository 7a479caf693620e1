"""Breakers in the database: a row is locked, handed to one pure function, and stored with what that made of it.

Each change is one short transaction. What claims must know of it, the hold, is written with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson
from psycopg import AsyncConnection, Rollback
from psycopg.rows import class_row, dict_row

from ..postgres.sqlfiles import load
from ..redact import redact_text
from ..retry.adapt import SOONEST, on_recovery
from ..retry.breaker import ramp, transition
from ..retry.breaker.admit import Admission, admit, leased
from ..retry.breaker.counting import Report
from ..retry.breaker.local import Snapshot
from ..retry.breaker.relevance import Relevance
from ..retry.breaker.row import JSON_COLUMNS, as_row, from_row
from ..retry.breaker.rules import Rules
from ..retry.breaker.states import Breaker, Moved, State, Transition
from .audit import record
from .paging import containing

SQL = load("breakers")

Conn = AsyncConnection[Any]
Change = Callable[[Breaker, datetime], Moved]

_BROKEN = frozenset({State.OPEN, State.HELD})
"""What leads to a ramp, which has to know the throughput before; so does isolation, of one that was well."""

_LONG_WAITS = frozenset({State.HELD, State.ISOLATED})
"""Whoever is caught by these waits for long; by any other for a minute."""

_OUTAGES = frozenset({State.OPEN, State.HALF_OPEN})

WAIT_SECONDS = 90.0
"""The longest that a job waits which was caught by a breaker without a break of its own, and some more."""

LONGEST_BEGIN = timedelta(minutes=5)
"""How long before a trip retries are looked for that it explains. One lock is held meanwhile."""

SLACK = timedelta(seconds=5)
"""Workers write down by their own clocks when a run ended."""

RECOVERY_TASK = "app.tasks.dead_letters.replay_recovered"
RECOVERY_QUEUE = "dead_letters"
"""What a recovery submits, by name: tasks are above this room."""


async def report(conn: Conn, name: str, said: Report, rules: Rules, rng: Random) -> Transition | None:
    """Count what a process saw; return the transition that this led to."""

    def count(breaker: Breaker, now: datetime) -> Moved:
        return transition.report(breaker, said, rules, now=now, rng=rng)

    return await _change(conn, name, count)


async def probed(  # noqa: PLR0913  Of which breaker, which probe, with what outcome, by what rules.
    conn: Conn, name: str, permit: int, outcome: Relevance, *, rules: Rules, rng: Random
) -> Transition | None:
    """Take a probe's result and its permit back; there may be room for another one then."""

    def take(breaker: Breaker, now: datetime) -> Moved:
        return transition.probed(breaker, permit, outcome, rules, now=now, rng=rng)

    async with conn.transaction():
        await conn.execute(SQL["delete_probe"], {"name": name, "permit": permit})
        moved = await _change(conn, name, take)
        if moved is None:
            await conn.execute(SQL["announce_room"])
    return moved


async def paced(conn: Conn, name: str, delay: timedelta, generation: int) -> Transition | None:
    """Hold a dependency for as long as its rate limit asked."""
    async with conn.transaction():
        breaker, now = await _lock(conn, name)
        throughput = await _throughput(conn, name, now) if breaker.state is State.CLOSED else None
        moved = transition.paced(breaker, now + delay, generation=generation, throughput=throughput, now=now)
        await _store(conn, breaker, moved.breaker, _some(moved.transition))
    return moved.transition


async def admitted(  # noqa: PLR0913  As `admit`.
    conn: Conn, name: str, want: int, *, rules: Rules, job_timeout: timedelta, rng: Random
) -> Admission:
    """How many of `want` waiting jobs may be claimed; their tokens and permits are taken."""
    async with conn.transaction():
        breaker, now = await _lock(conn, name)
        admission = admit(breaker, want, rules, now=now, job_timeout=job_timeout, rng=rng)
        await _store(conn, breaker, admission.breaker, admission.transitions)
    return admission


async def lease(conn: Conn, name: str, permit: int, run: timedelta) -> None:
    """Let a probe's permit last as long as its job, which may run longer than was thought when it was given out."""

    def prolong(breaker: Breaker, now: datetime) -> Moved:
        return Moved(leased(breaker, permit, run, now=now))

    await _change(conn, name, prolong)


async def give_back(conn: Conn, name: str, generation: int, tokens: int) -> None:
    """Put a ramp's tokens back that no job was claimed with."""

    def fill(breaker: Breaker, _: datetime) -> Moved:
        stale = breaker.generation != generation or breaker.state is not State.RAMPING
        return Moved(breaker if stale else ramp.returned(breaker, tokens))

    await _change(conn, name, fill)


async def note_probes(conn: Conn, probes: Sequence[tuple[int, str, int]]) -> None:
    """Note which jobs run as probes: job, dependency and permit of each."""
    job_ids, names, permits = (list(each) for each in zip(*probes, strict=True))
    await conn.execute(SQL["insert_probes"], {"job_ids": job_ids, "names": names, "permits": permits})


async def find_probes(conn: Conn, job_id: int) -> list[tuple[str, int]]:
    """The dependencies that a job was to probe, each with its permit."""
    return await (await conn.execute(SQL["find_probes"], {"job_id": job_id})).fetchall()


async def _operate(  # noqa: PLR0913  Who, what, on what, and why.
    conn: Conn, name: str, verb: str, change: Change, *, actor: str, reason: str
) -> Moved | None:
    """Let an operator change a breaker, with a row in the audit; None if there is nothing to change."""
    async with conn.transaction():
        breaker, now = await _lock(conn, name)
        moved = change(breaker, now)
        if moved.breaker == breaker:
            raise Rollback  # A name that nobody knows leaves no row behind.
        await _store(conn, breaker, moved.breaker, _some(moved.transition))
        if moved.transition is None:
            await conn.execute(SQL["announce_room"])
        await record(conn, actor=actor, action=f"dependency.{verb}", target=name, reason=reason)
        return moved
    return None


async def isolate(conn: Conn, name: str, *, actor: str, reason: str) -> Moved | None:
    """Hold a dependency until it is reset; None if it is isolated already."""
    cause = f"{actor}: {redact_text(reason)}"
    return await _operate(
        conn, name, "isolate", lambda each, now: transition.isolate(each, cause, now=now), actor=actor, reason=reason
    )


async def reset(conn: Conn, name: str, *, actor: str, reason: str) -> Moved | None:
    """Let a dependency's jobs out on the ramp; None if it is closed or on the ramp already."""
    cause = f"{actor}: {redact_text(reason)}"
    return await _operate(
        conn, name, "reset", lambda each, now: transition.reset(each, cause, now=now), actor=actor, reason=reason
    )


async def probe_now(conn: Conn, name: str, *, actor: str, reason: str) -> Moved | None:
    """Have the next probe go at once, as a job that was caught if no other one waits; None if nothing is probed now."""
    async with conn.transaction():
        moved = await _operate(
            conn, name, "probe", lambda each, now: transition.probe_now(each, now=now), actor=actor, reason=reason
        )
        if moved is not None and moved.breaker.probe_at is not None:
            await _wake_caught(conn, moved.breaker, moved.breaker.probe_at, most=1)
    return moved


async def read_snapshot(conn: Conn) -> tuple[Snapshot, datetime]:
    """What a worker must know of the breakers, and the time by the database's clock."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(SQL["list_sick"])).fetchall()
    first = rows[0]
    past = zip(first["past_names"] or (), first["past_generations"] or (), strict=True)
    return Snapshot((from_row(row) for row in rows if row["name"] is not None), past=dict(past)), first["at"]


async def count_waiting(
    conn: Conn, names: Sequence[str], *, queues: Sequence[str] | None, own: tuple[list[str], list[str]], most: int
) -> dict[str, int]:
    """Of these dependencies, those with jobs that could run now, and how many, at most `most`.

    `own` says what tasks rely on, as two lists of one length.
    """
    given = {"names": list(names), "queues": queues, "tasks": own[0], "dependencies": own[1], "most": most}
    return dict(await (await conn.execute(SQL["count_waiting"], given)).fetchall())


async def tell_dependencies(conn: Conn, own: tuple[list[str], list[str]], replayed: Sequence[str] = ()) -> None:
    """Say what tasks rely on, and which of them want their dead letters replayed after an outage."""
    given = {"tasks": own[0], "dependencies": own[1], "replayed": list(replayed)}
    await conn.execute(SQL["tell_dependencies"], given)


async def list_recovering_tasks(conn: Conn, name: str) -> list[str]:
    """The tasks that rely on this dependency and whose dead letters are to be replayed when it has recovered."""
    return [row[0] for row in await (await conn.execute(SQL["list_recovering_tasks"], {"name": name})).fetchall()]


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency as people see it. The last three: of what holds its jobs back."""

    breaker: Breaker
    reason: str | None
    held_by: str | None
    held_at: datetime | None


async def list_dependencies(conn: Conn, *, names: Sequence[str] = (), name: str | None = None) -> list[Dependency]:
    """Every dependency that has a breaker, or a task, or is one of `names`; or of all those only `name`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(SQL["list_breakers"], {"names": list(names), "name": name})).fetchall()
    return [_dependency(row) for row in rows]


async def search_dependencies(
    conn: Conn, *, names: Sequence[str] = (), text: str | None = None, only_unwell: bool = False, limit: int
) -> tuple[list[Dependency], int]:
    """The first of the dependencies in whose name `text` occurs, and how many there are: those not well come first."""
    like = None if text is None else containing(text)
    given = {"names": list(names), "text": like, "unwell": only_unwell, "limit": limit}
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(SQL["search_breakers"], given)).fetchall()
    return [_dependency(row) for row in rows], rows[0]["found"] if rows else 0


def _dependency(row: Mapping[str, Any]) -> Dependency:
    breaker = Breaker(name=row["known"]) if row["name"] is None else from_row(row)
    return Dependency(breaker, row["hold_reason"], row["held_by"], row["held_at"])


async def count_held(
    conn: Conn, names: Sequence[str], *, own: tuple[list[str], list[str]], most: int
) -> dict[str, dict[str, int]]:
    """Jobs that could run now if these dependencies let them, of each by task, each lane counted up to `most`."""
    given = {"names": list(names), "tasks": own[0], "dependencies": own[1], "most": most}
    held: dict[str, dict[str, int]] = {name: {} for name in names}
    for name, task_name, jobs in await (await conn.execute(SQL["count_held"], given)).fetchall():
        held[name][task_name] = jobs
    return held


@dataclass(frozen=True, slots=True)
class PastTransition:
    """A row of a breaker's history."""

    name: str
    generation: int
    before: str
    after: str
    at: datetime
    cause: str


async def list_transitions(conn: Conn, name: str, *, limit: int) -> list[PastTransition]:
    """The latest transitions of a breaker, newest first."""
    async with conn.cursor(row_factory=class_row(PastTransition)) as cursor:
        return await (await cursor.execute(SQL["list_transitions"], {"name": name, "limit": limit})).fetchall()


async def _change(conn: Conn, name: str, change: Change) -> Transition | None:
    async with conn.transaction():
        breaker, now = await _lock(conn, name)
        moved = change(breaker, now)
        await _store(conn, breaker, moved.breaker, _some(moved.transition))
    return moved.transition


async def _lock(conn: Conn, name: str) -> tuple[Breaker, datetime]:
    while True:
        async with conn.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(SQL["lock_breaker"], {"name": name})).fetchone()
        if row is not None:
            return from_row(row), row["now"]
        await conn.execute(SQL["insert_breaker"], {"name": name})


async def let_idle_go(conn: Conn, *, own: tuple[list[str], list[str]]) -> list[Transition]:
    """Let go of breakers that nobody has called for an hour and that no waiting job relies on.

    Those of which nothing is left to be known are forgotten: one that failed once, as any host may that a job guards,
    would else be kept for ever. `own` says what tasks rely on, as two lists of one length.
    """
    moved: list[Transition] = []
    idle = await (await conn.execute(SQL["list_idle"], {"idle": transition.IDLE})).fetchall()
    for name, state in idle:
        if state == State.CLOSED or not any((await count_held(conn, [name], own=own, most=1))[name].values()):
            moved += _some(await _let_go(conn, name))
    await conn.execute(SQL["forget_breakers"], {"idle": transition.IDLE})
    return moved


async def _let_go(conn: Conn, name: str) -> Transition | None:
    async with conn.transaction():
        breaker, now = await _lock(conn, name)
        moved = transition.idle(breaker, now=now)
        await _store(conn, breaker, moved.breaker, _some(moved.transition), recovered=False)
    return moved.transition


async def _store(
    conn: Conn, before: Breaker, after: Breaker, transitions: Sequence[Transition], *, recovered: bool = True
) -> None:
    stopped = any(each.after in _BROKEN or each.before is State.CLOSED for each in transitions)
    if stopped and after.baseline is None:
        since = before.suspect_since or transitions[0].at
        after = transition.measured(after, await _throughput(conn, after.name, since))
    if after == before:
        return
    row = as_row(after)
    await conn.execute(
        SQL["store_breaker"], {**row, **{name: orjson.dumps(row[name]).decode() for name in JSON_COLUMNS}}
    )
    if transitions:
        # Whoever waited for credentials or a setting to be mended has not begun yet to wait for what comes after.
        anew = before.state is State.HELD or any(State.RAMPING in {each.before, each.after} for each in transitions)
        query = "release_dependency" if after.state is State.CLOSED else "hold_dependency"
        await conn.execute(SQL[query], row | {"anew": anew})
    for each in transitions:
        await conn.execute(
            SQL["record_transition"],
            {
                "name": each.name,
                "generation": each.generation,
                "before": each.before,
                "after": each.after,
                "at": each.at,
                "cause": each.cause,
            },
        )
        if each.after is State.RAMPING:
            await _wake(conn, before, each)
        if recovered and each.after is State.RAMPING and each.before is not State.CLOSED:  # Not after a rate limit.
            await _replay_recovered(conn, each)


async def _wake(conn: Conn, before: Breaker, recovery: Transition) -> None:
    """Let nobody sit out a wait that was for an outage: jobs that a hold caught, and retries from before a trip."""
    name, at = recovery.name, recovery.at
    if recovery.before in _LONG_WAITS:
        await _wake_caught(conn, before, at)
    elif recovery.before in _OUTAGES and before.suspect_since is not None:
        tripped_at = await _tripped_at(conn, name) or at
        since, until = max(before.suspect_since, tripped_at - LONGEST_BEGIN) - SLACK, tripped_at + SLACK
        given = {"outcome": "failed", "said": on_recovery(name), "soonest": SOONEST, "most": None}
        await conn.execute(SQL["wake_waiting"], given | {"at": at, "since": since, "until": until})


async def _wake_caught(conn: Conn, breaker: Breaker, at: datetime, *, most: int | None = None) -> None:
    """Let jobs that the breaker caught in flight run at a time, `most` of them; None: all."""
    since = at - timedelta(seconds=breaker.break_seconds + WAIT_SECONDS)
    given = {"outcome": "snoozed", "said": f"breaker of {breaker.name} ", "soonest": timedelta(0), "most": most}
    await conn.execute(SQL["wake_waiting"], given | {"at": at, "since": since, "until": at})


async def _tripped_at(conn: Conn, name: str) -> datetime | None:
    row = await (await conn.execute(SQL["find_trip"], {"name": name})).fetchone()
    return row[0] if row else None


async def _replay_recovered(conn: Conn, recovery: Transition) -> None:
    given = {"name": recovery.name, "task": RECOVERY_TASK, "queue": RECOVERY_QUEUE}
    await conn.execute(SQL["replay_recovered"], given)


async def _throughput(conn: Conn, name: str, before: datetime) -> float:
    row = await (await conn.execute(SQL["measure_throughput"], {"name": name, "before": before})).fetchone()
    return float(row[0] or 0.0) if row else 0.0


def _some(moved: Transition | None) -> tuple[Transition, ...]:
    return () if moved is None else (moved,)
