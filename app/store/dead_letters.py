"""Dead letters as people and programs read them, and the counts of them. What brings them back is `queue.letters`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any, LiteralString, Self

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from .paging import Listing, Page, Part, Row, containing, fetch, fetch_page

SQL = load("dead_letters")

STATUSES = ("pending", "retrying", "resolved", "abandoned")

CAUSES = ("retries_spent", "permanent", "unknown_task", "broken_strategy", "worker_lost", "waited_too_long")

STRAYS_AT_ONCE = 1_000
"""Letters that one statement sets right."""

# Never in arguments: a search would tell, letter by letter, what masking hides.
_TEXT: LiteralString = " OR ".join(
    f"l.{column} ILIKE %(text)s::text" for column in ("task_name", "queue_name", "exception_type", "message", "note")
)

CONDITIONS: Mapping[str, LiteralString] = {
    "status": "l.status = %(status)s::afresh.dead_letter_status",
    "task_name": "l.task_name = %(task_name)s::text",
    "queue": "l.queue_name = %(queue)s::text",
    "failure_type": "l.failure_type = %(failure_type)s::text",
    "group": "l.fingerprint = %(group)s::text",
    "dependency": "l.dependency = %(dependency)s::text OR l.dependency IS NULL AND "
    "l.task_name = ANY (%(tasks_of_dependency)s::text[])",
    "cause": "l.cause = %(cause)s::afresh.death_cause",
    "bulk": "l.bulk_id = %(bulk)s::bigint",
    "died_from": "l.died_at >= %(died_from)s::timestamptz",
    "died_to": "l.died_at < %(died_to)s::timestamptz",
    "text": _TEXT,
    "any_task": "l.task_name = ANY (%(any_task)s::text[])",
    "any_type": "l.failure_type = ANY (%(any_type)s::text[])",
    "replays_below": "l.replays < %(replays_below)s::integer",
}

LISTING = Listing(
    key="id",
    page=SQL["list_letters"],
    count=SQL["count_letters"],
    estimate=SQL["estimate_letters"],
    conditions=CONDITIONS,
    search=SQL["search_letters"],
    searched={"text": False},
    found="l.id = ANY (%(found)s::bigint[])",
)

PROPERTIES: Mapping[str, LiteralString] = {
    "task": "task_name",
    "type": "failure_type",
    "remediation": "remediation",
    "cause": "cause::text",
    "day": "died_on::text",
}
"""What letters can be counted by, beside their status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters. None: any. Times are from, and up to but not including.

    Attributes:
        group: The fingerprint of their failure.
        dependency: What their job relied on; or, where it said nothing, one of `tasks_of_dependency` was its task.
        bulk: The bulk action that was the last to touch them.
        any_task, any_type: One of these.
        replays_below: Brought back less often than this.
        text: Occurs in the name of the task or queue, in the exception or the note, in either case.
    """

    status: str | None = None
    task_name: str | None = None
    queue: str | None = None
    failure_type: str | None = None
    group: str | None = None
    dependency: str | None = None
    tasks_of_dependency: tuple[str, ...] = ()
    cause: str | None = None
    bulk: int | None = None
    died_from: datetime | None = None
    died_to: datetime | None = None
    text: str | None = None
    any_task: tuple[str, ...] | None = None
    any_type: tuple[str, ...] | None = None
    replays_below: int | None = None

    def parameters(self) -> dict[str, Any]:
        """What the conditions are given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("tasks_of_dependency", "any_task", "any_type"):
            given[name] = None if given[name] is None else list(given[name])
        if self.text is not None:
            given["text"] = containing(self.text)
        return given

    def as_json(self) -> str:
        """What is asked for, as it is kept."""
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        if not self.tasks_of_dependency:
            del asked["tasks_of_dependency"]
        return orjson.dumps(asked).decode()

    @classmethod
    def from_json(cls, kept: Row) -> Self:
        """The filter that was kept so."""
        given: Row = dict(kept)
        for name in {"died_from", "died_to"} & kept.keys():
            given[name] = datetime.fromisoformat(kept[name])
        for name in {"tasks_of_dependency", "any_task", "any_type"} & kept.keys():
            given[name] = tuple(kept[name])
        return cls(**given)

    @property
    def is_empty(self) -> bool:
        """Whether it lets every letter through."""
        return not any(getattr(self, name) is not None for name in CONDITIONS)


async def find_letter(conn: AsyncConnection[Any], letter_id: int) -> Row | None:
    """Return the letter, or None where there is none."""
    rows = await fetch(conn, SQL["find_letter"], {"letter_id": letter_id})
    return rows[0] if rows else None


async def find_chain(conn: AsyncConnection[Any], letter_id: int) -> list[Row]:
    """Return the jobs of a letter, the one that died first, then those that ran in its place."""
    return await fetch(conn, SQL["find_chain"], {"letter_id": letter_id})


async def list_letters(
    conn: AsyncConnection[Any], chosen: LetterFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> Page:
    """Return one page: at most `limit` letters, older than letter `before`, after skipping `offset` of them."""
    return await fetch_page(conn, LISTING, chosen.parameters(), Part(limit, before, offset))


async def sum_letters(
    conn: AsyncConnection[Any], properties: Mapping[str, LiteralString], *, since: date | None = None
) -> dict[str, list[Row]]:
    """Return for each property its values with the letters of each status: name, status, letters; most first.

    Args:
        conn: May be one that can only read.
        properties: Some of `PROPERTIES`.
        since: The first day of death; None: all.
    """
    return {
        name: await fetch(conn, SQL["sum_letters"].replace("/* property */", column), {"since": since})
        for name, column in properties.items()
    }


async def count_pending(conn: AsyncConnection[Any]) -> int:
    """How many letters wait for somebody."""
    row = await (await conn.execute(SQL["count_pending"])).fetchone()
    return int(row[0]) if row else 0


async def find_oldest(conn: AsyncConnection[Any]) -> datetime | None:
    """Since when the oldest pending letter has been waiting; None: there is none."""
    rows = await fetch(conn, SQL["find_oldest"], {})
    return rows[0]["first_died_at"] if rows else None


async def fold_counts(conn: AsyncConnection[Any]) -> None:
    """Add up what has changed since the last time, so that counting stays a matter of a few rows."""
    await conn.execute(SQL["fold_counts"])


async def settle_strays(conn: AsyncConnection[Any]) -> list[int]:
    """Set letters right whose job ended where no trigger saw it; return their ids."""
    settled: list[int] = []
    while True:
        cursor = await conn.execute(SQL["settle_strays"], {"limit": STRAYS_AT_ONCE})
        found = [row[0] for row in await cursor.fetchall()]
        settled += found
        if len(found) < STRAYS_AT_ONCE:
            return settled
