"""What names a job to the outside: alike for all of its attempts and replays, and for no other job of any database."""

import hashlib
from datetime import datetime
from typing import NamedTuple

from ..queue.task import connection, current_job
from ..store.jobs import find_origin


class Origin(NamedTuple):
    """The first of the jobs that run in each other's place, and when it was handed in, where that is kept."""

    job_id: int
    made_at: datetime | None

    @property
    def name(self) -> str:
        """Such as ``job-42-3f0c9a3b5d6e7f80``. The time is in it because numbers begin anew in a new database."""
        moment = "" if self.made_at is None else self.made_at.isoformat()
        return f"job-{self.job_id}-{hashlib.sha256(f'{self.job_id} {moment}'.encode()).hexdigest()[:16]}"


async def origin() -> Origin:
    """Where the calling task's job comes from: by its name the other side knows a second try for what it is."""
    async with connection() as conn:
        return Origin(*await find_origin(conn, current_job().job_id))
