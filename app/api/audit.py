"""The audit over HTTP: who changed what, when, and why."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ..store.audit import AuditFilter, list_audit
from ..web.auth import ADMIN
from ..web.fields import Text, Time
from ..web.limits import StrictRoute
from ..web.paging import PageOf, PageQuery
from ..web.problem import responses
from ..web.reading import ReadingConnection

router = APIRouter(tags=["audit"], route_class=StrictRoute, dependencies=[ADMIN])


class AuditEntry(BaseModel):
    """One change."""

    id: int = Field(examples=[1])
    at: Time
    actor: str = Field(description="A key's name; `local` without keys, or `cli`.", examples=["deploy"])
    action: str = Field(examples=["queue.pause"])
    target: str = Field(examples=["emails"])
    reason: str | None = Field(examples=["the provider is down"])
    details: dict[str, Any]


class AuditPage(PageOf[AuditEntry]):
    """Some changes, newest first."""


class AuditQuery(PageQuery):
    """Which changes, and which part of them."""

    actor: Text | None = None
    action: Text | None = Field(None, description="noun.verb, such as queue.pause")
    target: Text | None = None


@router.get("/audit", summary="List who changed what", responses=responses(401, 403, 422, 503))
async def list_changes(wanted: Annotated[AuditQuery, Query()], conn: ReadingConnection) -> AuditPage:
    """Return one page of the changes that fit, newest first."""
    chosen = AuditFilter(actor=wanted.actor, action=wanted.action, target=wanted.target)
    page = await list_audit(conn, chosen, limit=wanted.limit, before=wanted.before, offset=wanted.offset)
    return AuditPage.of(page, AuditEntry.model_validate)
