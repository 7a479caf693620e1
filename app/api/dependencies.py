"""Dependencies over HTTP: which are called and which are not, why, and what operators do about it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from psycopg import AsyncConnection
from pydantic import BaseModel, Field

from ..queue.app import Afresh
from ..retry.breaker.states import State
from ..retry.budget import CAPACITY
from ..store import breakers
from ..store.breakers import Dependency, PastTransition
from ..store.workers import BudgetLeft, read_budgets
from ..web import dependencies
from ..web.auth import VIEWER, Operator
from ..web.fields import Text, Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection
from .reasons import MustReason

router = APIRouter(prefix="/dependencies", tags=["dependencies"], route_class=StrictRoute)

Name = Annotated[Text, Path(examples=["joke-api"])]

COUNTED_EXACTLY = 20_000
"""Waiting jobs of one lane that are counted one by one; beyond, there are at least so many."""

TOLD = 50
"""Transitions that are told of one breaker."""


class DependencyReport(BaseModel):
    """A dependency and its breaker."""

    name: str = Field(examples=["joke-api"])
    state: State = Field(
        description="closed: its jobs run; open, held, isolated: they wait; half_open: probes run; ramping: so many a "
        "second.",
        examples=["closed"],
    )
    suspect: bool = Field(description="Closed, but with failures that count.", examples=[False])
    since: Time | None = Field(description="When it came to this state.", examples=[None])
    cause: str | None = Field(examples=["5 of 5 calls failed, the last with TRANSIENT_NETWORK → 60 s"])
    until: Time | None = Field(description="When its break, or a rate limit's pause, ends.", examples=[None])
    next_probe_at: Time | None = Field(description="When a job may look whether it is back.", examples=[None])
    probes_in_flight: int = Field(examples=[0])
    rate: float | None = Field(description="Jobs per second that a ramp lets out.", examples=[None])
    failure_type: str | None = Field(description="Of the latest failure that counted.", examples=[None])
    generation: int = Field(description="How many transitions there were.", examples=[0])
    held_by: str | None = Field(
        description="What keeps its jobs waiting: breaker, also where a person isolated it (the cause names them); or "
        "whoever wrote the hold by hand.",
        examples=[None],
    )
    tasks: list[str] = Field(description="Tasks that rely on it.", examples=[["app.tasks.jokes.fetch_and_cache_joke"]])


class BudgetReport(BaseModel):
    """What is left of its retry budget, which each worker process has for itself; told with its heartbeats."""

    least: float = Field(description="Tokens in the process with the fewest; below 1 its retries wait.", examples=[12])
    capacity: float = Field(description="Tokens of a process that has spent none.", examples=[50])
    processes: int = Field(description="Worker processes that say what they have.", examples=[2])
    told_at: Time = Field(description="When the one with the fewest said so.")


class TransitionReport(BaseModel):
    """What happened to a breaker."""

    at: Time
    before: State = Field(examples=["closed"])
    after: State = Field(examples=["open"])
    cause: str = Field(examples=["5 of 5 calls failed, the last with TRANSIENT_NETWORK → 60 s"])
    generation: int = Field(examples=[1])


class DependencyStory(DependencyReport):
    """A dependency, what happened to it, and what waits for it."""

    budget: BudgetReport | None = Field(description="Null: no worker that lives says anything.")
    history: list[TransitionReport] = Field(description=f"The latest {TOLD} transitions, newest first.")
    waiting: dict[str, int] = Field(
        description=f"Jobs by task that rely on it and could run; each kind counted up to {COUNTED_EXACTLY:,}.",
        examples=[{"app.tasks.jokes.fetch_and_cache_joke": 12}],
    )


@router.get("", dependencies=[VIEWER], summary="List the dependencies", responses=responses(503))
async def list_dependencies(conn: ReadingConnection, queue: Queue) -> list[DependencyReport]:
    """Return every dependency that a task names or that ever failed, by name."""
    found = await breakers.list_dependencies(conn, names=queue.own_dependencies()[1])
    return [DependencyReport(**_fields(each, queue)) for each in found]


@router.get("/{name:path}", dependencies=[VIEWER], summary="Show a dependency", responses=responses(404, 422, 503))
async def show_dependency(name: Name, conn: ReadingConnection, queue: Queue) -> DependencyStory:
    """Return one dependency with the history of its breaker and what waits for it."""
    return await _story(conn, queue, name)


@router.post(
    "/{name:path}/isolate", summary="Stop calling a dependency", responses=responses(400, 403, 409, 413, 415, 422, 503)
)
async def isolate(name: Name, body: MustReason, caller: Operator, queue: Queue) -> DependencyStory:
    """Let no job that relies on it start, nor any probe, until it is reset. What runs goes on."""
    async with queue.connection() as conn:
        await dependencies.isolate(conn, name, actor=caller.name, reason=body.reason)
        return await _story(conn, queue, name)


@router.post(
    "/{name:path}/reset", summary="Call a dependency again", responses=responses(400, 403, 404, 409, 413, 415, 422, 503)
)
async def reset(name: Name, body: MustReason, caller: Operator, queue: Queue) -> DependencyStory:
    """Let its waiting jobs out, slowly at first."""
    async with queue.connection() as conn:
        await dependencies.reset(conn, queue, name, actor=caller.name, reason=body.reason)
        return await _story(conn, queue, name)


@router.post(
    "/{name:path}/probe", summary="Probe a dependency now", responses=responses(400, 403, 404, 409, 413, 415, 422, 503)
)
async def probe(name: Name, body: MustReason, caller: Operator, queue: Queue) -> DependencyStory:
    """Let the next probe go at once instead of at its time."""
    async with queue.connection() as conn:
        await dependencies.probe(conn, queue, name, actor=caller.name, reason=body.reason)
        return await _story(conn, queue, name)


async def _story(conn: AsyncConnection[Any], queue: Afresh, name: str) -> DependencyStory:
    found = await dependencies.find_dependency(conn, queue, name)
    history = await breakers.list_transitions(conn, name, limit=TOLD)
    held = await breakers.count_held(conn, [name], own=queue.own_dependencies(), most=COUNTED_EXACTLY)
    budgets = await read_budgets(conn, [name], stalled_after=queue.settings.worker.stalled_after)
    return DependencyStory(
        **_fields(found, queue),
        budget=_budget(budgets[name]) if budgets else None,
        history=[_transition(each) for each in history],
        waiting=held[name],
    )


def _budget(left: BudgetLeft) -> BudgetReport:
    return BudgetReport(least=left.least, capacity=CAPACITY, processes=left.processes, told_at=left.told_at)


def _transition(past: PastTransition) -> TransitionReport:
    return TransitionReport(
        at=past.at, before=State(past.before), after=State(past.after), cause=past.cause, generation=past.generation
    )


def _fields(found: Dependency, queue: Afresh) -> dict[str, Any]:
    breaker = found.breaker
    return {
        "name": breaker.name,
        "state": breaker.state,
        "suspect": breaker.suspect,
        "since": breaker.changed_at,
        "cause": breaker.cause or found.reason,
        "until": breaker.until,
        "next_probe_at": breaker.probe_at,
        "probes_in_flight": len(breaker.permits),
        "rate": breaker.rate if breaker.state is State.RAMPING else None,
        "failure_type": breaker.failure_type,
        "generation": breaker.generation,
        "held_by": found.held_by,
        "tasks": dependencies.tasks_relying_on(queue, breaker.name),
    }
