"""One action on many jobs, ticked one by one or chosen by what they have in common. It runs as a job of its own.

So it outlives the page that asked for it, shows how far it is, and can be stopped like any other. What has become of a
job meanwhile decides: one that cannot be acted on any more is passed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection

from ..store.audit import record
from ..store.jobs import JobFilter, count_jobs, list_jobs
from . import control
from .catalog import Catalog
from .control import UnknownJob, WrongState
from .letters import NotDeployed, WrongStatus
from .replay import AlreadyReplayed
from .submit import AlreadyQueued, Submission, submit

TASK = "app.tasks.jobs.act_on_many"
QUEUE = "maintenance"

Action = Literal["cancel", "retry"]

PAGE = 1_000
"""Jobs between two marks of how far it is: so many may be looked at twice when a worker dies."""

MOST_TICKED = 1_000
MOST = 100 * PAGE
"""Of one action; whoever wants more asks again."""

_TIMES = ("created_from", "created_to")

_PASSED_OVER = (UnknownJob, WrongState, WrongStatus, NotDeployed, AlreadyReplayed, AlreadyQueued)


class NothingChosen(ValueError):  # noqa: N818  Reads as what happened.
    """Neither jobs nor anything that they have in common were named: that would be all there are."""

    def __init__(self) -> None:
        super().__init__("tick jobs, or narrow them down first: this would be all there are")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which jobs: those that are named, else those that fit.

    Attributes:
        job_ids: At most `MOST_TICKED`.
        fits: Made of texts and times alone, as an address of the dashboard has it.
    """

    job_ids: Sequence[int] = ()
    fits: JobFilter = field(default_factory=JobFilter)

    @classmethod
    def read(cls, job_ids: Sequence[int], said: Mapping[str, Any]) -> "Chosen":
        """As `said` has it; a time that it holds as text is one again."""
        times = {name: datetime.fromisoformat(said[name]) for name in _TIMES if name in said}
        return cls(job_ids, JobFilter(**{**said, **times}))

    def said(self) -> dict[str, Any]:
        """What they have in common, as JSON can hold it."""
        given = {name: value for name, value in asdict(self.fits).items() if value}
        return given | {name: given[name].isoformat() for name in _TIMES if name in given}

    def check(self) -> None:
        """Refuse to mean everything.

        Raises:
            NothingChosen: Nothing is named.
        """
        if not self.job_ids and not self.said().keys() - {"without_own"}:
            raise NothingChosen

    async def count(self, conn: AsyncConnection[Any]) -> tuple[int, bool]:
        """How many there are, and whether that is exact."""
        return (len(self.job_ids), True) if self.job_ids else await count_jobs(conn, self.fits)


@dataclass(frozen=True, slots=True)
class Part:
    """What became of a page of them.

    Attributes:
        before: Where the next begins; None: there is none.
    """

    acted: int
    passed_over: int
    before: int | None


async def start(conn: AsyncConnection[Any], action: Action, chosen: Chosen, *, actor: str, reason: str) -> int:
    """Have it done to the jobs there are now; return the job that does it.

    Raises:
        NothingChosen: They would be all there are.
    """
    chosen.check()
    async with conn.transaction():
        total, is_exact = await chosen.count(conn)
        fits = chosen.said()
        args = {"action": action, "job_ids": list(chosen.job_ids), "fits": fits, "actor": actor, "reason": reason}
        wanted = Submission(task_name=TASK, queue=QUEUE, priority=10, args=args | {"total": min(total, MOST)})
        job_id = await submit(conn, wanted)
        details = {"jobs": total, "is_exact": is_exact, "filter": fits, "by": job_id}
        await record(conn, actor=actor, action=f"job.{action}_many", target=str(job_id), reason=reason, details=details)
    return job_id


async def act(  # noqa: PLR0913  What, on which, from where, who, and why.
    conn: AsyncConnection[Any],
    action: Action,
    chosen: Chosen,
    *,
    before: int,
    catalog: Catalog,
    actor: str,
    reason: str,
) -> Part:
    """Act on one page of the jobs older than `before`, each in a transaction of its own, with its audit row."""
    if chosen.job_ids:
        job_ids, older = sorted(chosen.job_ids, reverse=True), None
    else:
        page = await list_jobs(conn, chosen.fits, limit=PAGE, before=before)
        job_ids, older = [job["job_id"] for job in page.items], page.next_before
    acted = 0
    for job_id in job_ids:
        try:
            if action == "cancel":
                await control.cancel(conn, job_id, actor=actor, reason=reason)
            else:
                await control.retry(conn, job_id, catalog=catalog, actor=actor, reason=reason)
            acted += 1
        except _PASSED_OVER:
            continue
    return Part(acted, len(job_ids) - acted, older)
