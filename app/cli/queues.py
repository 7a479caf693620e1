"""`queues`: what waits where, and holding a queue back where its jobs are claimed."""

from typing import Annotated

import typer

from .asking import ACTOR, in_database
from .refusals import refuse

group = typer.Typer(help="List, pause and resume queues.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The queue; it need not have jobs yet.")]


@group.command("list")
def list_all() -> None:
    """List the queues that have jobs or are paused."""
    from rich.markup import escape

    from ..store.queues import list_queues
    from .show import console, moment, table

    rows = table("queue", "ready>", "scheduled>", "retrying>", "running>", "paused", "by", "because")
    for queue in in_database(list_queues):
        rows.add_row(
            escape(queue.name),
            str(queue.ready),
            str(queue.scheduled),
            str(queue.retrying),
            str(queue.running),
            moment(queue.held_at),
            escape(queue.held_by or ""),
            escape(queue.reason or ""),
        )
    if rows.row_count:
        console().print(rows)
    else:
        typer.echo("No queue has jobs, and none is paused.")


@group.command()
def pause(name: Name, reason: Annotated[str, typer.Option(help="Why; the audit keeps it.")]) -> None:
    """Take no more jobs of a queue. What runs goes on."""
    from ..store.holds import hold

    if not in_database(lambda conn: hold(conn, "queue", name, reason=reason, actor=ACTOR)):
        refuse(f"queue {name} is paused already")
    typer.echo(f"Queue {name} is paused.")


@group.command()
def resume(name: Name, reason: Annotated[str, typer.Option(help="Why; the audit keeps it.")] = "resumed") -> None:
    """Let a paused queue go on."""
    from ..store.holds import release

    if not in_database(lambda conn: release(conn, "queue", name, reason=reason, actor=ACTOR)):
        refuse(f"queue {name} is not paused")
    typer.echo(f"Queue {name} goes on.")
