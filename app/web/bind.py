"""Where HTTP may be served: while nobody has to sign in, on the loopback address only."""

import click

from .origin import is_loopback


class OpenBind(Exception):  # noqa: N818  Reads as what was asked for.
    """HTTP was to be served to other machines. The text is one line for a person."""


def refuse_open_bind(host: str) -> None:
    """Let only the loopback address pass.

    Raises:
        OpenBind: `host` can be reached from elsewhere.
    """
    if not is_loopback(host):
        raise OpenBind(f"refusing to serve on {host}: without API keys only the loopback address (127.0.0.1) is safe")


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
