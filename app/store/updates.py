"""What happened to a job, as updates that can be resumed after any one of them. Never changes anything.

Three tables tell it: Procrastinate's events, our failed attempts, and progress. In each the ids of one job rise in
the order of its commits, because whoever writes there holds the job's row. So three numbers say what is known of it.
"""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, ClassVar, Self

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..postgres.sqlfiles import load

SQL = load("updates")

MOST = 40
"""Updates of one kind that are read at once: what a watcher who was long away needs comes page by page."""

_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where the updates of a job are known: the last event, attempt and progress report."""

    event: int = 0
    attempt: int = 0
    report: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.attempt}.{self.report}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` makes of one.

        Raises:
            ValueError: It is something else.
        """
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise ValueError("not the id of an update")
        return cls(*map(int, found.groups()))

    def after(self, kind: str, number: int) -> "Cursor":
        """The cursor once one more update is known."""
        match kind:
            case "attempt":
                return Cursor(self.event, number, self.report)
            case "progress":
                return Cursor(self.event, self.attempt, number)
            case _:
                return Cursor(number, self.attempt, self.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """The job came into a state, or, in the same state, its time was changed or its end was asked for.

    Attributes:
        at: None where only what was meant is known, not when: a changed `scheduled_at`.
        scheduled_at: When a job that waits is due; None: now.
    """

    kind: ClassVar = "state"
    cursor: Cursor
    at: datetime | None
    state: str
    scheduled_at: datetime | None = None
    abort_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """A run ended without success."""

    kind: ClassVar = "attempt"
    cursor: Cursor
    at: datetime
    attempt: int
    outcome: str
    counted: bool
    worker: int | None
    exception_type: str | None
    message: str | None
    failure_type: str | None
    decision: str | None
    delay_seconds: float | None
    next_run_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The task said how far it has come.

    Attributes:
        progress: From 0 to 1.
    """

    kind: ClassVar = "progress"
    cursor: Cursor
    at: datetime
    attempt: int
    progress: float
    message: str | None
    current_step: str | None
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last update: the job is over.

    Attributes:
        state: succeeded, failed, cancelled or aborted. None: the job was deleted before its end was seen.
    """

    kind: ClassVar = "end"
    cursor: Cursor
    at: datetime | None
    state: str | None


Update = StateChange | AttemptEnd | Progress | End


@dataclass(frozen=True, slots=True)
class Page:
    """Updates of one job, in order.

    Attributes:
        found: Whether the job exists.
        final: Whether nothing will ever follow.
        more: Whether there is already more.
    """

    updates: tuple[Update, ...] = ()
    found: bool = True
    final: bool = False
    more: bool = False


Position = tuple[int, Cursor]
"""A job, and up to where its updates are known."""


async def read_updates(conn: AsyncConnection[Any], positions: Sequence[Position]) -> dict[Position, Page]:
    """Return what came after each position; one after which nothing came is not there."""
    parameters = {
        "job_ids": [job_id for job_id, _ in positions],
        "events": [cursor.event for _, cursor in positions],
        "attempts": [cursor.attempt for _, cursor in positions],
        "reports": [cursor.report for _, cursor in positions],
        "most": MOST,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(SQL["read_updates"], parameters)).fetchall()
    pages = {}
    for place, group in groupby(rows, key=lambda row: row["place"]):
        position = positions[place - 1]
        pages[position] = _page(position[1], list(group))
    return pages


def _page(cursor: Cursor, rows: list[dict[str, Any]]) -> Page:
    found, over = rows[0]["found"], rows[0]["over"]
    merged, more = _merged(rows)
    updates: list[Update] = []
    for row in merged:
        cursor = cursor.after(row["kind"], row["id"])
        updates.append(_update(cursor, row))
    if not (found or more):
        updates.append(End(cursor=cursor, at=None, state=None))
    return Page(tuple(updates), found, (over or not found) and not more, more)


def _merged(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The rows of all kinds in order of time; up to the end of a kind that has more, for more of it may come first."""
    kinds = [[row for row in rows if row["kind"] == kind] for kind in ("progress", "attempt", "state")]
    merged = list(heapq.merge(*kinds, key=_moment))
    ends = [merged.index(kind[-1]) for kind in kinds if len(kind) == MOST]
    return (merged[: min(ends) + 1], True) if ends else (merged, False)


def _moment(row: dict[str, Any]) -> datetime:
    """When it was written, by the clock of the database; nothing comes after the end."""
    if _ends(row):
        return datetime.max.replace(tzinfo=UTC)
    return row["told_at"] or datetime.min.replace(tzinfo=UTC)


def _ends(row: dict[str, Any]) -> bool:
    return bool(row["over"] and row["is_last"])


def _update(cursor: Cursor, row: dict[str, Any]) -> Update:
    if _ends(row):
        return End(cursor=cursor, at=row["at"], state=row["state"])
    match row["kind"]:
        case "attempt":
            return AttemptEnd(cursor=cursor, at=row["at"], next_run_at=row["scheduled_at"], **row["details"])
        case "progress":
            details = row["details"] | {"progress": float(row["details"]["progress"])}  # JSON has one kind of number.
            return Progress(cursor=cursor, at=row["at"], **details)
        case _:
            return StateChange(
                cursor=cursor,
                at=row["at"],
                state=row["state"],
                scheduled_at=row["scheduled_at"],
                abort_requested=row["abort_requested"],
            )
