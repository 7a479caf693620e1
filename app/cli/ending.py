"""The demo's last table: what happened in all, and the page on which it is to be seen."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from .downtime import DEPENDENCY
from .show import table

if TYPE_CHECKING:
    import httpx
    from rich.table import Table

MANY = 1000
"""Jobs of one page of the API; the demo has some forty."""


def happened(client: "httpx.Client", queue: str, *, where: str) -> "Table":
    """Ask the API for it; `where` stands before each page's address."""
    states = Counter(job["state"] for job in _asked(client, "/jobs", queue=queue, limit=MANY)["items"])
    trends = _asked(client, "/failures/trends")
    limited = next((kind["failures"] for kind in trends["types"] if kind["type"] == "TRANSIENT_RATE_LIMIT"), 0)
    letters = _asked(client, "/dead-letters/summary")
    moves = Counter(move["after"] for move in _asked(client, f"/dependencies/{DEPENDENCY}")["history"])
    pending, resolved = (letters["statuses"].get(status, 0) for status in ("pending", "resolved"))
    retries = trends["retries"]
    rows = table("what happened", "times>", "of that", "look at")
    for what, times, of_that, page in (
        ("jobs, with those replayed", states.total(), f"{states['succeeded']} succeeded", f"jobs?queue={queue}"),
        ("attempts that failed", trends["failures"], f"{limited} told to slow down", "failures"),
        ("retries", retries["decided"], f"{retries['succeeded']} ended well", "policies"),
        ("dead letters", letters["total"], f"{resolved} brought back, {pending} pending", "dead-letters"),
        ("breaker opened", moves["open"], f"{moves['closed']} closed again", f"dependencies/{DEPENDENCY}"),
    ):
        rows.add_row(what, str(times), of_that, escape(f"{where}/dashboard/{page}"))
    return rows


def _asked(client: "httpx.Client", path: str, **given: Any) -> Any:
    return client.get(path, params=given).raise_for_status().json()
