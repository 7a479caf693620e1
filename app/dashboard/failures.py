"""The page of failures: the groups that fail, and what the last 24 hours came to by type and by task."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple, get_args
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from pydantic import ConfigDict, Field, model_validator

from ..retry.failure import FailureType
from ..retry.taxonomy import TAXONOMY, Meaning
from ..store.failures import first_hour
from ..store.paging import Row
from ..store.trends import Tally, Trends, find_trends
from ..web.groups import GroupQuery, GroupStatus, dependencies_of, find_page
from ..web.reading import Queue, ReadingConnection
from .charts import sparkline, stack
from .frame import render

PAGE_SIZE = 25
HOURS = 24
TASKS = 10
"""That fail most often, and are named."""

ADDRESS = "/dashboard/failures"

router = APIRouter(prefix="/dashboard")


class GroupView(GroupQuery):
    """What the page's address says; a form sends what was left empty as an empty text."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(PAGE_SIZE, ge=1, le=PAGE_SIZE)

    @model_validator(mode="before")
    @classmethod
    def _without_the_empty(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}

    def filters(self) -> dict[str, str]:
        """Those that are set, as an address says them."""
        said = self.model_dump(mode="json", exclude_defaults=True, exclude={"limit", "offset", "cursor"})
        return {name: str(value) for name, value in said.items()}


class TypeRow(NamedTuple):
    """A failure type over the last day."""

    name: FailureType
    meaning: Meaning
    tally: Tally
    spark: Markup


@router.get("/failures")
async def show_failures(
    request: Request, wanted: Annotated[GroupView, Query()], conn: ReadingConnection, queue: Queue
) -> HTMLResponse:
    """One page of the groups that fit, and the last day."""
    page = await find_page(conn, wanted, queue.catalog)
    since = first_hour(datetime.now(UTC), HOURS)
    trends = await find_trends(conn, since)
    given, cursor = wanted.filters(), wanted.next_cursor(page)
    return render(
        request,
        "failures.html",
        "Failures",
        page=page,
        groups=[(group, spark_of(group), dependencies_of(group, queue.catalog)) for group in page.items],
        given=given,
        paged=wanted.cursor,
        older=address(given, cursor=cursor) if cursor else None,
        address=address,
        group_address=group_address,
        statuses=get_args(GroupStatus),
        types=list(FailureType),
        day=trends.whole,
        by_type=_by_type(trends, since),
        by_task=_by_task(trends),
        unmet=[(kind, TAXONOMY[kind]) for kind in FailureType if not _is_met(trends, kind)],
    )


def address(given: Mapping[str, str], **changes: str | None) -> str:
    """The page with these filters, some of them changed; None takes one away."""
    wanted = {name: value for name, value in {**given, **changes}.items() if value is not None}
    return f"{ADDRESS}?{urlencode(wanted)}" if wanted else ADDRESS


def group_address(fingerprint: str) -> str:
    """Where a group's page is."""
    return f"{ADDRESS}/groups/{quote(fingerprint)}"


def spark_of(group: Row) -> Markup:
    """How often a group failed in each of the last hours."""
    return sparkline(group["hours"], label="Failures by the hour, of the last day", tone="bad")


def _is_met(trends: Trends, kind: FailureType) -> bool:
    return trends.by_type.get(kind, Tally()).failures > 0


def _by_type(trends: Trends, since: datetime) -> list[TypeRow]:
    """The types that were met, the commonest first."""
    rows = []
    for name, tally in sorted(trends.by_type.items(), key=lambda pair: (-pair[1].failures, pair[0])):
        kind, hours = FailureType(name), trends.by_hour.get(name, {})
        values = [hours.get(since + timedelta(hours=n), Tally()).failures for n in range(HOURS)]
        spark = sparkline(values, label=f"{name} by the hour, of the last day", tone="bad")
        rows.append(TypeRow(kind, TAXONOMY[kind], tally, spark))
    return [row for row in rows if row.tally.failures]


def _by_task(trends: Trends) -> list[tuple[str, Tally, Markup]]:
    """The tasks that fail most often, each with its bar."""
    failing = trends.failing_tasks(TASKS)
    most = max((tally.failures for _, tally in failing), default=0)
    return [(name, tally, stack([("failures", tally.failures, "bad")], of=most, label=name)) for name, tally in failing]
