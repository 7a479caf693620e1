"""What operators do to one dead letter: bring it back, or give it up. Each is one transaction with its audit row.

A function that refuses has changed nothing.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from ..redact import redact_text, restore
from ..store.audit import record
from ..store.idempotency import Claim
from .catalog import Catalog, TaskInfo
from .replay import AlreadyReplayed
from .submit import QUEUEING_LOCK_INDEX, AlreadyQueued, repeated, waiting_twin, within

SQL = load("dead_letters")

AHEAD = 11
"""The priority of what goes ahead of all others: they have at most 10."""


class UnknownLetter(LookupError):  # noqa: N818  Reads as what happened, as all of these do.
    """No dead letter has this id."""

    def __init__(self, letter_id: int) -> None:
        super().__init__(f"there is no dead letter {letter_id}")


class WrongStatus(Exception):  # noqa: N818 - as above.
    """A dead letter cannot be treated like this in the status that it has."""

    def __init__(self, text: str, status: str) -> None:
        super().__init__(text)
        self.status = status


class NotDeployed(Exception):  # noqa: N818 - as above.
    """No task of this name is registered here, so a job of it would die again."""

    def __init__(self, task_name: str) -> None:
        super().__init__(
            f"no task named {task_name} is registered here: deploy it and replay then, or abandon the letter"
        )
        self.task_name = task_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different about the fresh job. None: as it was."""

    args: dict[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None
    run_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that nobody else changes until the transaction ends."""

    id: int
    job_id: int
    status: str
    task_name: str
    args: dict[str, Any]
    queueing_lock: str | None
    replayed_as: int | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to.

    Attributes:
        job_id: The job in the letter's place.
        replay_of: The job before it.
        repeated: The Idempotency-Key was known: the job is the one that was made then.
    """

    letter_id: int
    job_id: int
    replay_of: int | None = None
    repeated: bool = False


async def replay_letter(  # noqa: PLR0913  What, how, who, why, and what keeps it from being done twice.
    conn: AsyncConnection[Any],
    letter_id: int,
    changes: Changes | None = None,
    *,
    catalog: Catalog,
    actor: str,
    reason: str | None = None,
    claim: Claim | None = None,
) -> Replayed:
    """Put a fresh job into the place of the one that died.

    Changed arguments are all arguments; what is masked in them is as it was.

    Raises:
        UnknownLetter: There is none of this id.
        AlreadyReplayed: A job waits or runs in its place; with the same Idempotency-Key that job is returned.
        WrongStatus: It is resolved.
        NotDeployed: Its task is not registered here.
        InvalidArguments: The changed arguments do not fit the task.
        Masked: Something in them is masked that was not shown so.
        AlreadyQueued: A job with its queueing lock waits.
        KeyReused: The key stands for another body.
    """
    wanted = changes or Changes()
    async with conn.transaction():
        letter = await lock_letter(conn, letter_id)
        if claim and (first := await repeated(conn, claim)):
            return Replayed(letter_id, first.job_id or 0, repeated=True)
        made = await bring_back(conn, letter, wanted, catalog=catalog)
        if claim:
            await conn.execute(SQL["claim_key"], asdict(claim) | {"job_id": made.job_id})
        details = {"job_id": made.job_id, "replay_of": made.replay_of} | _said(wanted)
        await record(
            conn, actor=actor, action="dead_letter.replay", target=str(letter_id), reason=reason, details=details
        )
    return made


async def bring_back(conn: AsyncConnection[Any], letter: Letter, wanted: Changes, *, catalog: Catalog) -> Replayed:
    """As `replay_letter`, of a letter that the caller holds in a transaction, and without a row in the audit."""
    _refuse_unless_dead(letter)
    info = catalog.find(letter.task_name)
    if info is None:
        raise NotDeployed(letter.task_name)
    args = None if wanted.args is None else _checked(catalog, info, wanted.args, letter.args)
    given = {
        "letter_id": letter.id,
        "queue": wanted.queue,
        "priority": wanted.priority,
        "args": None if args is None else orjson.dumps(args).decode(),
        "run_at": wanted.run_at,
        "dependency": None if args is None else catalog.dependency_of(info, args),
    }
    try:
        async with within(conn):
            row = await (await conn.execute(SQL["replay_letter"], given)).fetchone()
    except UniqueViolation as error:
        if error.diag.constraint_name != QUEUEING_LOCK_INDEX or letter.queueing_lock is None:
            raise
        raise AlreadyQueued(letter.queueing_lock, await waiting_twin(conn, letter.queueing_lock)) from None
    if row is None:
        raise AssertionError("a letter that is locked is there")
    return Replayed(letter.id, int(row[0]), letter.replayed_as or letter.job_id)


async def abandon_letter(conn: AsyncConnection[Any], letter_id: int, *, actor: str, note: str) -> None:
    """Give a letter up. It is kept, and can still be replayed.

    Raises:
        UnknownLetter: There is none of this id.
        WrongStatus: It is abandoned or resolved already.
        AlreadyReplayed: A job waits or runs in its place: cancel that first.
    """
    async with conn.transaction():
        letter = await lock_letter(conn, letter_id)
        _refuse_unless_dead(letter)
        if letter.status == "abandoned":
            raise WrongStatus(f"dead letter {letter_id} is abandoned already", letter.status)
        await conn.execute(SQL["abandon_letter"], {"letter_id": letter_id, "note": redact_text(note)})
        await record(conn, actor=actor, action="dead_letter.abandon", target=str(letter_id), reason=note)


async def letter_of_job(conn: AsyncConnection[Any], job_id: int) -> Letter | None:
    """The letter of a job that died, or in whose place it ran, locked; None: it has none."""
    row = await (await conn.execute(SQL["find_letter_of_job"], {"job_id": job_id})).fetchone()
    return await lock_letter(conn, row[0]) if row else None


async def lock_letter(conn: AsyncConnection[Any], letter_id: int) -> Letter:
    """Hold a letter until the transaction ends. Whoever also holds its job has taken that first.

    Raises:
        UnknownLetter: There is none of this id.
    """
    async with conn.cursor(row_factory=class_row(Letter)) as cursor:
        letter = await (await cursor.execute(SQL["lock_letter"], {"letter_id": letter_id})).fetchone()
    if letter is None:
        raise UnknownLetter(letter_id)
    return letter


def _refuse_unless_dead(letter: Letter) -> None:
    if letter.status == "retrying":
        raise AlreadyReplayed(letter.job_id, letter.replayed_as or 0)
    if letter.status == "resolved":
        text = f"dead letter {letter.id} is resolved: job {letter.replayed_as} has done its work"
        raise WrongStatus(text, letter.status)


def _checked(catalog: Catalog, info: TaskInfo, given: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    args: dict[str, Any] = restore(given, original)
    return catalog.validate(info, args)


def _said(wanted: Changes) -> dict[str, Any]:
    """What was changed, for the audit: of arguments only the fact."""
    said = {
        "queue": wanted.queue,
        "priority": wanted.priority,
        "run_at": wanted.run_at and wanted.run_at.isoformat(),
        "args": "changed",
    }
    return {name: each for name, each in said.items() if getattr(wanted, name) is not None}
