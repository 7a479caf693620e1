"""`migrate` and `psql`: the database of these settings, whichever it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from .refusals import refuse, told_in_one_line

if TYPE_CHECKING:
    from datetime import timedelta

    import psycopg


def migrate(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take Afresh out again; Procrastinate's jobs stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Undo without being asked.")] = False,
) -> None:
    """Bring the database up to this code. Safe to run at any time, and by several at once."""
    from ..config import load_settings
    from ..postgres.connect import Database

    if yes and not undo:
        refuse("--yes goes with --undo")
    settings = load_settings()
    with told_in_one_line(), Database.from_settings(settings.database) as database, database.connect() as conn:
        if undo:
            _undo(conn, settings.worker.stalled_after, plan=plan, yes=yes)
        elif plan:
            _show_plan(conn)
        else:
            _migrate(conn)


def psql(context: typer.Context) -> None:
    """Open psql on the right server. What follows `--` goes to psql, such as `-- -c 'SELECT 1'`."""
    from ..config import load_settings
    from ..postgres.connect import Database

    settings = load_settings()
    with told_in_one_line():
        code = Database.from_settings(settings.database).psql(context.args)
    raise typer.Exit(code)


def _show_plan(conn: "psycopg.Connection") -> None:
    from ..postgres.adoption import foresee
    from ..postgres.migrate import plan

    pending = plan(conn)
    for step in pending:
        typer.echo(f"would apply {step}")
    if adoption := foresee(conn, pending):
        typer.echo("\n".join(adoption.lines()))
    if not pending:
        typer.echo("The schema is current.")


def _migrate(conn: "psycopg.Connection") -> None:
    from ..postgres.migrate import migrate as apply

    if not apply(conn, tell=lambda step: typer.echo(f"applied {step}")):
        typer.echo("The schema is current.")


def _undo(conn: "psycopg.Connection", stalled_after: "timedelta", *, plan: bool, yes: bool) -> None:
    from ..postgres import undo
    from ..postgres.errors import MigrationError

    removal = undo.foresee_undo(conn)
    if removal is None:
        typer.echo("There is nothing to undo: this database has no schema of Afresh.")
        return
    typer.echo("\n".join(removal.lines()))
    try:
        undo.refuse_undo(conn, stalled_after=stalled_after)
    except MigrationError as error:
        if not plan:
            raise
        typer.echo(f"As it is now, it would be refused: {error}.")
    if plan:
        return
    if not yes:
        typer.confirm("Remove it?", abort=True)
    undo.undo(conn, stalled_after=stalled_after)
    typer.echo("Afresh is gone from this database. A plain Procrastinate worker goes on with its jobs.")
