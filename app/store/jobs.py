"""Jobs and their attempts, as people and programs read them. Never changes anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, LiteralString

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from .paging import Listing, Page, Part, Row, containing, fetch, fetch_page, fetch_total

SQL = load("jobs")

STATES = ("ready", "scheduled", "retrying", "running", "succeeded", "failed", "cancelled", "aborted")
STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")

# As scalars, so that they are looked up for the jobs that the other conditions leave, never joined to all of them.
_MADE: LiteralString = "(SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = j.id AND e.type = 'deferred')"
_ENDED: LiteralString = (
    "(SELECT max(e.at) FROM procrastinate_events e "
    "WHERE e.job_id = j.id AND e.type IN ('succeeded', 'failed', 'cancelled', 'aborted'))"
)
_OPTION: LiteralString = "SELECT o.job_id FROM afresh.job_option o WHERE"

# OFFSET 0 has the planner look at the jobs at hand, and not at all options and attempts there are.
# Never in arguments or metadata: a search would tell, letter by letter, what masking hides.
_TEXT: LiteralString = " OR ".join(
    [
        *(f"j.{column} ILIKE %(text)s::text" for column in ("task_name", "queue_name", "lock", "queueing_lock")),
        (
            "EXISTS (SELECT FROM afresh.job_option o"
            " WHERE o.job_id = j.id AND o.correlation_id ILIKE %(text)s::text OFFSET 0)"
        ),
        (
            "EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id"
            " AND (a.message ILIKE %(text)s::text OR a.exception_type ILIKE %(text)s::text) OFFSET 0)"
        ),
    ]
)

# The states as afresh.job_state derives them, one by one, so that each asks only for what tells it from the others. A
# test holds both equal. The planner cannot know that nearly all jobs with a time wait, and would sort them for a page:
# COALESCE keeps it from guessing. Within a queue, an index leads to those with a time.
_LATER: LiteralString = (
    "j.status = 'todo' AND NOT coalesce(j.scheduled_at <= now(), true) "
    "AND (%(queue)s::text IS NULL OR j.scheduled_at IS NOT NULL)"
)
_RAN: LiteralString = "j.attempts > 0 OR EXISTS (SELECT FROM afresh.attempt a WHERE a.job_id = j.id OFFSET 0)"
_STATES: Mapping[str, LiteralString] = {
    "ready": "j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())",
    "scheduled": f"{_LATER} AND NOT ({_RAN})",
    "retrying": f"{_LATER} AND ({_RAN})",
    "running": "j.status = 'doing'",
    "succeeded": "j.status = 'succeeded'",
    "failed": "j.status = 'failed'",
    "cancelled": "j.status = 'cancelled'",
    "aborted": "j.status = 'aborted'",
}
_IS = {state: f"is_{state}" for state in _STATES}

# Times of creation are in the events, and no index knows them; the ids around them bound the search, with room for
# transactions that were open for up to an hour. Only jobs within that room are looked at one by one.
CONDITIONS: Mapping[str, LiteralString] = {
    **{_IS[state]: condition for state, condition in _STATES.items()},
    "status": "j.status = %(status)s::procrastinate_job_status",
    "task_name": "j.task_name = %(task_name)s::text",
    "queue": "j.queue_name = %(queue)s::text",
    "task_type": "coalesce("
    "(SELECT o.task_type FROM afresh.job_option o WHERE o.job_id = j.id) = %(task_type)s::text, "
    "j.task_name = ANY (%(tasks_of_type)s::text[]))",
    "batch": f"j.id IN ({_OPTION} o.batch_id = %(batch)s::bigint)",
    "correlation_id": f"j.id IN ({_OPTION} o.correlation_id = %(correlation_id)s::text)",
    "metadata": f"j.id IN ({_OPTION} o.metadata @> %(metadata)s::jsonb OR o.metadata @> %(metadata_or)s::jsonb)",
    "replay_of": f"j.id IN ({_OPTION} o.replay_of = %(replay_of)s::bigint)",
    "created_from": "j.id >= (SELECT afresh.first_job_since(%(created_from)s::timestamptz - interval '1 hour')) "
    "AND (j.id >= (SELECT afresh.first_job_since(%(created_from)s::timestamptz + interval '1 hour')) "
    f"OR {_MADE} >= %(created_from)s::timestamptz)",
    "created_to": "j.id < (SELECT afresh.first_job_since(%(created_to)s::timestamptz + interval '1 hour')) "
    "AND (j.id < (SELECT afresh.first_job_since(%(created_to)s::timestamptz - interval '1 hour')) "
    f"OR {_MADE} < %(created_to)s::timestamptz)",
    "scheduled_from": "j.scheduled_at >= %(scheduled_from)s::timestamptz",
    "scheduled_to": "j.scheduled_at < %(scheduled_to)s::timestamptz",
    "ended_from": f"{_ENDED} >= %(ended_from)s::timestamptz",
    "ended_to": f"{_ENDED} < %(ended_to)s::timestamptz",
    "without_own": "NOT afresh.is_clocked(j.task_name)",
    "begun_to": "j.id < (SELECT afresh.first_job_since(%(begun_to)s::timestamptz + interval '1 hour'))",
    "text": _TEXT,
}

LISTING = Listing(
    key="job_id",
    page=SQL["list_jobs"],
    count=SQL["count_jobs"],
    estimate=SQL["estimate_jobs"],
    conditions=CONDITIONS,
    rough={_IS[state]: "j.status = 'todo'" for state in ("ready", "scheduled", "retrying")},
    search=SQL["search_jobs"],
    searched={
        "task_name": True,
        "task_type": False,
        "scheduled_from": True,
        "scheduled_to": True,
        "ended_from": False,
        "ended_to": False,
        "text": False,
    },
    found="j.id = ANY (%(found)s::bigint[])",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs. None: any. Times are from, and up to but not including.

    Attributes:
        task_type: Of the job, or of a task in `tasks_of_type` where the job says nothing.
        metadata: Contained in the job's, or `metadata_or` is.
        text: Occurs in a name, a lock, the correlation id or the message of a failure, in either case.
        without_own: True: none that the clock makes for the service itself.
    """

    state: str | None = None
    status: str | None = None
    task_name: str | None = None
    queue: str | None = None
    task_type: str | None = None
    tasks_of_type: Sequence[str] = ()
    batch: int | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    metadata_or: Mapping[str, Any] | None = None
    replay_of: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    scheduled_from: datetime | None = None
    scheduled_to: datetime | None = None
    ended_from: datetime | None = None
    ended_to: datetime | None = None
    text: str | None = None
    without_own: Literal[True] | None = None

    def parameters(self) -> dict[str, Any]:
        """What the conditions are given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given["tasks_of_type"] = list(self.tasks_of_type)
        if self.state is not None:
            given[_IS[self.state]] = True
        given["begun_to"] = (
            self.ended_to
        )  # What ended before was made before: the search need not begin with the newest.
        if self.metadata is not None:
            given["metadata"] = orjson.dumps(self.metadata).decode()
            given["metadata_or"] = orjson.dumps(self.metadata_or or self.metadata).decode()
        if self.text is not None:
            given["text"] = containing(self.text)
        return given


async def find_job(conn: AsyncConnection[Any], job_id: int) -> Row | None:
    """Return the job, or None where there is none."""
    rows = await fetch(conn, SQL["find_job"], {"job_id": job_id})
    return rows[0] if rows else None


async def find_origin(conn: AsyncConnection[Any], job_id: int) -> tuple[int, datetime | None]:
    """The first of the jobs in whose place this one runs, or itself, and when it was handed in, where that is kept."""
    row = await (await conn.execute(SQL["find_origin"], {"job_id": job_id})).fetchone()
    return (job_id, None) if row is None else (int(row[0]), row[1])


async def find_result(conn: AsyncConnection[Any], job_id: int) -> Row | None:
    """Return the job's state, result or note, and last failure; None where there is no such job."""
    rows = await fetch(conn, SQL["find_result"], {"job_id": job_id})
    return rows[0] if rows else None


async def list_attempts(
    conn: AsyncConnection[Any], job_ids: Sequence[int], *, most: int | None = None
) -> dict[int, list[Row]]:
    """Return the ended runs of each job, in order; a job without any is there with an empty list.

    Where a job has more than `most` of them, the latest are returned.
    """
    attempts: dict[int, list[Row]] = {job_id: [] for job_id in job_ids}
    for row in await fetch(conn, SQL["list_attempts"], {"job_ids": list(job_ids), "most": most}):
        attempts[row.pop("job_id")].append(row)
    return attempts


async def list_jobs(
    conn: AsyncConnection[Any], chosen: JobFilter, *, limit: int, before: int | None = None, offset: int = 0
) -> Page:
    """Return one page: at most `limit` jobs, older than job `before`, after skipping `offset` of them."""
    return await fetch_page(conn, LISTING, chosen.parameters(), Part(limit, before, offset))


async def count_jobs(conn: AsyncConnection[Any], chosen: JobFilter) -> tuple[int, bool]:
    """Return how many jobs there are, and whether that is exact."""
    return await fetch_total(conn, LISTING, chosen.parameters())
