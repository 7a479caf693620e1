"""`dead-letters`: what died and why, and bringing it back or giving it up: one by its number, many by a filter."""

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .asking import ACTOR, catalog, in_database
from .refusals import Refusal, refuse

if TYPE_CHECKING:
    from ..queue.bulk import Action, Preview
    from ..store.dead_letters import LetterFilter
    from ..store.paging import Row

group = typer.Typer(help="List, show, replay and abandon dead letters.", no_args_is_help=True)

POLL_SECONDS = 0.5

Number = Annotated[
    int | None, typer.Argument(help="The letter's number; without it, all that the filters let through.")
]
Task = Annotated[str | None, typer.Option(help="Of this task: slug or full name.")]
Queue = Annotated[str | None, typer.Option("--from-queue", help="Of this queue.")]
Type = Annotated[str | None, typer.Option("--type", help="Of this failure type.")]
Group = Annotated[str | None, typer.Option("--group", help="Of this failure group: a fingerprint.")]
Dependency = Annotated[str | None, typer.Option(help="Relying on this.")]
Cause = Annotated[str | None, typer.Option(help="retries_spent, permanent, unknown_task, worker_lost …")]
Text = Annotated[str | None, typer.Option(help="With this in names, exception or note.")]
From = Annotated[datetime | None, typer.Option(help="Died at this time or later, by this machine's clock.")]
To = Annotated[datetime | None, typer.Option(help="Died before.")]
Confirm = Annotated[int | None, typer.Option(help="How many letters: the answer to the question, for scripts.")]
Rate = Annotated[float, typer.Option(min=0.01, max=10_000, help="Letters per second.")]
StopShare = Annotated[float, typer.Option(min=0, max=1, help="Stop when more of its jobs than this fail again.")]
Reason = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


