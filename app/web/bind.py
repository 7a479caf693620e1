"""Where HTTP may be served: while nobody has to sign in, on the loopback address only."""

from collections.abc import Callable

import click

from .origin import is_loopback


class OpenBind(Exception):  # noqa: N818  Reads as what was asked for.
    """HTTP was to be served to other machines. The text is one line for a person."""


def refuse_open_bind(host: str, has_keys: Callable[[], bool]) -> None:
    """Let the loopback address pass, and where there are keys any other.

    Raises:
        OpenBind: `host` can be reached from elsewhere, and nobody would have to sign in.
    """
    if not is_loopback(host) and not has_keys():
        raise OpenBind(
            f"refusing to serve on {host}: without API keys only the loopback address (127.0.0.1) is safe; "
            "set ADMIN_API_KEY, or make a key with `afresh keys create`"
        )


def bind_host(configured: str) -> str:
    """Return where this process is about to listen: as uvicorn's own command line says, else as `configured`.

    uvicorn imports the app from within its command, before it listens.
    """
    context = click.get_current_context(silent=True)
    if context is None or not (context.command.callback and context.command.callback.__module__ == "uvicorn.main"):
        return configured
    if context.params.get("uds") or context.params.get("fd") is not None:
        return configured
    return str(context.params["host"])
