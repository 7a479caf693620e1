"""Bringing many dead letters back, or giving them up, by a filter: previewed, confirmed by its count, run as a job.

Nothing here acts on letters that were not previewed, and nothing without saying who wanted it and why.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from psycopg import AsyncConnection
from psycopg.errors import DataError, IntegrityError, RaiseException

from ..postgres.sqlfiles import load
from ..redact import redact_text
from ..store.audit import record
from ..store.dead_letters import LISTING, LetterFilter
from ..store.paging import Listing, Page, Part, Row, fetch, fetch_page
from .letters import WrongStatus
from .submit import Submission, submit

SQL = load("bulk")

Action = Literal["replay", "abandon"]
Outcome = Literal["done", "stopped", "cancelled"]

TASK = "app.tasks.dead_letters.run_bulk"
QUEUE = "dead_letters"

PREVIEW_TTL = timedelta(minutes=15)
"""How long a preview can be confirmed."""

MOST_SHOWN = 10
"""Tasks and groups that a preview names."""

GROWTH = 1.1
"""More than so many times the previewed letters need another preview."""

AT_ONCE = 250
"""Letters in one transaction: it holds their rows for some 20 ms."""

ENOUGH_SEEN = 10
"""Replayed jobs that must have ended or failed before it is judged how they fare."""

JUDGED = 200
"""Of those, the last so many are judged: failures that come back late are not outweighed by what went well before."""

LOOKED_AT = 5_000
"""Replayed jobs, the oldest and the newest, that one look sees of those which have not ended."""

REFUSED = (IntegrityError, DataError, RaiseException)
"""What the database says to a letter that can never become a job, as it is. Whatever else fails may pass."""

BULKS = Listing(
    key="id",
    page=SQL["list_bulks"],
    count=SQL["count_bulks"],
    estimate=SQL["estimate_bulks"],
    conditions={"bulk_id": "b.id = %(bulk_id)s::bigint"},
)


class EmptyFilter(ValueError):  # noqa: N818  Reads as what happened, as all of these do.
    """The filter lets every letter through: that is never meant."""

    def __init__(self) -> None:
        super().__init__("an empty filter would take every letter; say which: by task, type, group, time …")


class PreviewGone(LookupError):  # noqa: N818 - as above.
    """The token is not that of a preview, or of one that has expired."""

    def __init__(self) -> None:
        super().__init__("no preview has this token, or it has expired; preview again")


class HasGrown(Exception):  # noqa: N818 - as above.
    """Many more letters match than were previewed."""

    def __init__(self, previewed: int, count: int) -> None:
        super().__init__(f"{count:,} letters match now, and {previewed:,} were previewed; preview again")
        self.previewed = previewed
        self.count = count


class UnknownBulk(LookupError):  # noqa: N818 - as above.
    """No bulk action has this id."""

    def __init__(self, bulk_id: int) -> None:
        super().__init__(f"there is no bulk action {bulk_id}")


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would be about.

    Attributes:
        token: Confirms this very preview, once.
        tasks: Name and letters, most first; at most `MOST_SHOWN`.
        groups: Fingerprint, type, exception, message and letters, likewise.
    """

    token: str
    count: int
    oldest: datetime | None
    tasks: list[Row]
    groups: list[Row]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What one transaction came to.

    Attributes:
        outcome: None: it goes on.
        seen: How the replayed jobs fare, where that was looked at.
    """

    acted: int
    skipped: int
    total: int
    outcome: Outcome | None = None
    seen: "Seen | None" = None


@dataclass(frozen=True, slots=True)
class Seen:
    """How the jobs fare that an action has made.

    Attributes:
        succeeded: Of the last `JUDGED` that ended or failed.
        failed: Of those, the others: they died again, or have failed and wait for their retry.
        waiting: That have not run yet, of the newest `LOOKED_AT`.
    """

    succeeded: int
    failed: int
    waiting: int

    def fails_again(self, share: float) -> bool:
        """Whether more than this share has failed, of enough to tell."""
        seen = self.succeeded + self.failed
        return seen >= ENOUGH_SEEN and self.failed > share * seen


async def preview(
    conn: AsyncConnection[Any], action: Action, chosen: LetterFilter, *, actor: str, token: str | None = None
) -> Preview:
    """Count the pending letters that a filter lets through, and keep that for a while.

    A caller that may come twice gives its own token, and sees whether that was confirmed before.

    Raises:
        EmptyFilter: Nothing is asked for.
    """
    if chosen.is_empty:
        raise EmptyFilter
    token = token or secrets.token_urlsafe(24)
    async with conn.transaction():
        (matching,) = await _ask(conn, "preview_matching", chosen, most=MOST_SHOWN)
        kept = {
            "action": action,
            "filter": chosen.as_json(),
            "token_hash": _hash(token),
            "upper_id": matching["upper_id"],
            "previewed": matching["letters"],
            "ttl": PREVIEW_TTL,
            "actor": actor,
        }
        (row,) = await fetch(conn, SQL["keep_preview"], kept)
    return Preview(
        token, matching["letters"], matching["oldest"], matching["tasks"], matching["groups"], row["expires_at"]
    )


async def confirm(  # noqa: PLR0913  What, how fast, until when, who, and why.
    conn: AsyncConnection[Any], token: str, *, reason: str, rate_per_second: float, stop_share: float, actor: str
) -> int:
    """Have a previewed action run as a job; return its id. Confirming once more returns the same.

    Args:
        conn: In autocommit, or in the caller's transaction.
        token: Of the preview.
        reason: Why; an abandoned letter keeps it as its note.
        rate_per_second: Letters; it begins with a tenth of that, and rises for `RAMP_SECONDS`.
        stop_share: It stops when more than this share of the jobs it replayed fail again.
        actor: Who confirms it.

    Raises:
        PreviewGone: The token is unknown, or too old.
        HasGrown: More than a tenth more letters match than were previewed.
    """
    async with conn.transaction():
        kept = await find_kept(conn, token)
        if kept is None or (kept["expired"] and kept["job_id"] is None):
            raise PreviewGone
        bulk_id: int = kept["id"]
        if kept["job_id"] is not None:
            return bulk_id
        (matching,) = await _ask(conn, "count_matching", LetterFilter.from_json(kept["filter"]))
        if matching["letters"] > GROWTH * kept["previewed"]:
            raise HasGrown(kept["previewed"], matching["letters"])
        job_id = await submit(conn, Submission(task_name=TASK, queue=QUEUE, args={"bulk_id": bulk_id}, priority=10))
        terms = {"reason": redact_text(reason), "rate_per_second": rate_per_second, "stop_share": stop_share}
        await conn.execute(SQL["confirm_bulk"], terms | {"bulk_id": bulk_id, "job_id": job_id, "actor": actor})
        details = {"letters": kept["previewed"], "filter": kept["filter"], "rate_per_second": rate_per_second}
        await _record(conn, bulk_id, f"{kept['action']}_many", actor, reason, details)
    return bulk_id


async def find_kept(conn: AsyncConnection[Any], token: str) -> Row | None:
    """The preview of a token, ``job_id`` being set once it is confirmed; nobody else confirms it meanwhile."""
    found = await fetch(conn, SQL["find_preview"], {"token_hash": _hash(token)})
    return found[0] if found else None


async def cancel(conn: AsyncConnection[Any], bulk_id: int, *, actor: str, reason: str | None = None) -> None:
    """End an action before its next letters. What it has done stays done.

    Raises:
        UnknownBulk: There is none of this id, or it was never confirmed.
        WrongStatus: It is over.
    """
    async with conn.transaction():
        bulk = await _lock(conn, bulk_id)
        if bulk["job_id"] is None:
            raise UnknownBulk(bulk_id)
        if bulk["outcome"] is not None:
            raise WrongStatus(f"bulk action {bulk_id} is over: it is {bulk['outcome']}", bulk["outcome"])
        await conn.execute(SQL["ask_for_end"], {"bulk_id": bulk_id, "actor": actor})
        await conn.execute(SQL["cancel_run"], {"job_id": bulk["job_id"]})
        (run,) = await fetch(conn, SQL["find_run"], {"job_id": bulk["job_id"]})
        if not run["runs"]:
            await conn.execute(SQL["end_bulk"], {"bulk_id": bulk_id, "outcome": "cancelled"})
        await _record(conn, bulk_id, "cancel_many", actor, reason, {"acted": bulk["acted"]})


async def find_bulk(conn: AsyncConnection[Any], bulk_id: int) -> Row:
    """Return the action, with ``state``: waiting, running, done, stopped, cancelled or failed.

    Raises:
        UnknownBulk: There is none of this id, or it was never confirmed.
    """
    page = await fetch_page(conn, BULKS, {"bulk_id": bulk_id}, Part(1))
    if not page.items:
        raise UnknownBulk(bulk_id)
    return _shape(page.items[0])


async def list_bulks(conn: AsyncConnection[Any], *, limit: int, before: int | None = None, offset: int = 0) -> Page:
    """Return one page of the actions that were confirmed, newest first, each as `find_bulk` does."""
    page = await fetch_page(conn, BULKS, {}, Part(limit, before, offset))
    return replace(page, items=[_shape(row) for row in page.items])


def _shape(row: Row) -> Row:
    state = row["outcome"] or _STATES.get(row["job_state"], "failed")
    return row | {"state": state, "skipped": sum(row["skips"].values())}


_STATES = {
    "ready": "waiting", "scheduled": "waiting", "retrying": "waiting", "running": "running",
    "cancelled": "cancelled", "aborted": "cancelled",
}  # fmt: skip


async def terms(conn: AsyncConnection[Any], bulk_id: int, job_id: int) -> Row:
    """Take an action over for the job that runs it now; return how it is to be run.

    Raises:
        UnknownBulk: There is none of this id, or it was never confirmed.
    """
    async with conn.transaction():
        bulk = await _lock(conn, bulk_id)
        if bulk["job_id"] is None:
            raise UnknownBulk(bulk_id)
        await conn.execute(SQL["take_bulk"], {"bulk_id": bulk_id, "job_id": job_id})
    return bulk


async def step(conn: AsyncConnection[Any], bulk_id: int, *, limit: int, tasks: Collection[str], judge: bool) -> Step:
    """Act on the next letters, at most `limit` of them, and move the cursor in the same transaction.

    Args:
        conn: In autocommit.
        bulk_id: Of a confirmed action.
        limit: 0 only looks whether it is to go on.
        tasks: Names that are registered here; letters of others are left pending.
        judge: Whether to look how the replayed jobs fare.
    """
    async with conn.transaction():
        # The statistics of a table that has just been filled would have it read as a whole, for each step.
        await conn.execute("SELECT set_config('enable_seqscan', 'off', true)")
        bulk = await _lock(conn, bulk_id)
        if bulk["outcome"] is not None:
            return _step(bulk, bulk["outcome"])
        if bulk["cancelled_by"] is not None:
            return await _end(conn, bulk, "cancelled")
        seen = await _look(conn, bulk_id) if judge and bulk["action"] == "replay" else None
        if seen and seen.fails_again(bulk["stop_share"]):
            return await _end(conn, bulk, "stopped", seen)
        if limit == 0:
            return _step(bulk, seen=seen)
        done = await _act(conn, bulk, limit, tasks)
        if done is None:
            return await _end(conn, bulk, "done", seen)
        bulk |= {"acted": bulk["acted"] + done.acted, "skips": dict(Counter(bulk["skips"]) + done.skips)}
        moved = {"cursor": done.cursor, "acted": done.acted, "skips": orjson.dumps(bulk["skips"]).decode()}
        await conn.execute(SQL["advance_bulk"], moved | {"bulk_id": bulk_id})
        return _step(bulk, seen=seen)


async def drop_previews(conn: AsyncConnection[Any]) -> None:
    """Forget previews that nobody confirmed in time."""
    await conn.execute(SQL["drop_previews"])


@dataclass(frozen=True, slots=True)
class _Done:
    """Letters that were gone through: up to which, how many were acted on, and why others were not."""

    cursor: int
    acted: int
    skips: Counter[str]


async def _look(conn: AsyncConnection[Any], bulk_id: int) -> Seen:
    (found,) = await fetch(conn, SQL["judge_bulk"], {"bulk_id": bulk_id, "judged": JUDGED, "most": LOOKED_AT})
    return Seen(**found)


async def _act(conn: AsyncConnection[Any], bulk: Row, limit: int, tasks: Collection[str]) -> _Done | None:
    """Act on the next letters; None: there are none. Where the database refuses, fewer are tried, down to one."""
    query = "replay_letters" if bulk["action"] == "replay" else "abandon_letters"
    chosen, part = LetterFilter.from_json(bulk["filter"]), {"cursor": bulk["cursor"], "upper_id": bulk["upper_id"]}
    held = await _ask(conn, "hold_next", chosen, **part) if limit == 1 else []
    if held:
        part = {"cursor": held[0]["id"] - 1, "upper_id": held[0]["id"]}
    given = part | {"bulk_id": bulk["id"], "limit": limit, "tasks": list(tasks), "reason": bulk["reason"]}
    try:
        async with conn.transaction():
            (done,) = await _ask(conn, query, chosen, **given)
    except REFUSED as error:
        if held:
            refusal = f"refused: {error.diag.constraint_name or type(error).__name__}"
            return _Done(held[0]["id"], 0, Counter({refusal: 1}))
        return await _act(conn, bulk, max(1, limit // 2), tasks)
    if done["chosen"] == 0:
        return None
    left_out = {"task_not_registered": done["chosen"] - done["fit"], "queueing_lock_held": done["fit"] - done["acted"]}
    return _Done(done["cursor"], done["acted"], Counter(left_out))


async def _end(conn: AsyncConnection[Any], bulk: Row, outcome: Outcome, seen: Seen | None = None) -> Step:
    await conn.execute(SQL["end_bulk"], {"bulk_id": bulk["id"], "outcome": outcome})
    details = {"outcome": outcome, "acted": bulk["acted"], "skips": bulk["skips"]}
    if seen:
        details |= {"failed_again": seen.failed, "of_the_last": seen.succeeded + seen.failed}
    await _record(conn, bulk["id"], "end_many", bulk["actor"], bulk["reason"], details)
    return _step(bulk, outcome, seen)


def _step(bulk: Row, outcome: Outcome | None = None, seen: Seen | None = None) -> Step:
    return Step(bulk["acted"], sum(bulk["skips"].values()), bulk["previewed"], outcome, seen)


async def _lock(conn: AsyncConnection[Any], bulk_id: int) -> Row:
    rows = await fetch(conn, SQL["lock_bulk"], {"bulk_id": bulk_id})
    if not rows:
        raise UnknownBulk(bulk_id)
    return rows[0]


async def _record(  # noqa: PLR0913, PLR0917  Who, what, on what, why, and the rest.
    conn: AsyncConnection[Any], bulk_id: int, verb: str, actor: str, reason: str | None, details: dict[str, Any]
) -> None:
    await record(
        conn, actor=actor, action=f"dead_letter.{verb}", target=f"bulk {bulk_id}", reason=reason, details=details
    )


async def _ask(conn: AsyncConnection[Any], query: str, chosen: LetterFilter, **besides: Any) -> list[Row]:
    given = chosen.parameters()
    return await fetch(conn, LISTING.text(SQL[query], given), given | besides)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
