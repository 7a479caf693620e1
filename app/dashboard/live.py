"""Pages that go on by themselves: a stream that says when there is something new, and the page fetches itself anew.

One question a second serves everybody who looks at a page of this process; while nobody does, none is asked.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from ..queue.app import Afresh
from ..store.pulse import Pulse, read_pulse
from ..web.streams import MEDIA_TYPE, RETRY_MILLISECONDS, UNBUFFERED

LOOK_SECONDS = 1.0
"""How late a change is told."""

QUIET_SECONDS = 15.0
"""After so long a page is told to look all the same: what workers say of themselves happens without a trace."""

MOST_VISITORS = 1_000
"""More are asked to come back later; their pages look by themselves meanwhile."""

router = APIRouter(prefix="/dashboard")


class Liveliness:
    """Tells visitors when something has happened. Holds no connection between two looks."""

    def __init__(self, queue: Afresh) -> None:
        self._queue = queue
        self._visitors: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._visitors)

    def close(self) -> None:
        """Send everybody home, now and from now on: the process is about to end."""
        self._closed = True
        self._tell()

    async def changes(self) -> AsyncGenerator[bytes]:
        """Say `changed` whenever there is something new, as server-sent events."""
        yield b"retry: %d\n\n" % RETRY_MILLISECONDS
        with self._visit() as told:
            while not self._closed:
                try:
                    async with asyncio.timeout(QUIET_SECONDS):
                        await told.wait()
                except TimeoutError:
                    pass  # Then it looks all the same.
                told.clear()
                if not self._closed:
                    yield b"data: changed\n\n"

    @contextmanager
    def _visit(self) -> Iterator[asyncio.Event]:
        told = asyncio.Event()
        self._visitors.add(told)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="pulse")
        try:
            yield told
        finally:
            self._visitors.discard(told)
            if not self._visitors:
                self._looking.cancel()

    async def _look(self) -> None:
        last: Pulse | None = None
        while True:
            try:
                async with self._queue.connection() as conn:
                    pulse = await read_pulse(conn)
            except psycopg.OperationalError:  # The pages say that they are out of touch; it goes on when they are not.
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if last is not None and pulse != last:
                self._tell()
            last = pulse
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self) -> None:
        for told in self._visitors:
            told.set()


@router.get("/changes")
async def follow_changes(request: Request) -> Response:
    """Stream when something has happened, for as long as somebody looks."""
    liveliness: Liveliness = request.app.state.liveliness
    if len(liveliness) >= MOST_VISITORS:
        return Response(status_code=204)  # A browser then does not connect again by itself.
    return StreamingResponse(liveliness.changes(), media_type=MEDIA_TYPE, headers=UNBUFFERED)
