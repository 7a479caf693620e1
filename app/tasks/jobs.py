"""What is done to many jobs at once, as a job."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from ..queue import many
from ..queue.checkpoint import step
from ..queue.progress import progress
from ..queue.task import connection, current_job, task


@task(
    name=many.TASK,
    slug="act-on-many",
    queue=many.QUEUE,
    priority=10,
    http=False,
    timeout=timedelta(days=1),  # 100 000 jobs, each in a transaction of its own.
)
async def act_on_many(  # noqa: PLR0913, PLR0917  What, on which, how many, who, and why.
    action: many.Action, job_ids: list[int], fits: dict[str, Any], actor: str, reason: str, total: int
) -> dict[str, int]:
    """Cancel or run again the jobs that are older than this one and were chosen.

    Returns:
        How many it was done to, and how many were passed over, because they had ended or begun meanwhile.
    """
    job = current_job()
    chosen = many.Chosen.read(job_ids, fits)
    chosen.check()
    before: int | None = job.job_id
    acted = passed_over = 0
    while before is not None and acted + passed_over < many.MOST:
        part = await step(f"before {before}", lambda before=before: _act(action, chosen, before, actor, reason))  # type: ignore[misc]  # mypy infers no lambda with a default.
        acted, passed_over, before = acted + part["acted"], passed_over + part["passed_over"], part["before"]
        await progress(min(1.0, (acted + passed_over) / max(1, total)), f"{acted:,} done, {passed_over:,} passed over")
    return {"acted": acted, "passed_over": passed_over}


async def _act(action: many.Action, chosen: many.Chosen, before: int, actor: str, reason: str) -> dict[str, Any]:
    catalog = current_job().app.catalog
    async with connection() as conn:
        part = await many.act(conn, action, chosen, before=before, catalog=catalog, actor=actor, reason=reason)
    return asdict(part)
