"""The pages of bulk actions on dead letters: what one would be about, doing it, watching it, and stopping it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from ..queue import bulk
from ..store.paging import Row
from ..web.errors import InvalidInput
from ..web.letters import FASTEST, FASTEST_UNASKED, HIGHEST_SHARE, progress_of
from ..web.paging import BIGGEST_ID
from ..web.reading import Queue, ReadingConnection
from . import letters
from .forms import Form, OperatorsForm, done
from .frame import render
from .letters import LetterView

PAGE_SIZE = 20
SLOWEST = 0.01
ADDRESS = "/dashboard/dead-letters/bulk"

router = APIRouter(prefix="/dashboard/dead-letters/bulk")

BulkId = Annotated[int, Path(ge=1, le=BIGGEST_ID)]


@router.post("/preview")
async def preview_bulk(request: Request, form: OperatorsForm, queue: Queue) -> HTMLResponse:
    """Count the pending letters that fit, exactly, and name their tasks and groups. Nothing is done yet."""
    action = _action(form)
    view = _view(form)
    chosen = replace(view.chosen(queue, datetime.now(UTC)), status=None)
    async with queue.connection() as conn:
        seen = await bulk.preview(conn, action, chosen, actor=form.caller.name)
    given = {name: value for name, value in view.filters().items() if name != "status"}
    return render(
        request,
        "preview.html",
        "Dead letters",
        action=action,
        seen=seen,
        given=given,
        moments=view.moments(),
        back=letters.address(given, status="pending"),
        unknown={task["task_name"] for task in seen.tasks if queue.catalog.find(task["task_name"]) is None},
        rate=FASTEST_UNASKED,
        stop_percent=100 * HIGHEST_SHARE,
    )


@router.get("/preview")
async def leave_preview() -> RedirectResponse:
    """A preview is made anew: this address, opened once more, leads to the letters."""
    return RedirectResponse(letters.ADDRESS, 307)


@router.post("")
async def start_bulk(request: Request, form: OperatorsForm, queue: Queue) -> Response:
    """Have a previewed action run as a job."""
    token, reason = form.needed("token"), form.needed("reason")
    rate = form.number("rate_per_second", least=SLOWEST, most=FASTEST)
    percent = form.number("stop_percent", least=0, most=100)
    async with queue.connection() as conn:
        bulk_id = await bulk.confirm(
            conn,
            token,
            reason=reason,
            rate_per_second=FASTEST_UNASKED if rate is None else rate,
            stop_share=HIGHEST_SHARE if percent is None else percent / 100,
            actor=form.caller.name,
        )
    return done(request, f"{ADDRESS}/{bulk_id}", "It is on its way. This page follows it.")


@router.get("")
async def show_bulks(
    request: Request, conn: ReadingConnection, before: Annotated[int | None, Query(ge=1, le=BIGGEST_ID)] = None
) -> HTMLResponse:
    """The actions that were confirmed, newest first."""
    page = await bulk.list_bulks(conn, limit=PAGE_SIZE, before=before)
    return render(
        request, "bulks.html", "Dead letters", page=page, bulks=[_told(row) for row in page.items], paged=before
    )


@router.get("/{bulk_id}")
async def show_bulk(request: Request, bulk_id: BulkId, conn: ReadingConnection) -> HTMLResponse:
    """How far one is, and what became of its letters."""
    found = _told(await bulk.find_bulk(conn, bulk_id))
    times = {"died_from", "died_to"} & found["filter"].keys()
    return render(
        request,
        "bulk.html",
        "Dead letters",
        bulk=found,
        moments={name: datetime.fromisoformat(found["filter"][name]) for name in times},
        letters_of=letters.address,
    )


@router.post("/{bulk_id}/stop")
async def stop_bulk(request: Request, bulk_id: BulkId, form: OperatorsForm, queue: Queue) -> Response:
    """End it before its next letters. What it has replayed goes on running."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        await bulk.cancel(conn, bulk_id, actor=form.caller.name, reason=reason)
    return done(request, f"{ADDRESS}/{bulk_id}", "It ends before its next letters.")


def _action(form: Form) -> Literal["replay", "abandon"]:
    action = form.needed("action")
    if action not in {"replay", "abandon"}:
        raise InvalidInput("action", "replay or abandon")
    return cast("Literal['replay', 'abandon']", action)


def _view(form: Form) -> LetterView:
    """The filters of the list that the form was on."""
    given = {name: form.text(name) or "" for name in LetterView.model_fields if name not in {"limit", "offset"}}
    try:
        return LetterView.model_validate(given)
    except ValidationError as error:
        (fault, *_) = error.errors()
        raise InvalidInput(".".join(map(str, fault["loc"])), fault["msg"]) from None


def _told(row: Row) -> Row:
    """With its progress, and the seconds that the rest takes at its rate."""
    told = row | progress_of(row)
    left = max(0, row["previewed"] - row["acted"] - row["skipped"])
    return told | {"seconds_left": left / row["rate_per_second"] if row["state"] == "running" else None}
