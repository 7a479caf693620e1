"""What operators do to jobs and queues. Each action is one transaction, with its row in the audit, or nothing at all.

A function that refuses has changed nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from ..store import holds
from ..store.audit import record
from .catalog import Catalog
from .letters import Changes, bring_back, letter_of_job
from .replay import AlreadyReplayed, live_replay, replay

SQL = load("control")

CLEARED_AT_ONCE = 100_000
"""Jobs that one clearing cancels at most."""

ENDED_BADLY = frozenset({"failed", "cancelled", "aborted"})
"""States of a job in whose place a fresh one may run."""


class UnknownJob(LookupError):  # noqa: N818  Reads as what happened, as all of these do.
    """No job has this id."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"there is no job {job_id}")


class WrongState(Exception):  # noqa: N818 - as above.
    """A job cannot be treated like this in the state that it has."""

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


class NotConfirmed(Exception):  # noqa: N818 - as above.
    """The number of jobs that was confirmed is not the number there is."""

    def __init__(self, queue: str, count: int) -> None:
        super().__init__(
            f"{count:,} jobs wait in {queue!r}, as far as one clearing goes; repeat with confirm={count}. "
            "Pause the queue first if the number keeps changing."
        )
        self.count = count


class AlreadyPaused(Exception):  # noqa: N818 - as above.
    """The queue is paused."""

    def __init__(self, found: holds.Hold) -> None:
        super().__init__(f"{found.held_by} paused it at {found.held_at.isoformat()}: {found.reason}")
        self.held_by = found.held_by
        self.held_at = found.held_at.isoformat()
        self.reason = found.reason


