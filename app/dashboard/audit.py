"""The page of the audit, for admins: who changed what, on what, why and when."""

import re
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from ..store.audit import AuditFilter, list_actions, list_actors, list_audit
from ..web.auth import ADMIN
from ..web.reading import ReadingConnection
from .frame import render
from .jobs import Word

PAGE_SIZE = 50
ADDRESS = "/dashboard/audit"

_PLACES = (
    (r"job\.", r"[1-9]\d{0,18}", "/dashboard/jobs/{}"),
    (r"queue\.", r".+", "/dashboard/queues/{}"),
    (r"task\.", r".+", "/dashboard/jobs?task={}"),
    (r"dependency\.", r".+", "/dashboard/dependencies/{}"),
    (r"dead_letter\.", r"[1-9]\d{0,18}", "/dashboard/dead-letters/{}"),
    (r"dead_letter\.", r"bulk ([1-9]\d{0,18})", "/dashboard/dead-letters/bulk/{}"),
    (r"failure_group\.", r".+", "/dashboard/failures/groups/{}"),
    (r"monitoring\.", r"monitoring", "/dashboard/alerts"),
)
"""Where what was changed has a page: how the action begins, how the target reads, and the address."""

router = APIRouter(prefix="/dashboard", dependencies=[ADMIN])


@router.get("/audit")
async def show_audit(  # noqa: PLR0913 - each is a filter that stands in the address.
    request: Request,
    conn: ReadingConnection,
    *,
    actor: Word = "",
    action: Word = "",
    target: Word = "",
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    """One page of the changes that fit, newest first."""
    filters = {"actor": actor, "action": action, "target": target}
    given = {name: value for name, value in filters.items() if value}
    page = await list_audit(conn, AuditFilter(**given), limit=PAGE_SIZE, before=before)
    return render(
        request,
        "audit.html",
        "Audit",
        page=page,
        given=given,
        actors=await list_actors(conn),
        actions=await list_actions(conn),
        address=address,
        place_of=place_of,
        older=address(given, before=page.next_before) if page.next_before else None,
        paged=before,
    )


def address(given: dict[str, str], **changes: str | int | None) -> str:
    """The page with these filters, some of them changed; None takes one away."""
    wanted = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS


def place_of(action: str, target: str) -> str | None:
    """The page of what was changed; None where it has none."""
    for begins, reads, place in _PLACES:
        if re.match(begins, action) and (found := re.fullmatch(reads, target, re.ASCII)):
            return place.format(quote(found[found.re.groups]))
    return None
