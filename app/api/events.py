"""What happens to a job, live, as server-sent events."""

from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from ..queue.control import UnknownJob
from ..queue.watch import Hub
from ..store.updates import Cursor, Update
from ..web.auth import VIEWER
from ..web.errors import InvalidInput
from ..web.fields import JobId
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue
from ..web.streams import MEDIA_TYPE, RETRY_MILLISECONDS, UNBUFFERED

router = APIRouter(tags=["jobs"], route_class=StrictRoute, dependencies=[VIEWER])

HEARTBEAT_SECONDS = 15.0
"""After so long without news a comment is sent: proxies cut what is silent, and who has gone is noticed."""

_DESCRIPTION = """`state`: the job came into a state; `attempt`: a run ended without success; `progress`: as its task
reports it; `end`: the job is over, and the stream too. The data of each is JSON."""

_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Sent back as Last-Event-ID, it resumes after this event."},
        "event": {"enum": ["state", "attempt", "progress", "end"]},
        "data": {"description": "JSON.", "contentMediaType": "application/json"},
    },
}

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _DESCRIPTION,
        "content": {
            MEDIA_TYPE: {
                "schema": _EVENT,
                "example": 'id: 7.0.3\nevent: progress\ndata: {"at":"2030-01-31T12:00:00Z","attempt":1,"progress":0.75,'
                '"message":"Step 3 of 4","current_step":"review","data":null}\n\n',
            }
        },
    },
    204: {"description": "The job is over, and everything after Last-Event-ID is known: do not connect again."},
}


LastEventId = Annotated[str | None, Header(max_length=64, json_schema_extra={"pattern": r"^\d+\.\d+\.\d+$"})]


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job live",
    response_class=StreamingResponse,
    responses=_RESPONSES | responses(404, 422, 503),
)
async def follow_job(job_id: JobId, queue: Queue, last_event_id: LastEventId = None) -> Response:
    """Stream what happened to the job from its submission on, and what happens until it is over.

    Who was cut off connects again with the `Last-Event-ID` that was seen last, as browsers do by themselves, and
    misses nothing.
    """
    try:
        since = Cursor.parse(last_event_id) if last_event_id else Cursor()
    except ValueError as error:
        raise InvalidInput("Last-Event-ID", str(error)) from None
    page = await queue.hub.look(job_id, since)
    if not page.found:
        raise UnknownJob(job_id)
    if page.final and not page.updates:
        return Response(status_code=204)
    return StreamingResponse(_stream(queue.hub, job_id, since), media_type=MEDIA_TYPE, headers=UNBUFFERED)


async def _stream(hub: Hub, job_id: int, since: Cursor) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MILLISECONDS
    final = False
    with hub.watching(job_id, since) as watcher:
        while not final:
            page = await watcher.next_page(HEARTBEAT_SECONDS)
            if page is None:
                yield b": nothing new\n\n"
            else:
                yield b"".join(map(event, page.updates))
                final = page.final


def event(update: Update) -> bytes:
    """Return one server-sent event. Its data is one line, for JSON has no line breaks of its own."""
    data = {field.name: getattr(update, field.name) for field in fields(update) if field.name != "cursor"}
    text = orjson.dumps(data, option=orjson.OPT_UTC_Z)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(update.cursor).encode(), update.kind.encode(), text)