@group.command("list")
def list_all(  # noqa: PLR0913, PLR0917 - options of a command.
    status: Annotated[str | None, typer.Option(help="pending, retrying, resolved or abandoned.")] = None,
    task: Task = None,
    queue: Queue = None,
    failure_type: Type = None,
    fingerprint: Group = None,
    dependency: Dependency = None,
    cause: Cause = None,
    text: Text = None,
    died_from: From = None,
    died_to: To = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List dead letters, newest first."""
    from rich.markup import escape

    from ..store.dead_letters import list_letters
    from .show import console, counted, moment, table

    chosen = _filter(status=status, task=task, queue=queue, failure_type=failure_type, group=fingerprint,
                     dependency=dependency, cause=cause, text=text, died_from=died_from, died_to=died_to)  # fmt: skip
    page = in_database(lambda conn: list_letters(conn, chosen, limit=limit))
    rows = table("letter>", "status", "task", "died", "type", "what helps", "exception")
    for letter in page.items:
        said = f"{letter['exception_type'] or ''}: {letter['message'] or ''}"[:80]
        facts = (letter["task_name"], moment(letter["died_at"]), letter["failure_type"] or "",
                 letter["remediation"] or "", said)  # fmt: skip
        rows.add_row(str(letter["id"]), letter["status"], *map(escape, facts))
    if not page.items:
        typer.echo("No dead letter fits.")
        return
    console().print(rows)
    typer.echo(counted(page))


@group.command()
def show(letter: Annotated[int, typer.Argument(help="The letter's number.")]) -> None:
    """Show a dead letter: what died, why, what helps, and every attempt of every job in its place."""
    from rich.markup import escape

    from ..redact import redact
    from .jobs import show_attempt
    from .show import coloured, console, moment, table

    found, jobs, attempts = in_database(lambda conn: _read(conn, letter))
    out = console()
    out.print(f"[bold]Dead letter {found['id']}[/bold]  {escape(found['task_name'])}  {found['status']}")
    facts = table("", "")
    facts.show_header = False
    for name, value in {
        "died": f"{moment(found['died_at'])}, {found['cause']}, attempts {found['attempts']}",
        "failure": f"{found['failure_type']} · {found['exception_type']}: {found['message']}",
        "because": found["reason"],
        "what helps": found["remediation"],
        "arguments": json.dumps(redact(found["args"])),
        "relies on": found["dependency"],
        "group": found["fingerprint"],
        "note": found["note"],
    }.items():
        if value:
            facts.add_row(name, escape(value))
    out.print(facts)
    for job in jobs:
        out.print(
            f"\n[bold]Job {job['job_id']}[/bold]  {coloured(job['state'] or 'not kept')}  {moment(job['ended_at'])}"
        )
        for attempt in attempts[job["job_id"]]:
            show_attempt(out, attempt)


@group.command()
def replay(  # noqa: PLR0913, PLR0917 - options of a command.
    letter: Number = None,
    args: Annotated[str | None, typer.Option(help="All arguments as JSON, in place of the old ones.")] = None,
    to_queue: Annotated[str | None, typer.Option("--queue", help="In place of the letter's.")] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=10)] = None,
    run_in: Annotated[str | None, typer.Option(help="Not before this has passed: 30s, 5m, 2h, 7d.")] = None,
    ahead: Annotated[bool, typer.Option("--ahead", help="Before every other job of its queue.")] = False,  # noqa: FBT002 - a flag.
    task: Task = None,
    queue: Queue = None,
    failure_type: Type = None,
    fingerprint: Group = None,
    dependency: Dependency = None,
    cause: Cause = None,
    text: Text = None,
    died_from: From = None,
    died_to: To = None,
    confirm: Confirm = None,
    rate: Rate = 50.0,
    stop_share: StopShare = 0.5,
    reason: Reason = "replayed at the command line",
) -> None:
    """Bring one letter back by its number, or all pending ones that the filters let through, after asking."""
    chosen = _filter(task=task, queue=queue, failure_type=failure_type, group=fingerprint, dependency=dependency,
                     cause=cause, text=text, died_from=died_from, died_to=died_to)  # fmt: skip
    if letter is None:
        _refuse_for_many(
            {"--args": args, "--queue": to_queue, "--priority": priority, "--run-in": run_in, "--ahead": ahead or None}
        )
        _act_on_many("replay", chosen, confirm, reason, {"rate_per_second": rate, "stop_share": stop_share})
        return
    from ..queue.letters import AHEAD, Changes

    changes = Changes(args=_json(args), queue=to_queue, priority=AHEAD if ahead else priority, run_at=_after(run_in))
    _refuse_both(chosen)
    job_id = in_database(lambda conn: _replay(conn, letter, changes, reason))
    typer.echo(f"Job {job_id} runs in the place of dead letter {letter}: afresh jobs show {job_id}")


@group.command()
def abandon(  # noqa: PLR0913, PLR0917 - options of a command.
    reason: Reason,
    letter: Number = None,
    task: Task = None,
    queue: Queue = None,
    failure_type: Type = None,
    fingerprint: Group = None,
    dependency: Dependency = None,
    cause: Cause = None,
    text: Text = None,
    died_from: From = None,
    died_to: To = None,
    confirm: Confirm = None,
) -> None:
    """Give one letter up by its number, or all pending ones that the filters let through, after asking."""
    chosen = _filter(task=task, queue=queue, failure_type=failure_type, group=fingerprint, dependency=dependency,
                     cause=cause, text=text, died_from=died_from, died_to=died_to)  # fmt: skip
    if letter is None:
        _act_on_many("abandon", chosen, confirm, reason, {"rate_per_second": 10_000.0, "stop_share": 1.0})
        return
    _refuse_both(chosen)
    in_database(lambda conn: _abandon(conn, letter, reason))
    typer.echo(f"Dead letter {letter} is abandoned.")


def _filter(*, died_from: datetime | None, died_to: datetime | None, **given: str | None) -> "LetterFilter":
    from ..store.dead_letters import CAUSES, STATUSES, LetterFilter

    for name, known in (("status", STATUSES), ("cause", CAUSES)):
        if given.get(name) not in {None, *known}:
            refuse(f"--{name}: one of {', '.join(known)}")
    task, dependency = given.pop("task", None), given.get("dependency")
    named = catalog().full_name(task) if task else None
    relying = catalog().relying_on(dependency) if dependency else ()
    times = {"died_from": died_from and died_from.astimezone(), "died_to": died_to and died_to.astimezone()}
    return LetterFilter(**given, **times, task_name=named, tasks_of_dependency=relying)  # type: ignore[arg-type]  # Each is as it should be.


def _refuse_both(chosen: "LetterFilter") -> None:
    if not chosen.is_empty:
        refuse("a number or filters: only one of them")


def _refuse_for_many(given: dict[str, object]) -> None:
    if named := [option for option, value in given.items() if value is not None]:
        refuse(f"{', '.join(named)}: only for one letter, by its number")


def _json(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        refuse(f"--args: {error}")
    if not isinstance(value, dict):
        refuse('--args: a JSON object, such as {"joke_id": 1}')
    return value


def _after(text: str | None) -> datetime | None:
    from ..config.values import parse_duration

    if text is None:
        return None
    try:
        wait: Any = parse_duration(text)
    except ValueError as error:
        refuse(f"--run-in: {error}: 30s, 5m, 2h, 7d")
    later: datetime = datetime.now(UTC) + wait
    return later


async def _read(conn: Any, letter_id: int) -> tuple["Row", list["Row"], dict[int, list["Row"]]]:
    from ..store.dead_letters import find_chain, find_letter
    from ..store.jobs import list_attempts

    found = await find_letter(conn, letter_id)
    if found is None:
        raise Refusal(f"there is no dead letter {letter_id}")
    jobs = await find_chain(conn, letter_id)
    return found, jobs, await list_attempts(conn, [job["job_id"] for job in jobs])


async def _replay(conn: Any, letter_id: int, changes: Any, reason: str) -> int:
    from ..queue.catalog import InvalidArguments
    from ..queue.letters import NotDeployed, UnknownLetter, WrongStatus, replay_letter
    from ..queue.replay import AlreadyReplayed
    from ..queue.submit import AlreadyQueued
    from ..redact import Masked

    try:
        made = await replay_letter(conn, letter_id, changes, catalog=catalog(), actor=ACTOR, reason=reason)
    except (UnknownLetter, WrongStatus, NotDeployed, AlreadyReplayed, AlreadyQueued, InvalidArguments, Masked) as error:
        raise Refusal(str(error)) from None
    return made.job_id


async def _abandon(conn: Any, letter_id: int, note: str) -> None:
    from ..queue.letters import UnknownLetter, WrongStatus, abandon_letter
    from ..queue.replay import AlreadyReplayed

    try:
        await abandon_letter(conn, letter_id, actor=ACTOR, note=note)
    except (UnknownLetter, WrongStatus, AlreadyReplayed) as error:
        raise Refusal(str(error)) from None


def _act_on_many(
    action: "Action", chosen: "LetterFilter", confirm: int | None, reason: str, terms: dict[str, float]
) -> None:
    """Preview, ask for the count, have it run as a job, and show how far that is until it is over."""
    from ..queue import bulk

    if chosen.is_empty:
        refuse("a letter's number, or at least one filter")
    seen = in_database(lambda conn: bulk.preview(conn, action, chosen, actor=ACTOR))
    if seen.count == 0:
        typer.echo("No pending dead letter fits.")
        return
    _show_preview(action, seen)
    if confirm is None:
        confirm = typer.prompt(f"Type their number to {action} them", type=int)
    if confirm != seen.count:
        refuse(f"nothing is done: there are {seen.count} letters, not {confirm}")
    in_database(lambda conn: _run(conn, seen.token, reason, terms))


def _show_preview(action: str, seen: "Preview") -> None:
    from rich.markup import escape

    from .show import console, moment, table

    rows = table("letters>", "of", "", title=f"{seen.count:,} pending letters to {action}, since {moment(seen.oldest)}")
    for each in seen.tasks:
        rows.add_row(f"{each['letters']:,}", "task", escape(each["task_name"]))
    for each in seen.groups:
        said = f"{each['fingerprint']} {each['failure_type']} {each['exception_type']}: {each['message'] or ''}"[:110]
        rows.add_row(f"{each['letters']:,}", "group", escape(said))
    console().print(rows)


async def _run(conn: Any, token: str, reason: str, terms: dict[str, float]) -> None:
    from rich.progress import Progress

    from ..queue import bulk
    from .show import console

    try:
        bulk_id = await bulk.confirm(conn, token, reason=reason, actor=ACTOR, **terms)
    except (bulk.PreviewGone, bulk.HasGrown) as error:
        raise Refusal(str(error)) from None
    typer.echo(f"Bulk action {bulk_id} runs as a job; Ctrl-C leaves it running.")
    with Progress(console=console()) as bar:
        shown = bar.add_task("waiting")
        while True:
            now = await bulk.find_bulk(conn, bulk_id)
            over = now["state"] not in {"waiting", "running"}
            bar.update(shown, total=now["previewed"], completed=now["acted"] + now["skipped"], description=now["state"])
            if over:
                break
            await asyncio.sleep(POLL_SECONDS)
    why = ", ".join(f"{letters:,} {reason}" for reason, letters in sorted(now["skips"].items()))
    so_far = ", ".join(f"{letters:,} {status}" for status, letters in sorted(now["statuses"].items()))
    typer.echo(
        f"{now['state']}: {now['acted']:,} letters, {now['skipped']:,} skipped{why and f' ({why})'}; "
        f"of them {so_far or 'none'} so far"
    )
    if now["state"] != "done":
        raise typer.Exit(1)
