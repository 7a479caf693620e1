"""The demo's outage: the joke API goes down, its breaker opens, the jobs wait, and a ramp lets them out."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from rich.markup import escape

from .show import table, watched

if TYPE_CHECKING:
    import httpx
    from rich.console import Console
    from rich.table import Table

    from .misbehaviour import Misbehaviour

DEPENDENCY = "joke-api"

BEFORE = 6
"""Jobs that find the joke API well."""

DURING = 12
"""Jobs that want a joke while it is down."""

AT_ONCE = 2
"""Of those, with each look."""

TRICKLE = 4
"""Looks between two jobs that come at the ramp's end: it ends only under traffic that it does not limit."""

FIRST_JOKE = 100
"""Beyond the jokes with a fate of their own."""


@dataclass(slots=True)
class Downtime:
    """One outage, from the jobs before it until the breaker is closed again.

    Attributes:
        behaviour: Of the joke API.
        state: Of its breaker, as the API last showed it.
        jobs: Each job's id, with its state as the API last showed it.
        attempts: That counted, of the jobs that ended.
        looks: How often it was looked at since the joke API went down.
        opened: The breaker has been open.
    """

    behaviour: "Misbehaviour"
    state: str = "closed"
    jobs: dict[int, str] = field(default_factory=dict)
    attempts: int = 0
    looks: int = 0
    opened: bool = False

    @property
    def done(self) -> int:
        """Jobs that succeeded."""
        return sum(state == "succeeded" for state in self.jobs.values())

    @property
    def is_over(self) -> bool:
        """Whether the breaker is closed again and every job has ended."""
        return self.opened and self.state == "closed" and not self.unfinished()

    def unfinished(self) -> list[int]:
        """Jobs to which something will still happen."""
        return [job_id for job_id, state in self.jobs.items() if state not in {"succeeded", "failed"}]


def begin(client: "httpx.Client", behaviour: "Misbehaviour", queue: str) -> Downtime:
    """Ask for some jokes while all is well."""
    downtime = Downtime(behaviour)
    _submit(client, downtime, queue, BEFORE)
    return downtime


def all_well(client: "httpx.Client", downtime: Downtime) -> bool:
    """Look at the jobs from before; return whether all have ended, and take the joke API down then."""
    _look_at_jobs(client, downtime)
    downtime.behaviour.down = downtime.done == BEFORE
    return downtime.behaviour.down


def proceed(client: "httpx.Client", downtime: Downtime, queue: str) -> bool:
    """Look at what happens, and let the next thing happen; return whether all is over.

    Jobs come; once the breaker is open, and all of them wait, the joke API comes back.
    """
    downtime.looks += 1
    coming = len(downtime.jobs) < BEFORE + DURING
    if coming:
        _submit(client, downtime, queue, AT_ONCE)
    elif downtime.state == "ramping" and downtime.looks % TRICKLE == 0 and not downtime.unfinished():
        _submit(client, downtime, queue, 1)
    found = client.get(f"/dependencies/{DEPENDENCY}").raise_for_status().json()
    downtime.state = found["state"]
    downtime.opened = downtime.opened or downtime.state == "open"
    if downtime.opened and not coming:
        downtime.behaviour.down = False
    _look_at_jobs(client, downtime)
    return downtime.is_over


def _submit(client: "httpx.Client", downtime: Downtime, queue: str, count: int) -> None:
    first = FIRST_JOKE + len(downtime.jobs)
    for number in range(first, first + count):
        body = {"args": {"joke_id": number}, "queue": queue, "metadata": {"demo": "the outage"}}
        made = client.post("/tasks/fetch-joke", json=body).raise_for_status().json()
        downtime.jobs[made["job_id"]] = "ready"


def _look_at_jobs(client: "httpx.Client", downtime: Downtime) -> None:
    for job_id in downtime.unfinished():
        job = client.get(f"/jobs/{job_id}").raise_for_status().json()
        downtime.jobs[job_id] = job["state"]
        downtime.attempts += job["attempts"] if job["state"] in {"succeeded", "failed"} else 0


def shown(out: "Console") -> AbstractContextManager[Callable[[Downtime], None]]:
    """Show what the breaker is, and how many jobs wait: one line that changes, or at a pipe one for each change."""
    return watched(out, drawn=_line, told=_Changes(out).tell)


class _Changes:
    """Says each state of the breaker once."""

    def __init__(self, out: "Console") -> None:
        self._out = out
        self._said = "closed"

    def tell(self, downtime: Downtime) -> None:
        if downtime.state != self._said:
            self._said = downtime.state
            self._out.print(_line(downtime), markup=False)


def _line(downtime: Downtime) -> str:
    jokes = "down" if downtime.behaviour.down else "up"
    return (
        f"joke API {jokes} · breaker {downtime.state.replace('_', '-')} · {downtime.done} jobs done, "
        f"{len(downtime.unfinished())} wait · {downtime.behaviour.refused} calls refused"
    )


def history(client: "httpx.Client") -> "Table":
    """What the breaker did, and why."""
    rows = table("at", f"breaker of {DEPENDENCY}", "because")
    told = client.get(f"/dependencies/{DEPENDENCY}").raise_for_status().json()["history"]
    for each in reversed(told):
        at = datetime.fromisoformat(each["at"]).astimezone()
        move = f"{each['before']} → {each['after']}".replace("_", "-")
        rows.add_row(f"{at:%H:%M:%S}", move, escape(each["cause"]))
    return rows


def summary(downtime: Downtime) -> str:
    """What came of it, in one sentence."""
    jobs, refused = len(downtime.jobs), downtime.behaviour.refused
    return (
        f"{jobs} jobs around the outage: {downtime.done} succeeded with {downtime.attempts} attempts that counted; "
        f"the joke API was called {refused} times while it was down, and then at the pace of the ramp."
    )
