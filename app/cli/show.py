"""What the commands print: colours and tables at a terminal, plain lines of a fixed width elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, RenderableType
from rich.table import Table

from ..retry.words import duration

if TYPE_CHECKING:
    from ..postgres.connect import Database
    from ..store.paging import Page

Seen = TypeVar("Seen")

_PIPE_WIDTH = 160
_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "dead_letter": "red",
    "aborted": "red",
    "lost": "red",
    "retrying": "yellow",
    "retry": "yellow",
    "snoozed": "cyan",
    "snooze": "cyan",
    "running": "blue",
}


def console() -> Console:
    """Standard output. Where it is no terminal, lines are not folded to the width of one."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def table(*columns: str, title: str | None = None) -> Table:
    """An open table; a column whose name ends in ">" stands to the right."""
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    return made


@contextmanager
def watched(
    out: Console, *, drawn: Callable[[Seen], RenderableType], told: Callable[[Seen], None]
) -> Iterator[Callable[[Seen], None]]:
    """Show what changes: drawn anew in its place at a terminal, told at a pipe."""
    if not out.is_terminal:
        yield told
        return
    from rich.live import Live

    with Live(console=out, refresh_per_second=8, transient=True) as live:
        yield lambda seen: live.update(drawn(seen))


def counted(page: "Page") -> str:
    """How many of a list are shown, and how many there are."""
    return f"{len(page.items)} of {'' if page.total_is_exact else 'about '}{page.total:,}"


def coloured(word: str) -> str:
    """A state, an outcome or a decision, in its colour."""
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word


def seconds(span: float | timedelta | None) -> str:
    """A duration, given in seconds or as one, as people read it; empty for none."""
    if span is None:
        return ""
    return duration(span.total_seconds() if isinstance(span, timedelta) else span)


def moment(at: datetime | None) -> str:
    """A time of day in this machine's zone, with its date where that is not today."""
    if at is None:
        return ""
    try:
        local = at.astimezone()
    except OverflowError:  # An end of the calendar, which stands for infinity, in another zone.
        local = at
    today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def name_of(database: "Database") -> str:
    """Which database it is, without a secret."""
    from psycopg.conninfo import conninfo_to_dict

    if database.embedded:
        return f"embedded PostgreSQL, data in {database.server.home.path}"
    found = conninfo_to_dict(database.url or "")
    return f"{found.get('dbname', '')} on {found.get('host', 'this machine')}"
