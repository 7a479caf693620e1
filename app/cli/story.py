"""The demo as it is watched: its jobs over HTTP, what became of each so far, and the table at the end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from .misbehaviour import ACTS, Act
from .show import coloured, seconds, table, watched

if TYPE_CHECKING:
    import httpx
    from rich.console import Console
    from rich.table import Table

ENDED = frozenset({"succeeded", "failed", "cancelled", "aborted"})

Tell = Callable[["list[Line]"], None]


@dataclass(slots=True)
class Line:
    """One job of the demo.

    Attributes:
        act: What the joke API does to it.
        job: As the API last showed it.
    """

    job_id: int
    act: Act
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job.get("state") in ENDED

    @property
    def state(self) -> str:
        """Its state, in the words of the API."""
        return str(self.job.get("state", "ready"))

    @property
    def why(self) -> str:
        """The reason of its last failure."""
        return str((self.job.get("last_failure") or {}).get("reason") or "")


def submit(client: "httpx.Client", queue: str) -> list[Line]:
    """Ask the API for one job per act."""
    lines = []
    for number, act in ACTS.items():
        # A dependency for each: what happens to one says nothing of the others, and opens no breaker of theirs.
        own = {"queue": queue, "dependency": f"joke {number}", "metadata": {"demo": act.story}}
        body = {"args": {"joke_id": number}, **own}
        response = client.post("/tasks/fetch-joke", json=body).raise_for_status()
        lines.append(Line(response.json()["job_id"], act))
    return lines


def look(client: "httpx.Client", lines: list[Line]) -> bool:
    """Look at each job that has not ended; return whether all have."""
    for line in lines:
        if not line.ended:
            line.job = client.get(f"/jobs/{line.job_id}").raise_for_status().json()
    return all(line.ended for line in lines)


def shown(out: "Console") -> AbstractContextManager[Tell]:
    """Show progress: one table that changes, or at a pipe a line for each change."""
    return watched(out, drawn=_progress, told=_Changes(out).tell)


class _Changes:
    """Says each change once."""

    def __init__(self, out: "Console") -> None:
        self._out = out
        self._said: dict[int, tuple[str, int]] = {}

    def tell(self, lines: list[Line]) -> None:
        for line in lines:
            now = (line.state, int(line.job.get("attempts", 0)))
            if self._said.get(line.job_id, ("ready", 0)) != now:
                self._said[line.job_id] = now
                self._out.print(f"job {line.job_id} ({line.act.story}): {now[0]}, attempts {now[1]}", markup=False)


def _progress(lines: list[Line]) -> "Table":
    rows = table("job>", "the joke API", "state", "attempts>", "because")
    for line in lines:
        state = coloured(line.state)
        rows.add_row(
            str(line.job_id), line.act.story, state, str(line.job.get("attempts", 0)), escape(_first_words(line.why))
        )
    return rows


def _first_words(reason: str) -> str:
    return reason.partition(" · ")[0]


def ladder(client: "httpx.Client", lines: list[Line]) -> "Table":
    """Every attempt of every job, with the reason of what followed it."""
    rows = table("job>", "the joke API", "attempt>", "outcome", "after>", "why")
    for line in lines:
        attempts = client.get(f"/jobs/{line.job_id}/attempts").raise_for_status().json()["items"]
        for number, attempt in enumerate(attempts):
            name = (str(line.job_id), line.act.story) if number == 0 else ("", "")
            wait = seconds(attempt["delay_seconds"])
            rows.add_row(*name, str(attempt["attempt"]), _outcome(attempt), wait, escape(attempt["reason"] or ""))
    return rows


def _outcome(attempt: dict[str, Any]) -> str:
    if attempt["decision"] == "dead_letter":
        return f"{coloured('failed')} → {coloured('dead_letter')}"
    if attempt["decision"] == "retry":
        return f"{coloured('failed')} → {coloured('retry')}"
    return coloured(attempt["outcome"])


def summary(lines: list[Line]) -> str:
    """What came of it, in one sentence."""
    done = [line for line in lines if line.state == "succeeded"]
    late = sum(line.job["attempts"] > 1 or bool(line.job["last_failure"]) for line in done)
    dead = sum(line.state == "failed" for line in lines)
    runs = sum(line.job["attempts"] for line in lines)
    return (
        f"{len(lines)} jobs, {runs} attempts that counted: {len(done)} succeeded, {late} of them not at once, "
        f"and {dead} are dead letters: no retry could have helped them, or none was left."
    )