class NotPaused(Exception):  # noqa: N818 - as above.
    """The queue is not paused."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A job that nobody else changes until the transaction ends."""

    status: str
    scheduled_at: datetime | None
    task_name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is to change about a job that waits. None: as it is."""

    run_at: datetime | None = None
    priority: int | None = None
    queue: str | None = None


async def cancel(conn: AsyncConnection[Any], job_id: int, *, actor: str, reason: str | None = None) -> Locked:
    """End a job that waits, ask for the end of one that runs; return what it was before.

    Raises:
        UnknownJob: There is none of this id.
        WrongState: It has ended.
    """
    async with conn.transaction():
        job = await _lock(conn, job_id)
        if job.status not in {"todo", "doing"}:
            raise WrongState(f"job {job_id} has ended: it is {job.state}", job.state)
        await conn.execute(SQL["cancel_job" if job.status == "todo" else "request_abort"], {"job_id": job_id})
        await record(conn, actor=actor, action="job.cancel", target=str(job_id), reason=reason)
    return job


async def retry(
    conn: AsyncConnection[Any], job_id: int, *, catalog: Catalog, actor: str, reason: str | None = None
) -> int:
    """Run a job that waits for its time now, or a fresh one in the place of one that ended; return the one that runs.

    One that has a dead letter is replayed by that, whichever of the letter's jobs it is.

    Raises:
        UnknownJob: There is none of this id.
        WrongState: It is ready, runs, or has succeeded.
        WrongStatus: Its dead letter is resolved.
        AlreadyReplayed: A fresh one waits or runs already.
        NotDeployed: The task of its dead letter is not registered here.
        AlreadyQueued: A job with the fresh one's queueing lock waits.
    """
    async with conn.transaction():
        job = await _lock(conn, job_id)
        details: dict[str, Any] = {}
        if job.state in {"scheduled", "retrying"}:
            await _move(conn, job_id, Move(), at_once=True)
            runs = job_id
        elif job.state in ENDED_BADLY:
            runs, details = await _replay(conn, job_id, catalog)
        else:
            raise WrongState(f"job {job_id} is {job.state}: there is nothing to retry", job.state)
        await record(conn, actor=actor, action="job.retry", target=str(job_id), reason=reason, details=details)
    return runs


async def _replay(conn: AsyncConnection[Any], job_id: int, catalog: Catalog) -> tuple[int, dict[str, Any]]:
    """Return the fresh job, and what the audit says of it."""
    if letter := await letter_of_job(conn, job_id):
        made = await bring_back(conn, letter, Changes(), catalog=catalog)
        return made.job_id, {"replayed_as": made.job_id, "dead_letter": letter.id}
    if found := await live_replay(conn, job_id):
        raise AlreadyReplayed(job_id, found)
    runs = await replay(conn, job_id)
    return runs, {"replayed_as": runs}


async def reschedule(
    conn: AsyncConnection[Any], job_id: int, move: Move, *, actor: str, reason: str | None = None
) -> None:
    """Change when, where and how soon a waiting job runs.

    Raises:
        UnknownJob: There is none of this id.
        WrongState: It does not wait.
    """
    async with conn.transaction():
        job = await _lock(conn, job_id)
        if job.status != "todo":
            raise WrongState(f"job {job_id} does not wait: it is {job.state}", job.state)
        await _move(conn, job_id, move)
        details = {
            "run_at": move.run_at.isoformat() if move.run_at else None,
            "priority": move.priority,
            "queue": move.queue,
        }
        said = {name: value for name, value in details.items() if value is not None}
        await record(conn, actor=actor, action="job.reschedule", target=str(job_id), reason=reason, details=said)


async def pause(conn: AsyncConnection[Any], queue: str, *, actor: str, reason: str) -> None:
    """Hold a queue back; what runs goes on.

    Raises:
        AlreadyPaused: It is held back; by whom and why stays as it was.
    """
    async with conn.transaction():
        while not await holds.hold(conn, "queue", queue, reason=reason, actor=actor):
            if found := await holds.find_hold(conn, "queue", queue):
                raise AlreadyPaused(found)


async def resume(conn: AsyncConnection[Any], queue: str, *, actor: str, reason: str) -> None:
    """Let a queue go on.

    Raises:
        NotPaused: Nothing holds it back.
    """
    if not await holds.release(conn, "queue", queue, reason=reason, actor=actor):
        raise NotPaused(f"queue {queue!r} is not paused")


async def clear(
    conn: AsyncConnection[Any], queue: str, confirmed: int | None, *, actor: str, reason: str | None = None
) -> int:
    """Cancel the jobs that wait in a queue, the oldest `CLEARED_AT_ONCE` of them; return how many there were.

    Raises:
        NotConfirmed: Another number waits; nothing is cancelled.
    """
    async with conn.transaction():
        waiting = await count_waiting(conn, queue)
        if confirmed != waiting:
            raise NotConfirmed(queue, waiting)
        cursor = await conn.execute(SQL["clear_queue"], {"queue": queue, "most": CLEARED_AT_ONCE})
        row = await cursor.fetchone()
        cleared = int(row[0]) if row else 0
        if cleared != confirmed:
            raise NotConfirmed(queue, cleared)
        await record(
            conn, actor=actor, action="queue.clear", target=queue, reason=reason, details={"cancelled": cleared}
        )
    return cleared


async def count_waiting(conn: AsyncConnection[Any], queue: str) -> int:
    """How many jobs `clear` would cancel now."""
    cursor = await conn.execute(SQL["count_waiting"], {"queue": queue, "most": CLEARED_AT_ONCE})
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _lock(conn: AsyncConnection[Any], job_id: int) -> Locked:
    cursor = await conn.execute(SQL["lock_job"], {"job_id": job_id})
    row = await cursor.fetchone()
    if row is None:
        raise UnknownJob(job_id)
    return Locked(*row)


async def _move(conn: AsyncConnection[Any], job_id: int, move: Move, *, at_once: bool = False) -> None:
    given = {"job_id": job_id, "run_at": move.run_at, "priority": move.priority, "queue": move.queue}
    await conn.execute(SQL["reschedule_job"], given | {"at_once": at_once})
