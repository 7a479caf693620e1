"""`dependencies`: what is called and what is not, and an operator's word about it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from .asking import ACTOR, in_database
from .refusals import refuse

if TYPE_CHECKING:
    from ..retry.breaker.states import Moved
    from ..store import breakers

    Operation = Callable[..., Awaitable[Moved | None]]

group = typer.Typer(help="List, isolate, probe and reset dependencies.", no_args_is_help=True)

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
    from ..retry.breaker.states import checked_name
    from ..store import breakers

    try:
        checked_name(name)
    except ValueError as error:
        refuse(str(error))
    if not in_database(lambda conn: breakers.isolate(conn, name, actor=ACTOR, reason=reason)):
        refuse(f"dependency {name} is isolated already")
    typer.echo(f"Dependency {name} is isolated.")


@group.command()
def reset(name: Name, reason: Reason = "reset") -> None:
    """Let its waiting jobs out, slowly at first."""
    from ..store import breakers

    _operate(name, breakers.reset, reason, refusal=f"dependency {name} is not kept from being called")
    typer.echo(f"Dependency {name} is called again.")


@group.command()
def probe(name: Name, reason: Reason = "probe") -> None:
    """Let the next probe go at once instead of at its time."""
    from ..store import breakers

    refusal = f"dependency {name} is neither open nor held, so nothing is probed by the clock"
    _operate(name, breakers.probe_now, reason, refusal=refusal)
    typer.echo(f"Dependency {name} is probed with the next job.")


def _operate(name: str, change: "Operation", reason: str, *, refusal: str) -> None:
    """Change a dependency that is known, or say in one line why not."""
    from ..store.breakers import list_dependencies

    async def operate(conn: "breakers.Conn") -> bool | None:
        if not await list_dependencies(conn, name=name):
            return None
        return await change(conn, name, actor=ACTOR, reason=reason) is not None

    changed = in_database(operate)
    if changed is None:
        refuse(f"no task names a dependency {name}, and it never failed")
    if not changed:
        refuse(refusal)
