"""What tests of pages share: the text of a page, many jobs, and workers that others would have started."""

import re
from html import unescape

import httpx

from app.queue.app import Afresh

_WORKER = """
WITH made AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)
INSERT INTO afresh.worker (
    worker_id, name, host, pid, version, queues, concurrency, running, overloaded, memory_bytes, host_memory_percent,
    host_cpu_percent, host_disk_percent, started_at, beat_at
)
SELECT id, %(name)s, %(host)s, 4711, %(version)s, %(queues)s, 10, 0, %(overloaded)s, 94371840,
       61.5, 35, 50, now(), now()
FROM made
RETURNING worker_id
"""


async def text_of(client: httpx.AsyncClient, address: str) -> str:
    """The words of a page as they are read, without its markup."""
    answer = await client.get(address)
    answer.raise_for_status()
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


async def hand_in(client: httpx.AsyncClient, count: int, **besides: str) -> None:
    """So many jobs of `add`, in one batch."""
    jobs = [{"args": {"a": number}, **besides} for number in range(count)]
    assert (await client.post("/tasks/add/batch", json={"jobs": jobs})).status_code == 202


async def live_worker(  # noqa: PLR0913 - each is something that a worker says of itself.
    queue: Afresh,
    *,
    name: str = "worker-1",
    host: str = "node-1",
    version: str = "0.1.0",
    queues: list[str] | None = None,
    overloaded: bool = False,
) -> int:
    """A worker that has just given a sign of life; its id."""
    given = {"name": name, "host": host, "version": version, "queues": queues, "overloaded": overloaded}
    async with queue.connection() as conn:
        row = await (await conn.execute(_WORKER, given)).fetchone()
    assert row is not None
    return int(row[0])
