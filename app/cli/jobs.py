"""`jobs`: what became of a job, from the same rows that the API and the dashboard read."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .refusals import Refusal, told_in_one_line

if TYPE_CHECKING:
    from rich.console import Console

group = typer.Typer(help="Look at jobs.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Look at jobs."""


@group.command()
def show(job_id: Annotated[int, typer.Argument(help="The job's number.")]) -> None:
    """Show a job and the ladder of its attempts: what failed, what was decided, and why."""
    with told_in_one_line():
        job, attempts = asyncio.run(_read(job_id))
    from .show import console

    out = console()
    _show_job(out, job)
    for attempt in attempts:
        show_attempt(out, attempt)


async def _read(job_id: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from ..config import load_settings
    from ..postgres.connect import Database
    from ..store.jobs import find_job, list_attempts

    async with Database.from_settings(load_settings().database) as database:
        await asyncio.to_thread(database.ensure_schema)
        async with await database.connect_async(application_name="afresh jobs") as conn:
            job = await find_job(conn, job_id)
            if job is None:
                raise Refusal(f"there is no job {job_id}")
            return job, (await list_attempts(conn, [job_id]))[job_id]


def _show_job(out: "Console", job: dict[str, Any]) -> None:
    from rich.markup import escape

    from .show import coloured, moment, table

    out.print(f"[bold]Job {job['job_id']}[/bold]  {escape(job['task_name'])}  {coloured(job['state'])}")
    facts = table("", "")
    facts.show_header = False
    waiting = job["state"] in {"scheduled", "retrying"}
    for name, value in {
        "queue": f"{job['queue']}, priority {job['priority']}",
        "attempts": str(job["attempts"]),
        "created": moment(job["created_at"]),
        "started": moment(job["started_at"]),
        "ended": moment(job["ended_at"]),
        "runs again" if job["attempts"] else "runs": moment(job["scheduled_at"]) if waiting else "",
        "not after": moment(job["deadline"]) if waiting or job["state"] == "ready" else "",
        "waits for": job["waiting_for"] or "",
        "relies on": job["dependency"] or "",
        "rescues": str(job["rescues"]) if job["rescues"] else "",
    }.items():
        if value:
            facts.add_row(name, escape(value))
    out.print(facts)


def show_attempt(out: "Console", attempt: dict[str, Any]) -> None:
    """Print what an attempt came to, and why."""
    from rich.markup import escape

    from .show import coloured, moment, seconds

    took = seconds(attempt["duration_seconds"])
    out.print()
    free = "" if attempt["counted"] else "  (costs no attempt)"
    began = moment(attempt["started_at"])
    out.print(f"[bold]Attempt {attempt['attempt']}[/bold]  {coloured(attempt['outcome'])}  {began}, took {took}{free}")
    if attempt["exception_type"]:
        out.print(f"  {escape(attempt['exception_type'])}: {escape(attempt['message'] or '')}")
    if attempt["reason"]:
        out.print(f"  {escape(attempt['reason'])}")
    if attempt["decision"]:
        when = f" at {moment(attempt['next_run_at'])}" if attempt["next_run_at"] else ""
        after = f", after {seconds(attempt['delay_seconds'])}" if attempt["delay_seconds"] is not None else ""
        out.print(f"  → {coloured(attempt['decision'])}{when}{after}")
