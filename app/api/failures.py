"""What failed, over HTTP: the taxonomy, and how often each type was met."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ..retry.failure import FailureType, Remediation
from ..retry.taxonomy import TAXONOMY
from ..store.failures import TypeCount, count_types, first_hour
from ..web.auth import VIEWER
from ..web.fields import Time
from ..web.limits import StrictRoute
from ..web.problem import responses
from ..web.reading import ReadingConnection

router = APIRouter(prefix="/failures", tags=["failures"], route_class=StrictRoute, dependencies=[VIEWER])


class FailureTypeItem(BaseModel):
    """A type of the taxonomy, and how often it was met."""

    type: FailureType
    meaning: str
    retryable: bool = Field(description="Whether trying again can help by itself.")
    remediations: list[Remediation] = Field(description="What helps, the recommended one first.")
    failures: int = Field(description="Ended runs in the time asked for.", examples=[12])
    jobs: int = Field(description="Jobs that met it for the first time then.", examples=[4])
    last_seen: Time | None


class FailureTypes(BaseModel):
    """The taxonomy over some time until now."""

    hours: int
    items: list[FailureTypeItem]


@router.get("/types", summary="List the failure types, with counts", responses=responses(422))
async def list_types(
    conn: ReadingConnection,
    hours: Annotated[int, Query(ge=1, le=24 * 90, description="The present one and those before it.")] = 24,
) -> FailureTypes:
    """Return all sixteen types, met or not."""
    counts = await count_types(conn, first_hour(datetime.now(UTC), hours))
    return FailureTypes(hours=hours, items=[_item(kind, counts.get(kind)) for kind in FailureType])


def _item(kind: FailureType, count: TypeCount | None) -> FailureTypeItem:
    meaning = TAXONOMY[kind]
    last_seen: datetime | None = count.last_seen if count else None
    return FailureTypeItem(
        type=kind,
        meaning=meaning.sentence,
        retryable=meaning.retryable,
        remediations=list(meaning.actions),
        failures=count.failures if count else 0,
        jobs=count.jobs if count else 0,
        last_seen=last_seen,
    )
