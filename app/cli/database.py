"""`migrate` and `psql`: the database of these settings, whichever it is."""

from typing import Annotated

import typer

from .refusals import told_in_one_line


def migrate(*, plan: Annotated[bool, typer.Option("--plan", help="Only show what would be applied.")] = False) -> None:
    """Bring the database up to this code. Safe to run at any time, and by several at once."""
    from ..config import load_settings
    from ..postgres import migrate as steps
    from ..postgres.connect import Database

    settings = load_settings()
    with told_in_one_line(), Database.from_settings(settings.database) as database, database.connect() as conn:
        done = steps.plan(conn) if plan else steps.migrate(conn)
    for step in done:
        typer.echo(f"{'would apply' if plan else 'applied'} {step}")
    if not done:
        typer.echo("The schema is current.")


def psql(context: typer.Context) -> None:
    """Open psql on the right server. What follows `--` goes to psql, such as `-- -c 'SELECT 1'`."""
    from ..config import load_settings
    from ..postgres.connect import Database

    settings = load_settings()
    with told_in_one_line():
        code = Database.from_settings(settings.database).psql(context.args)
    raise typer.Exit(code)
