"""`jobs`: what became of them, from the rows that the API and the dashboard read; ending one, or running it again."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import ACTOR, Answer, catalog, in_database
from .refusals import Refusal, refuse

if TYPE_CHECKING:
    from rich.console import Console

    from ..store.jobs import JobFilter
    from ..store.paging import Page, Row

group = typer.Typer(help="List, show, cancel and retry jobs.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="The job's number.")]
Reason = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


@group.command("list")
def list_all(  # noqa: PLR0913, PLR0917 - options of a command.
    state: Annotated[str | None, typer.Option(help="ready, scheduled, retrying, running, succeeded, failed …")] = None,
    task: Annotated[str | None, typer.Option(help="Of this task: slug or full name.")] = None,
    queue: Annotated[str | None, typer.Option(help="Of this queue.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Of this correlation id.")] = None,
    text: Annotated[str | None, typer.Option(help="With this in names, locks, correlation id or failures.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List jobs, newest first."""
    from rich.markup import escape

    from ..store.jobs import STATES, JobFilter
    from .show import coloured, console, counted, moment, table

    if state not in {None, *STATES}:
        refuse(f"--state: one of {', '.join(STATES)}")
    named = catalog().full_name(task) if task else None
    chosen = JobFilter(state=state, task_name=named, queue=queue, correlation_id=correlation_id, text=text)
    page = in_database(lambda conn: _newest(conn, chosen, limit))
    rows = table("job>", "state", "task", "queue", "attempts>", "made", "runs", "last failure")
    for job in page.items:
        later = moment(job["scheduled_at"]) if job["status"] == "todo" else ""
        said = f"{job['last_failure_type']}: {job['last_message'] or ''}"[:80] if job["last_failure_type"] else ""
        made = moment(job["created_at"])
        names = map(escape, (job["task_name"], job["queue"]))
        rows.add_row(
            str(job["job_id"]), coloured(job["state"]), *names, str(job["attempts"]), made, later, escape(said)
        )
    if not page.items:
        typer.echo("No job fits.")
        return
    console().print(rows)
    typer.echo(counted(page))


@group.command()
def show(job_id: Number) -> None:
    """Show a job and the ladder of its attempts: what failed, what was decided, and why."""
    from .show import console

    job, attempts = in_database(lambda conn: _read(conn, job_id))
    out = console()
    _show_job(out, job)
    for attempt in attempts:
        show_attempt(out, attempt)


@group.command()
def cancel(job_id: Number, reason: Reason = "cancelled at the command line") -> None:
    """End a job that waits, or ask one that runs to stop."""
    from ..queue import control

    was = in_database(lambda conn: _refusing(control.cancel(conn, job_id, actor=ACTOR, reason=reason)))
    asked = f"Job {job_id} runs, and is asked to stop: afresh jobs show {job_id}"
    typer.echo(f"Job {job_id} will not run." if was.status == "todo" else asked)


@group.command()
def retry(job_id: Number, reason: Reason = "retried at the command line") -> None:
    """Run a job now that waits for its time, or a fresh one in the place of one that ended badly."""
    from ..queue import control

    tasks = catalog()
    runs = in_database(lambda conn: _refusing(control.retry(conn, job_id, catalog=tasks, actor=ACTOR, reason=reason)))
    fresh = f"Job {runs} runs in the place of job {job_id}: afresh jobs show {runs}"
    typer.echo(f"Job {job_id} runs as soon as there is room." if runs == job_id else fresh)


async def _refusing(action: Awaitable[Answer]) -> Answer:
    """What it comes to; what the job, or its letter, does not allow is told in one line."""
    from ..queue.control import UnknownJob, WrongState
    from ..queue.letters import NotDeployed, WrongStatus
    from ..queue.replay import AlreadyReplayed
    from ..queue.submit import AlreadyQueued

    try:
        return await action
    except (UnknownJob, WrongState, WrongStatus, NotDeployed, AlreadyReplayed, AlreadyQueued) as error:
        raise Refusal(str(error)) from None


async def _newest(conn: Any, chosen: "JobFilter", limit: int) -> "Page":
    """The first that fit; a search goes on until it has found so many, or has looked at all."""
    from ..store.jobs import list_jobs
    from ..store.paging import Page

    page = await list_jobs(conn, chosen, limit=limit)
    items, before = list(page.items), page.next_before
    while before is not None and len(items) < limit:
        more = await list_jobs(conn, chosen, limit=limit - len(items), before=before)
        items, before = items + more.items, more.next_before
    if before is None:
        return Page(items, len(items), total_is_exact=True, next_before=None)
    return replace(page, items=items)


async def _read(conn: Any, job_id: int) -> tuple["Row", list["Row"]]:
    from ..store.jobs import find_job, list_attempts

    job = await find_job(conn, job_id)
    if job is None:
        raise Refusal(f"there is no job {job_id}")
    return job, (await list_attempts(conn, [job_id]))[job_id]


def _show_job(out: "Console", job: "Row") -> None:
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


def show_attempt(out: "Console", attempt: "Row") -> None:
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
