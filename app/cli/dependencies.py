"""`dependencies`: what is called and what is not, and an operator's word about it."""

from typing import Annotated

import typer

from .asking import ACTOR, in_database
from .refusals import refuse

group = typer.Typer(help="List, isolate and reset dependencies.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The dependency, as tasks name it.")]
Reason = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


@group.command("list")
def list_all() -> None:
    """List the dependencies that tasks name or that ever failed."""
    from rich.markup import escape

    from ..store.breakers import list_dependencies
    from .show import console, moment, table

    rows = table("dependency", "state", "since", "until", "probes>", "because")
    for each in in_database(list_dependencies):
        breaker = each.breaker
        state = "suspect" if breaker.suspect else breaker.state.replace("_", "-")
        rows.add_row(
            escape(breaker.name),
            state,
            moment(breaker.changed_at),
            moment(breaker.until),
            str(len(breaker.permits)),
            escape(breaker.cause or each.reason or ""),
        )
    if rows.row_count:
        console().print(rows)
    else:
        typer.echo("No task names a dependency, and none ever failed.")


@group.command()
def isolate(name: Name, reason: Reason) -> None:
    """Start no job that relies on it until it is reset. What runs goes on."""
    from ..store import breakers

    if not in_database(lambda conn: breakers.isolate(conn, name, actor=ACTOR, reason=reason)):
        refuse(f"dependency {name} is isolated already")
    typer.echo(f"Dependency {name} is isolated.")


@group.command()
def reset(name: Name, reason: Reason = "reset") -> None:
    """Let its waiting jobs out, slowly at first."""
    from ..store import breakers

    if not in_database(lambda conn: breakers.reset(conn, name, actor=ACTOR, reason=reason)):
        refuse(f"dependency {name} is not kept from being called")
    typer.echo(f"Dependency {name} is called again.")
