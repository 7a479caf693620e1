"""Following jobs live: ``async for update in watch(job_id)``. One reader and one LISTEN serve all watchers of an app.

Never holds a connection, or anything without bounds, for a watcher: who is slow is asked later.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..store.updates import Cursor, Page, Position, Update, read_updates
from .connector import AfreshConnector
from .loops import supervise
from .settle import UNREACHABLE
from .task import declarations

if TYPE_CHECKING:
    from .app import Afresh

CHANNEL = "afresh_progress"
"""Where the id of a job is said when its progress is written."""

# Progress is announced, because its writes are throttled. The states of jobs are not: a NOTIFY in each settlement would
# cost every job about 6 µs, a twentieth of what one costs in all, and a lock that all committing transactions share,
# for the few that are watched. Instead all watched jobs are looked at in one statement, 10 to 20 ms for 500 of them;
# while nobody watches, nothing is asked.
POLL_SECONDS = 0.5
"""How late the change of a state may be told; one statement in this time, whatever the number of watchers."""

GATHER_SECONDS = 0.02
"""Between two statements at least, so that many announcements are answered together."""

MOST_POSITIONS = 500
"""Looked after in one statement; bounds its memory."""


class NoSuchJob(LookupError):  # noqa: N818  Reads as what happened.
    """There is no job with this id."""


class Watcher:
    """One who follows one job and takes its updates page by page."""

    def __init__(self, hub: "Hub", job_id: int, cursor: Cursor) -> None:
        self.job_id = job_id
        self.cursor = cursor
        self.unread = True
        self._hub = hub
        self._page: Page | None = None
        self._failure: BaseException | None = None
        self._arrived = asyncio.Event()

    @property
    def hungry(self) -> bool:
        """Whether it has taken all that it was given."""
        return self._page is None

    def give(self, page: Page) -> None:
        """Put the next page into its hands; after the final one there is none."""
        if self._page is not None and self._page.final:
            return
        if page.updates:
            self.cursor = page.updates[-1].cursor
        self.unread = page.more
        self._page = page
        self._arrived.set()

    def fail(self, failure: BaseException) -> None:
        """Nothing will be given any more."""
        self._failure = failure
        self._arrived.set()

    async def next_page(self, timeout: float | None = None) -> Page | None:  # noqa: ASYNC109  None is an answer here.
        """Return the next updates; None if there were none for `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        except TimeoutError:
            return None
        if self._failure is not None:
            raise self._failure
        page, self._page = self._page, None
        self._arrived.clear()
        if self.unread:
            self._hub.wake()
        return page


class Hub:
    """The watchers of one app in one event loop. It works, and holds its connection, while there are any."""

    def __init__(self, app: "Afresh") -> None:
        self._app = app
        self._watchers: defaultdict[int, set[Watcher]] = defaultdict(set)
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._watchers.values()))

    async def look(self, job_id: int, since: Cursor) -> Page:
        """Return the first updates after `since`, without following.

        Raises:
            psycopg.OperationalError: The database is out of reach.
        """
        async with self._connector.connection() as conn:
            return (await read_updates(conn, [(job_id, since)])).get((job_id, since), Page())

    @contextmanager
    def watching(self, job_id: int, since: Cursor) -> Iterator[Watcher]:
        """Follow a job from `since` on."""
        watcher = Watcher(self, job_id, since)
        if self._closed:
            watcher.give(Page(final=True))
            yield watcher
            return
        self._watchers[job_id].add(watcher)
        self._start()
        try:
            yield watcher
        finally:
            self._watchers[job_id].discard(watcher)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
            if not self._watchers:
                self._stop()

    def close(self) -> None:
        """Send every watcher home, now and from now on: the process is about to end."""
        self._closed = True
        for watcher in self._everybody():
            watcher.give(Page(final=True))

    def wake(self) -> None:
        """Look at once instead of at the next poll."""
        self._woken.set()

    @property
    def _connector(self) -> AfreshConnector:
        connector = self._app.connector
        if not isinstance(connector, AfreshConnector):
            raise TypeError(f"{type(connector).__name__} keeps no updates of ours")
        return connector

    def _everybody(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def _start(self) -> None:
        self.wake()
        if self._tasks:
            return
        connector = self._connector
        self._tasks = [
            asyncio.create_task(self._follow(), name="watch"),
            asyncio.create_task(
                supervise("watch listener", lambda: connector.listen_notify(self._heard, [CHANNEL])),
                name="watch listener",
            ),
        ]
        self._tasks[0].add_done_callback(self._ended)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A fault of ours, or an app that was closed: nobody may go on waiting for it."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._stop()
            for watcher in self._everybody():
                watcher.fail(failure)

    async def _heard(self, *, channel: str, payload: str) -> None:
        """Something was announced; an empty payload after each connection, for what went unheard."""
        del channel
        watchers: Iterable[Watcher] = self._watchers.get(int(payload), ()) if payload else self._everybody()
        for watcher in watchers:
            watcher.unread = True
            self.wake()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        poll_at, pause = loop.time(), GATHER_SECONDS
        while True:
            if loop.time() >= poll_at:
                poll_at = loop.time() + POLL_SECONDS
                for watcher in self._everybody():
                    watcher.unread = True
            self._woken.clear()
            try:
                await self._serve([each for each in self._everybody() if each.unread and each.hungry])
                pause = GATHER_SECONDS
            except UNREACHABLE:  # Cursors stay where they are; what is missed is read when the database is back.
                pause = min(2.0, 2 * pause)
            await asyncio.sleep(pause)
            await self._wait_until(poll_at)

    async def _wait_until(self, moment: float) -> None:
        try:
            async with asyncio.timeout_at(moment):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _serve(self, watchers: list[Watcher]) -> None:
        """Read for all of them together: those who know the same of the same job share what comes."""
        asking: defaultdict[Position, list[Watcher]] = defaultdict(list)
        for watcher in watchers:
            asking[watcher.job_id, watcher.cursor].append(watcher)
        positions = list(asking)
        for start in range(0, len(positions), MOST_POSITIONS):
            part = positions[start : start + MOST_POSITIONS]
            for position in part:
                for watcher in asking[position]:
                    watcher.unread = False  # Before the question: what is announced meanwhile asks again.
            async with self._connector.connection() as conn:
                pages = await read_updates(conn, part)
            for position, page in pages.items():
                for watcher in asking[position]:
                    watcher.give(page)


async def watch(job_id: int, *, since: Cursor | None = None, app: "Afresh | None" = None) -> AsyncIterator[Update]:
    """Yield what happened to a job and what happens from now on, until it is over; the last one is an `End`.

    A restart of Postgres delays updates, none is lost and none comes twice. The changes of a state may be told
    `POLL_SECONDS` late.

    Args:
        job_id: Of the job.
        since: The `cursor` of an update that is known already: what came after it is told.
        app: An open app; by default the one that ``defer`` uses.

    Raises:
        NoSuchJob: There is no such job.
        LookupError: There is no app yet.
    """
    app = app or declarations.app
    if app is None:
        raise LookupError("there is no app to watch the jobs of")
    since = since or Cursor()
    first = await app.hub.look(job_id, since)
    if not first.found:
        raise NoSuchJob(f"there is no job {job_id}")
    final = first.final and not first.updates
    with app.hub.watching(job_id, since) as watcher:
        while not final:
            page = await watcher.next_page()
            if page is not None:
                for update in page.updates:
                    yield update
                final = page.final
