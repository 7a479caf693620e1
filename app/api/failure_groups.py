"""Failure groups over HTTP: failures of one cause, counted, and the way from there to their dead letters."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..queue.app import Afresh
from ..retry.failure import Remediation
from ..retry.taxonomy import TAXONOMY
from ..store import groups
from ..store.paging import COUNTED_EXACTLY, Row
from ..web.auth import VIEWER, Operator
from ..web.errors import InvalidInput, NotMarked, UnknownGroup
from ..web.fields import Duration, Moment, Text, Time
from ..web.groups import GroupQuery, GroupStatus, dependencies_of, find_page
from ..web.limits import StrictRoute
from ..web.paging import PageOf
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .reasons import Because, MustReason

router = APIRouter(prefix="/failures/groups", tags=["failures"], route_class=StrictRoute)

Fingerprint = Annotated[Text, Path(examples=["9f86d081884c7d65"])]
CHANGES = responses(400, 403, 404, 409, 413, 415, 422, 503)


class Resolved(BaseModel):
    """Who took a group for resolved."""

    at: Time
    by: str = Field(examples=["local"])
    reason: str


class Muted(Resolved):
    """Who muted a group."""

    until: Time


class FailureGroup(BaseModel):
    """Failures of one cause. Its type, exception, message and remediation are those of the newest."""

    model_config = ConfigDict(extra="ignore")

    fingerprint: str = Field(examples=["9f86d081884c7d65"])
    status: GroupStatus = Field(description="regression: it failed again after it was resolved.")
    failures: int = Field(description="Ever.", examples=[1204])
    deaths: int = Field(description="Dead letters that they made.", examples=[17])
    first_seen: Time
    last_seen: Time
    failure_type: str = Field(examples=["TRANSIENT_NETWORK"])
    exception_type: str | None = Field(examples=["httpx.ConnectError"])
    message: str | None
    remediation: Remediation | None
    advice: str | None = Field(description="What the type means and what follows, in words.")
    tasks: list[str] = Field(description="That fail so, by name.")
    dependencies: list[str] = Field(description="That their jobs rely on, by name.")
    sparkline: list[int] = Field(description="Failures in each of 24 hours, the present one last.")
    resolved: Resolved | None = Field(description="By whom, when and why; also where it failed again since.")
    muted: Muted | None
    dead_letters: str = Field(description="Where its pending dead letters are listed.")
    replay: dict[str, Any] = Field(description="Body for `POST /dead-letters/bulk/preview`, to replay them all.")


class GroupPage(PageOf[FailureGroup]):
    """Some groups."""


class GroupFailure(BaseModel):
    """One failure of a group."""

    model_config = ConfigDict(extra="ignore")

    job_id: int
    attempt: int
    task_name: str
    queue: str
    ended_at: Time
    worker: int | None = Field(validation_alias="worker_id")
    message: str | None
    decision: str | None = Field(description="retry, snooze or dead_letter.")
    reason: str | None = Field(description="Why that followed, in one line.")


class GroupDetail(FailureGroup):
    """A group with its sample, its newest failures and its letters."""

    traceback: str | None = Field(description="Of the newest failure, without secrets.")
    pending_letters: int = Field(description="Its dead letters that wait for somebody.", examples=[17])
    pending_letters_is_exact: bool = Field(description="False: there are more, only so many were counted.")
    recent: list[GroupFailure] = Field(description="The newest failures that are still kept, the newest first.")


class Mute(Because):
    """Until when a group is to be quiet, and why."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"duration": "4h", "reason": "the provider mends it"}]}
    )

    until: Moment | None = Field(None, description="ISO 8601 with an offset.")
    duration: Duration | None = Field(None, description="From now: seconds, or 30s, 5m, 2h, 7d.")

    @model_validator(mode="after")
    def _one_end(self) -> "Mute":
        if (self.until is None) == (self.duration is None):
            raise ValueError("one of until and duration")
        return self

    def end(self, now: datetime) -> datetime:
        """When it ends.

        Raises:
            InvalidInput: That is over.
        """
        end = self.until or now + (self.duration or now - now)
        if end <= now:
            raise InvalidInput("until", "a time to come")
        return end


