"""The demo's last act: its dead letters, replayed by one bulk action over HTTP, and what becomes of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from .show import table

if TYPE_CHECKING:
    import httpx
    from rich.console import Console
    from rich.table import Table

Bulk = dict[str, Any]

AT_ONCE = {"reason": "the joke API is mended", "rate_per_second": 20}


def replay(client: "httpx.Client", queue: str) -> Bulk:
    """Preview the letters of a queue, and confirm that."""
    wanted = {"action": "replay", "filter": {"queue": queue}}
    seen = client.post("/dead-letters/bulk/preview", json=wanted).raise_for_status().json()
    found: Bulk = client.post("/dead-letters/bulk", json={"token": seen["token"], **AT_ONCE}).raise_for_status().json()
    return found


def look(client: "httpx.Client", bulk: Bulk) -> Bulk:
    """How far it is."""
    found: Bulk = client.get(f"/dead-letters/bulk/{bulk['id']}").raise_for_status().json()
    return found


def is_over(bulk: Bulk) -> bool:
    """Whether it is done, and every job that it made has ended."""
    return bulk["state"] not in {"waiting", "running"} and not bulk["statuses"].get("retrying")


@contextmanager
def shown(out: "Console", bulk: Bulk) -> Iterator[Callable[[Bulk], None]]:
    """Show how many letters are brought back; at a pipe, nothing until the end."""
    from rich.progress import Progress

    with Progress(console=out, transient=True, disable=not out.is_terminal) as bar:
        line = bar.add_task("replayed", total=bulk["total"])
        yield lambda now: bar.update(line, completed=now["acted"])


def letters(client: "httpx.Client", bulk: Bulk) -> "Table":
    """Each letter, and what became of it."""
    rows = table("letter>", "died of", "replayed as job>", "now")
    found = client.get("/dead-letters", params={"bulk": bulk["id"]}).raise_for_status().json()["items"]
    for letter in found:
        rows.add_row(
            str(letter["id"]), escape(letter["failure_type"]), str(letter["replayed_as"]), escape(letter["status"])
        )
    return rows


def summary(bulk: Bulk) -> str:
    """What came of it, in one sentence."""
    resolved, pending = (bulk["statuses"].get(status, 0) for status in ("resolved", "pending"))
    return (
        f"{bulk['acted']} dead letters replayed: {resolved} resolved, {pending} pending again: "
        "what does not exist is not there after mending either."
    )
