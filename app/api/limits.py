"""Limits over HTTP: how many jobs may run at the same time or start in a period, over all workers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query
from psycopg import AsyncConnection
from pydantic import BaseModel, ConfigDict, Field, Strict

from ..store import limits
from ..store.limits import BIGGEST, Limit, Rate
from ..web.auth import VIEWER, Operator
from ..web.errors import InvalidInput, UnknownLimit
from ..web.fields import Duration, Text
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import Queue, ReadingConnection

router = APIRouter(prefix="/limits", tags=["limits"], route_class=StrictRoute)

Kind = Annotated[Literal["queue", "task", "dependency"], Path(examples=["queue"])]
Name = Annotated[Text, Path(description="A task by its full name.", examples=["api_calls"])]
Jobs = Annotated[int, Strict(), Field(ge=1, le=BIGGEST)]


class WantedRate(BaseModel):
    """How many jobs may start in a period."""

    model_config = ConfigDict(extra="forbid")

    jobs: Jobs = Field(
        description="Jobs that may start in each period, evenly spread; after a rest up to `burst` - 1 more.",
        examples=[100],
    )
    per: Duration = Field(description="The period.", examples=["1m"])
    burst: Jobs | None = Field(
        default=None,
        description="Jobs that may start at once after a rest; default: a tenth, at least 1. No period sees more than "
        "`jobs` + `burst` - 1 starts: with 1 never more than `jobs`, one by one.",
        examples=[10],
    )


class WantedLimit(BaseModel):
    """How many jobs may run, or start in a period, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"max_running": 5, "reason": "the database bears no more"},
                {"rate": {"jobs": 100, "per": "1m"}, "reason": "as the contract says"},
            ]
        },
    )

    max_running: Jobs | None = Field(default=None, description="Jobs that may run at the same time.", examples=[5])
    rate: WantedRate | None = None
    reason: Text


class RateReport(BaseModel):
    """How many jobs may start in a period."""

    jobs: int = Field(examples=[100])
    per_seconds: float = Field(examples=[60.0])
    burst: int = Field(description="Jobs that may start at once after a rest.", examples=[10])


class LimitReport(BaseModel):
    """A limit, and what it leaves."""

    kind: Literal["queue", "task", "dependency"] = Field(examples=["queue"])
    name: str = Field(examples=["api_calls"])
    max_running: int | None = Field(description="Jobs that may run at the same time; null: any number.", examples=[5])
    rate: RateReport | None
    room: int = Field(description="How many more jobs may start now.", examples=[2])


@router.get("", dependencies=[VIEWER], summary="List the limits", responses=responses(503))
async def list_all(conn: ReadingConnection) -> list[LimitReport]:
    """Return every limit, by kind and name, with what it leaves now."""
    return [_report(each) for each in await limits.list_limits(conn)]


@router.get("/{kind}/{name:path}", dependencies=[VIEWER], summary="Show a limit", responses=responses(404, 422, 503))
async def show_limit(kind: Kind, name: Name, conn: ReadingConnection) -> LimitReport:
    """Return one limit with what it leaves now."""
    return await _find(conn, kind, name)


@router.put("/{kind}/{name:path}", summary="Set a limit", responses=responses(400, 403, 413, 415, 422, 503))
async def set_limit(
    kind: Kind, name: Name, body: Annotated[WantedLimit, Body()], caller: Operator, queue: Queue
) -> LimitReport:
    """Let no more jobs run, or start, than this, from the next claim on. What runs goes on, and counts."""
    if body.max_running is None and body.rate is None:
        raise InvalidInput("rate", "either max_running or rate is needed")
    if body.max_running is not None and kind == "dependency":
        raise InvalidInput("max_running", "only a rate can be set for a dependency")
    rate = None if body.rate is None else Rate(body.rate.jobs, body.rate.per, body.rate.burst)
    async with queue.connection() as conn:
        await limits.put(
            conn, kind, name, max_running=body.max_running, rate=rate, actor=caller.name, reason=body.reason
        )
        return await _find(conn, kind, name)


@router.delete("/{kind}/{name:path}", summary="Lift a limit", status_code=204, responses=responses(403, 404, 422, 503))
async def lift_limit(
    kind: Kind,
    name: Name,
    caller: Operator,
    queue: Queue,
    reason: Annotated[Text, Query(description="Goes into the audit.")] = "lifted",
) -> None:
    """Let jobs start again as workers have room."""
    async with queue.connection() as conn:
        if not await limits.lift(conn, kind, name, actor=caller.name, reason=reason):
            raise UnknownLimit(kind, name)


async def _find(conn: AsyncConnection, kind: limits.Kind, name: str) -> LimitReport:
    found = await limits.list_limits(conn, kind, name)
    if not found:
        raise UnknownLimit(kind, name)
    return _report(found[0])


def _report(limit: Limit) -> LimitReport:
    rate = limit.rate and RateReport(
        jobs=limit.rate.jobs, per_seconds=limit.rate.per.total_seconds(), burst=limit.rate.burst or 1
    )
    return LimitReport(kind=limit.kind, name=limit.name, max_running=limit.max_running, rate=rate, room=limit.room)
