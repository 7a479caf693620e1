"""Bulk actions on dead letters over HTTP: what a filter would be about, then doing it, and watching or ending that."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ..queue import bulk
from ..web.auth import VIEWER, Operator
from ..web.fields import LetterStatus, Time
from ..web.letters import BulkBody, BulkFilter, letter_filter, progress_of
from ..web.limits import StrictRoute
from ..web.paging import BIGGEST_ID, PageOf, PageQuery
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .reasons import MayReason

REFUSALS = (400, 403, 413, 415, 422, 503)

router = APIRouter(prefix="/dead-letters/bulk", tags=["dead letters"], route_class=StrictRoute)

BulkId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]


class PreviewBody(BaseModel):
    """What is to be done, to which letters."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"action": "replay", "filter": {"failure_type": "EXTERNAL_API_DOWN"}}]},
    )

    action: Literal["replay", "abandon"]
    filter: BulkFilter


class TaskShare(BaseModel):
    """Letters of one task."""

    task_name: str
    letters: int


class GroupShare(BaseModel):
    """Letters of one failure group, and one of their failures."""

    fingerprint: str | None
    failure_type: str | None
    exception_type: str | None
    message: str | None
    letters: int


class Preview(BaseModel):
    """What an action would be about. Nothing is done yet."""

    model_config = ConfigDict(from_attributes=True)

    action: Literal["replay", "abandon"]
    count: int = Field(description="Pending letters that match, exactly.", examples=[1000])
    oldest: Time | None = Field(description="When the first of them died.")
    tasks: list[TaskShare] = Field(description="The ten with most letters.")
    groups: list[GroupShare] = Field(description="The ten with most letters.")
    token: str = Field(description="Confirms this preview, once: this action, this filter, these letters.")
    expires_at: Time


class BulkReport(BaseModel):
    """How far a bulk action is."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(examples=[3])
    action: Literal["replay", "abandon"]
    state: Literal["waiting", "running", "done", "stopped", "cancelled", "failed"] = Field(
        description="done: it has gone through all letters; `statuses` tells what becomes of their jobs. stopped: too "
        "many failed again. failed: its own job died; retry that, and it goes on."
    )
    filter: dict[str, Any]
    total: int = Field(validation_alias="previewed", description="Letters that were previewed.", examples=[1000])
    acted: int = Field(description="Letters replayed or abandoned.", examples=[400])
    skipped: int = Field(description="Letters left pending.", examples=[3])
    skips: dict[str, int] = Field(
        description="Why: task_not_registered, queueing_lock_held, or refused: with what the database named.",
        examples=[{"task_not_registered": 2, "queueing_lock_held": 1}],
    )
    percent: float = Field(examples=[40.0])
    statuses: dict[LetterStatus, int] = Field(description="What became of those it acted on, so far.")
    rate_per_second: float
    stop_share: float
    job_id: int = Field(description="The job that runs it; its events show the progress live.")
    actor: str
    reason: str
    cancelled_by: str | None
    confirmed_at: Time
    ended_at: Time | None


class BulkPage(PageOf[BulkReport]):
    """Some bulk actions, newest first."""


@router.post(
    "/preview", summary="See what a bulk action would be about", responses=responses(400, 403, 413, 415, 422, 503)
)
async def preview_bulk(body: PreviewBody, caller: Operator, queue: Queue) -> Preview:
    """Count the pending letters that match, exactly, and name their tasks and groups. The token is good for 15 minutes.

    An empty filter is refused.
    """
    chosen = letter_filter(queue, body.filter)
    async with queue.connection() as conn:
        seen = await bulk.preview(conn, body.action, chosen, actor=caller.name)
    return Preview.model_validate({"action": body.action} | {name: getattr(seen, name) for name in seen.__slots__})


@router.post("", status_code=202, summary="Do it", responses=responses(*REFUSALS, 409, 410))
async def start_bulk(body: BulkBody, caller: Operator, queue: Queue, response: Response) -> BulkReport:
    """Run a previewed action as a job. The same token again answers the same action.

    If more than a tenth more letters match than were previewed, it asks for another preview (409).
    """
    async with queue.connection() as conn:
        bulk_id = await bulk.confirm(
            conn,
            body.token,
            reason=body.reason,
            rate_per_second=body.rate_per_second,
            stop_share=body.stop_share,
            actor=caller.name,
        )
        found = _report(await bulk.find_bulk(conn, bulk_id))
    response.headers["Location"] = f"/dead-letters/bulk/{bulk_id}"
    return found


@router.get("", dependencies=[VIEWER], summary="List bulk actions", responses=responses(422, 503))
async def list_bulks(wanted: Annotated[PageQuery, Query()], conn: ReadingConnection) -> BulkPage:
    """Return one page of the actions that were confirmed, newest first."""
    page = await bulk.list_bulks(conn, limit=wanted.limit, before=wanted.before, offset=wanted.offset)
    return BulkPage.of(page, _report)


@router.get("/{bulk_id}", dependencies=[VIEWER], summary="Show a bulk action", responses=responses(404, 422, 503))
async def show_bulk(bulk_id: BulkId, conn: ReadingConnection) -> BulkReport:
    """Return what it has done, and what became of the letters it acted on."""
    return _report(await bulk.find_bulk(conn, bulk_id))


@router.post(
    "/{bulk_id}/cancel", summary="End a bulk action", responses=responses(400, 403, 404, 409, 413, 415, 422, 503)
)
async def cancel_bulk(
    bulk_id: BulkId,
    caller: Operator,
    queue: Queue,
    body: MayReason,
) -> BulkReport:
    """Stop it before its next letters. What it has replayed goes on running."""
    async with queue.connection() as conn:
        await bulk.cancel(conn, bulk_id, actor=caller.name, reason=body.reason)
        return _report(await bulk.find_bulk(conn, bulk_id))


def _report(row: dict[str, Any]) -> BulkReport:
    return BulkReport.model_validate(row | progress_of(row))
