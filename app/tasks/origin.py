"""What names a job to the outside: alike for all of its attempts and replays, and for no other job of any database."""

import hashlib
from datetime import datetime

from ..queue.task import connection, current_job
from ..store.jobs import find_origin


async def name_to_outside() -> str:
    """The name of the calling task's job, such as ``job-42-3f0c9a3b5d6e7f80``.

    The other side then knows a second try for what it is. A replay goes by the name of the job that died.
    """
    async with connection() as conn:
        job_id, made_at = await find_origin(conn, current_job().job_id)
    return name_of(job_id, made_at)


def name_of(job_id: int, made_at: datetime | None) -> str:
    """The name of a job by its number, and by when it was handed in: numbers begin anew in a new database."""
    moment = "" if made_at is None else made_at.isoformat()
    return f"job-{job_id}-{hashlib.sha256(f'{job_id} {moment}'.encode()).hexdigest()[:16]}"
