"""The page of one failure group: what fails, since when, whom it concerns, its dead letters; and marking it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from ..retry.taxonomy import TAXONOMY
from ..store import groups
from ..store.dead_letters import LetterFilter, list_letters
from ..store.groups import HOURS, find_group
from ..store.paging import COUNTED_EXACTLY
from ..web.errors import InvalidInput, NotMarked, UnknownGroup
from ..web.fields import Text
from ..web.groups import dependencies_of
from ..web.reading import Queue, ReadingConnection
from .charts import bars
from .failures import group_address
from .forms import OperatorsForm, done
from .frame import render

LETTERS = 10
"""The newest, that the page shows."""

router = APIRouter(prefix="/dashboard")

Fingerprint = Annotated[Text, Path()]


@router.get("/failures/groups/{fingerprint:path}")
async def show_group(request: Request, fingerprint: Fingerprint, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """Everything that is known of one group."""
    group = await find_group(conn, fingerprint)
    if group is None:
        raise UnknownGroup(fingerprint)
    letters = await list_letters(conn, LetterFilter(group=fingerprint), limit=LETTERS)
    meaning = TAXONOMY.get(group["failure_type"])
    return render(
        request,
        "group.html",
        "Failures",
        group=group,
        meaning=meaning.sentence if meaning else None,
        remediations=list(dict.fromkeys([group["remediation"], *(meaning.actions if meaning else ())])),
        dependencies=dependencies_of(group, queue.catalog),
        address=group_address(fingerprint),
        its={"group": fingerprint},
        letters=letters,
        pending_is_exact=group["pending_letters"] <= COUNTED_EXACTLY,
        chart=bars(
            group["hours"],
            labels=[*(f"{ago} h ago" for ago in range(HOURS - 1, 0, -1)), "this hour"],
            label="Failures by the hour, of the last day",
            tone="bad",
        ),
    )


@router.post("/failures/groups/{fingerprint:path}/resolve")
async def resolve(request: Request, fingerprint: Fingerprint, form: OperatorsForm, queue: Queue) -> Response:
    """Take it for mended: a failure that comes afterwards is a regression."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        if not await groups.resolve_group(conn, fingerprint, actor=form.caller.name, reason=reason):
            raise UnknownGroup(fingerprint)
    return done(request, group_address(fingerprint), "It is taken for resolved. If it fails again, it is a regression.")


@router.post("/failures/groups/{fingerprint:path}/reopen")
async def reopen(request: Request, fingerprint: Fingerprint, form: OperatorsForm, queue: Queue) -> Response:
    """Take that back."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        if not await groups.reopen_group(conn, fingerprint, actor=form.caller.name, reason=reason):
            raise NotMarked(fingerprint, "resolved")
    return done(request, group_address(fingerprint), "It is open again.")


@router.post("/failures/groups/{fingerprint:path}/mute")
async def mute(request: Request, fingerprint: Fingerprint, form: OperatorsForm, queue: Queue) -> Response:
    """Let it be quiet until a time. It is counted all the same."""
    reason, lasts, until = form.needed("reason"), form.duration("duration"), form.moment("until")
    now = datetime.now(UTC)
    if (lasts is None) == (until is None):
        raise InvalidInput("until", "one of this and a duration")
    end = until or now + (lasts or now - now)
    if end <= now:
        raise InvalidInput("until", "a time to come")
    async with queue.connection() as conn:
        if not await groups.mute_group(conn, fingerprint, until=end, actor=form.caller.name, reason=reason):
            raise UnknownGroup(fingerprint)
    return done(request, group_address(fingerprint), f"It is muted until {end:%Y-%m-%d %H:%M} UTC.")


@router.post("/failures/groups/{fingerprint:path}/unmute")
async def unmute(request: Request, fingerprint: Fingerprint, form: OperatorsForm, queue: Queue) -> Response:
    """Take that back before its time."""
    reason = form.needed("reason")
    async with queue.connection() as conn:
        if not await groups.unmute_group(conn, fingerprint, actor=form.caller.name, reason=reason):
            raise NotMarked(fingerprint, "muted")
    return done(request, group_address(fingerprint), "It is heard again.")