@router.get("", dependencies=[VIEWER], summary="List failure groups", responses=responses(422, 503))
async def list_groups(wanted: Annotated[GroupQuery, Query()], conn: ReadingConnection, queue: Queue) -> GroupPage:
    """Return one page of the groups that fit: by their newest failure, or the largest first."""
    page = await find_page(conn, wanted, queue.catalog)
    shown = GroupPage.of(page, lambda row: FailureGroup.model_validate(_shape(row, queue)))
    shown.next_cursor = wanted.next_cursor(page)
    return shown


@router.get(
    "/{fingerprint:path}", dependencies=[VIEWER], summary="Show a failure group", responses=responses(404, 422, 503)
)
async def show_group(fingerprint: Fingerprint, conn: ReadingConnection, queue: Queue) -> GroupDetail:
    """Return one group with a sample traceback, its newest failures and how many of its dead letters wait."""
    return await _show(conn, fingerprint, queue)


@router.post("/{fingerprint:path}/resolve", summary="Take a group for resolved", responses=CHANGES)
async def resolve_group(fingerprint: Fingerprint, body: MustReason, caller: Operator, queue: Queue) -> GroupDetail:
    """Say that the cause is mended. A failure that comes in afterwards is a regression."""
    async with queue.connection() as conn:
        if not await groups.resolve_group(conn, fingerprint, actor=caller.name, reason=body.reason):
            raise UnknownGroup(fingerprint)
        return await _show(conn, fingerprint, queue)


@router.post("/{fingerprint:path}/reopen", summary="Take a group for open again", responses=CHANGES)
async def reopen_group(fingerprint: Fingerprint, body: MustReason, caller: Operator, queue: Queue) -> GroupDetail:
    """Take back that it was resolved."""
    async with queue.connection() as conn:
        if not await groups.reopen_group(conn, fingerprint, actor=caller.name, reason=body.reason):
            raise NotMarked(fingerprint, "resolved")
        return await _show(conn, fingerprint, queue)


@router.post("/{fingerprint:path}/mute", summary="Mute a group", responses=CHANGES)
async def mute_group(
    fingerprint: Fingerprint, body: Annotated[Mute, Body()], caller: Operator, queue: Queue
) -> GroupDetail:
    """Let a group be quiet until a time. It is counted all the same, and its jobs fare as before."""
    until = body.end(datetime.now(UTC))
    async with queue.connection() as conn:
        if not await groups.mute_group(conn, fingerprint, until=until, actor=caller.name, reason=body.reason):
            raise UnknownGroup(fingerprint)
        return await _show(conn, fingerprint, queue)


@router.post("/{fingerprint:path}/unmute", summary="Let a group be heard again", responses=CHANGES)
async def unmute_group(fingerprint: Fingerprint, body: MustReason, caller: Operator, queue: Queue) -> GroupDetail:
    """Take a mute back before its time."""
    async with queue.connection() as conn:
        if not await groups.unmute_group(conn, fingerprint, actor=caller.name, reason=body.reason):
            raise NotMarked(fingerprint, "muted")
        return await _show(conn, fingerprint, queue)


async def _show(conn: ReadingConnection, fingerprint: str, queue: Afresh) -> GroupDetail:
    row = await groups.find_group(conn, fingerprint)
    if row is None:
        raise UnknownGroup(fingerprint)
    counted = row["pending_letters"]
    exact = counted <= COUNTED_EXACTLY
    return GroupDetail.model_validate(_shape(row, queue) | {"pending_letters_is_exact": exact})


def _shape(row: Row, queue: Afresh) -> Row:
    """Turn a row of the store into what clients rely on."""
    group = {"group": row["fingerprint"]}
    meaning = TAXONOMY.get(row["failure_type"])
    return row | {
        "advice": meaning.sentence if meaning else None,
        "dependencies": dependencies_of(row, queue.catalog),
        "sparkline": row["hours"],
        "resolved": _mark(row, "resolved"),
        "muted": _mark(row, "muted") if row["status"] == "muted" else None,
        "dead_letters": f"/dead-letters?{urlencode(group)}&status=pending",
        "replay": {"action": "replay", "filter": group},
    }


def _mark(row: Row, verb: str) -> Row | None:
    if row[f"{verb}_at"] is None:
        return None
    mark = {"at": row[f"{verb}_at"], "by": row[f"{verb}_by"], "reason": row[f"{verb}_because"]}
    return mark | {"until": row["muted_until"]}
