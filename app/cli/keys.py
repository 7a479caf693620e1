"""`keys`: who may call the API, and as what. A key is printed once, when it is made, and by nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import typer

from .refusals import Refusal, told_in_one_line

Answer = TypeVar("Answer")

ACTOR = "cli"

group = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What the audit calls whoever holds the key.")]


@group.command()
def create(
    name: Name,
    role: Annotated[
        Literal["viewer", "operator", "admin"],
        typer.Option(help="A viewer reads; an operator submits, cancels, retries, pauses; an admin may do all."),
    ] = "viewer",
) -> None:
    """Make a key and print it, alone on standard output. It is stored nowhere, so keep it."""
    from ..store.keys import Role, create_key

    key = _in_database(lambda conn: create_key(conn, name, Role[role.upper()], actor=ACTOR))
    typer.echo(f"The key of {name} ({role}), shown this once:", err=True)
    typer.echo(key)


@group.command("list")
def list_all() -> None:
    """List the keys in force, without the keys."""
    from rich.markup import escape

    from ..config import load_settings
    from ..store.keys import list_keys
    from .show import console, moment, table

    found = _in_database(list_keys)
    rows = table("name", "role", "begins with", "created", "last used")
    if load_settings().api.admin_key is not None:
        rows.add_row("ADMIN_API_KEY", "admin", "(a setting)", "", "")
    for key in found:
        rows.add_row(
            escape(key.name), key.role.label, key.prefix, moment(key.created_at), moment(key.last_used_at) or "never"
        )
    if rows.row_count:
        console().print(rows)
    else:
        typer.echo("There are no keys: the API serves this machine alone, and everybody on it.")


@group.command()
def revoke(name: Name) -> None:
    """End a key: servers refuse it within a second or two."""
    from ..store.keys import list_keys, revoke_key

    async def end(conn: Any) -> int:
        await revoke_key(conn, name, actor=ACTOR)
        return len(await list_keys(conn))

    left = _in_database(end)
    typer.echo(f"The key of {name} is revoked.")
    if not left:
        typer.echo(
            "It was the last one: a server that starts now needs no key, and serves this machine alone.", err=True
        )


def _in_database(work: Callable[[Any], Awaitable[Answer]]) -> Answer:
    from ..config import load_settings
    from ..postgres.connect import Database
    from ..store.keys import KeyRefused

    async def connected() -> Answer:
        async with Database.from_settings(load_settings().database) as database:
            await asyncio.to_thread(database.ensure_schema)
            async with await database.connect_async(application_name="afresh keys") as conn:
                try:
                    return await work(conn)
                except KeyRefused as refused:
                    raise Refusal(str(refused)) from None

    with told_in_one_line():
        return asyncio.run(connected())
