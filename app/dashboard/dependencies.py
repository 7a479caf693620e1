"""The pages of dependencies: which are called and which are not, why, what waits for each, and what can be done."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from psycopg import AsyncConnection

from ..queue.app import Afresh
from ..retry.breaker.states import Breaker, State
from ..retry.budget import CAPACITY, FLOOR_PER_SECOND
from ..store import breakers
from ..store.breakers import PastTransition
from ..store.workers import BudgetLeft, read_budgets
from ..web import dependencies
from ..web.dependencies import find_dependency, tasks_relying_on
from ..web.fields import Text
from ..web.reading import Queue, ReadingConnection
from .charts import Stretch, timeline
from .forms import OperatorsForm, done
from .frame import ago, length, render
from .jobs import Word
from .machine import MEANING, drawn, spoken, ways_from

router = APIRouter(prefix="/dashboard")

COUNTED = 10_000
"""Waiting jobs of one lane that are counted one by one; beyond, there are at least so many."""

TOLD = 50
"""Transitions that are told of one breaker."""

SHOWN = 100
"""Dependencies on the page, those that are not well first."""

DAY = timedelta(hours=24)

Name = Annotated[Text, Path()]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a breaker counts: calls of its window, and how near it is to opening, as a share of its threshold."""

    successes: int
    failures: int
    pressure: float


@router.get("/dependencies")
async def show_dependencies(
    request: Request, conn: ReadingConnection, queue: Queue, *, text: Word = ""
) -> HTMLResponse:
    """Every dependency that a task names or that ever failed, those that are not well first."""
    own = queue.own_dependencies()
    shown, found = await breakers.search_dependencies(conn, names=own[1], text=text or None, limit=SHOWN)
    unwell = [each.breaker.name for each in shown if each.breaker.state is not State.CLOSED]
    waiting = await breakers.count_waiting(conn, unwell, queues=None, own=own, most=COUNTED) if unwell else {}
    return render(
        request,
        "dependencies.html",
        "Dependencies",
        dependencies=shown,
        found=found,
        text=text,
        waiting=waiting,
        counted=COUNTED,
        tasks=Counter(own[1]),
        budgets=await _budgets(conn, queue, [each.breaker.name for each in shown]),
        capacity=CAPACITY,
        spoken=spoken,
    )


@router.get("/dependencies/{name:path}")
async def show_dependency(request: Request, name: Name, conn: ReadingConnection, queue: Queue) -> HTMLResponse:
    """One dependency: the state of its breaker, what led there, and what waits for it."""
    found = await find_dependency(conn, queue, name)
    breaker = found.breaker
    history = await breakers.list_transitions(conn, name, limit=TOLD)
    now = datetime.now(UTC)
    return render(
        request,
        "dependency.html",
        "Dependencies",
        dependency=found,
        breaker=breaker,
        meaning=MEANING[breaker.state],
        machine=drawn(breaker.state, State(history[0].before) if history else None),
        ways=ways_from(breaker.state),
        counts=_counts(breaker),
        rules=queue.dependencies.rules_of(name),
        history=history,
        day=_day(breaker, history, now) if history else None,
        waiting=(await breakers.count_held(conn, [name], own=queue.own_dependencies(), most=COUNTED))[name],
        counted=COUNTED,
        told=TOLD,
        tasks=tasks_relying_on(queue, name),
        left=(await _budgets(conn, queue, [name])).get(name),
        budget={"per_call": queue.settings.retry.budget, "capacity": CAPACITY, "floor": FLOOR_PER_SECOND},
        spoken=spoken,
    )


@router.post("/dependencies/{name:path}/isolate")
async def isolate(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let no job that relies on it start until it is reset."""
    async with queue.connection() as conn:
        await dependencies.isolate(conn, name, actor=form.caller.name, reason=form.needed("reason"))
    return done(request, address_of_dependency(name), f"{name} is isolated: its jobs wait until it is reset.")


@router.post("/dependencies/{name:path}/reset")
async def reset(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let its waiting jobs out, slowly at first."""
    async with queue.connection() as conn:
        await dependencies.reset(conn, queue, name, actor=form.caller.name, reason=form.needed("reason"))
    return done(request, address_of_dependency(name), f"{name} is called again: its jobs come back little by little.")


@router.post("/dependencies/{name:path}/probe")
async def probe(request: Request, name: Name, form: OperatorsForm, queue: Queue) -> Response:
    """Let the next probe go at once."""
    async with queue.connection() as conn:
        await dependencies.probe(conn, queue, name, actor=form.caller.name, reason=form.needed("reason"))
    return done(request, address_of_dependency(name), f"The next job that relies on {name} looks whether it is back.")


def address_of_dependency(name: str) -> str:
    """Where its page is."""
    return f"/dashboard/dependencies/{quote(name)}"


async def _budgets(conn: AsyncConnection[Any], queue: Afresh, names: Sequence[str]) -> dict[str, BudgetLeft]:
    return await read_budgets(conn, names, stalled_after=queue.settings.worker.stalled_after)


def _counts(breaker: Breaker) -> Counts | None:
    """Of a breaker that is suspect; None: it counts nothing now."""
    if not breaker.suspect:
        return None
    slots = breaker.slots
    return Counts(
        sum(each.successes for each in slots),
        sum(each.failures for each in slots),
        min(1.0, sum(each.pressure for each in slots)),
    )


def _day(breaker: Breaker, history: Sequence[PastTransition], now: datetime) -> Markup:
    """The states of the last day, to scale; `history` is newest first, and what is older than it is not known."""
    begin = now - DAY
    marks = [(each.at, State(each.after)) for each in reversed(history)]
    if len(history) < TOLD:
        marks.insert(0, (begin, State(history[-1].before)))
    stretches = []
    for (since, state), until in zip(marks, [*(at for at, _ in marks[1:]), now], strict=True):
        if until <= begin:
            continue
        start = max(since, begin)
        text = f"{spoken(state)} for {length((until - start).total_seconds())}, from {ago(start, now)} on"
        stretches.append(Stretch((start - begin) / DAY, (until - begin) / DAY, state.value, text))
    return timeline(stretches, label=f"The last 24 hours of {breaker.name}", across=_HOURS)


_HOURS = ("24 h ago", "18 h ago", "12 h ago", "6 h ago", "now")
