"""How many workers are wanted, over HTTP: for autoscalers that ask HTTP, and for people."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ..store.scaling import COUNTED, Wanted, read_scaling
from ..web.auth import VIEWER
from ..web.problem import responses
from ..web.reading import ReadingConnection

router = APIRouter(prefix="/monitoring", tags=["monitoring"], dependencies=[VIEWER])


class Wants(BaseModel):
    """What is wanted, and why."""

    wanted_workers: int = Field(description="Slots by concurrency, rounded up.", examples=[4])
    slots: float = Field(description="Jobs that should run at once.", examples=[31.5])
    ready: int = Field(description="Jobs that could run now; what is held back is not ready.", examples=[1200])
    ready_is_exact: bool = Field(description=f"False: a queue has {COUNTED} or more.")
    running: int = Field(examples=[20])
    ended_per_second: float = Field(description="Runs that ended, over the last minutes.", examples=[40.2])
    seconds_per_job: float | None = Field(
        description="How long such a run took on average; null: none has ended lately, and 1 is taken for it.",
        examples=[0.5],
    )


class QueueWants(Wants):
    """The same of one queue. Of all queues they do not add up to what is wanted: one worker serves many."""

    queue: str = Field(examples=["email"])


class Autoscaling(Wants):
    """What all queues want together."""

    concurrency: int = Field(description="Jobs that one worker runs at once: of the one that started last.")
    drain_seconds: float = Field(description="AUTOSCALING_DRAIN: within which time the backlog should be done.")
    queues: list[QueueWants] = Field(description="Those with work.")


@router.get("/autoscaling", summary="Say how many workers are wanted", responses=responses(503))
async def show_autoscaling(conn: ReadingConnection) -> Autoscaling:
    """Return the wanted workers from what waits, what runs and how long jobs take; the view afresh.autoscaling."""
    whole, queues = await read_scaling(conn)
    exact = all(each.ready < COUNTED for each in queues)
    return Autoscaling(
        **_wants(whole, exact=exact).model_dump(),
        concurrency=whole.concurrency,
        drain_seconds=whole.drain_seconds,
        queues=[
            QueueWants(**_wants(each, exact=each.ready < COUNTED).model_dump(), queue=each.queue_name or "")
            for each in queues
        ],
    )


def _wants(wanted: Wanted, *, exact: bool) -> Wants:
    return Wants(
        wanted_workers=wanted.wanted_workers,
        slots=wanted.slots,
        ready=wanted.ready,
        ready_is_exact=exact,
        running=wanted.running,
        ended_per_second=wanted.ended_per_second,
        seconds_per_job=wanted.seconds_per_job,
    )
