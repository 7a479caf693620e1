"""Pages for people, rendered here. They read, and change nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..redact import redact
from ..store.jobs import STATES, JobFilter, list_attempts, list_jobs
from ..web.auth import VIEWER
from ..web.errors import InvalidInput
from ..web.reading import ReadingConnection

PAGE_SIZE = 50

_HERE = Path(__file__).parent
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

router = APIRouter(
    prefix="/dashboard", include_in_schema=False, default_response_class=HTMLResponse, dependencies=[VIEWER]
)


def mount_assets(app: FastAPI) -> None:
    """Serve the pages' own files; nothing comes from another host."""
    app.mount("/dashboard/static", StaticFiles(directory=_HERE / "static"))


@router.get("")
async def show_jobs(
    request: Request,
    conn: ReadingConnection,
    state: str | None = None,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    """The newest jobs with their attempts, those of one state if asked."""
    if state is not None and state not in STATES:
        raise InvalidInput("state", f"one of {', '.join(STATES)}")
    page = await list_jobs(conn, JobFilter(state=state), limit=PAGE_SIZE, before=before)
    attempts = await list_attempts(conn, [job["job_id"] for job in page.items])
    text = _templates.get_template("jobs.html").render(
        page=page, attempts=attempts, states=STATES, chosen=state, now=datetime.now(UTC), host=request.headers["host"]
    )
    return HTMLResponse(text)


def ago(moment: datetime | None, now: datetime) -> str:
    """How long since, or until, in one unit: ``12 s ago``, ``in 5 min``."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    if -1 < seconds < 1:
        return "now"
    span = length(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def length(seconds: float | None) -> str:
    """A duration in the unit that fits it: ``215 ms``, ``12 s``, ``5 min``."""
    if seconds is None:
        return "-"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - two digits read best.


def as_json(value: Any) -> str:
    """Arguments as people read them, without secrets."""
    return orjson.dumps(redact(value), option=orjson.OPT_INDENT_2).decode()


_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"ago": ago, "length": length, "as_json": as_json}
