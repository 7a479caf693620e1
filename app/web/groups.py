"""Failure groups as they are spoken of from outside: which are meant, and what they come to."""

from typing import Any, Literal

from psycopg import AsyncConnection
from pydantic import Field

from ..queue.catalog import Catalog
from ..retry.failure import FailureType
from ..store import groups
from ..store.groups import GroupFilter
from ..store.paging import Page, Row
from .errors import InvalidInput
from .fields import Moment, QueueName, SearchText, Text
from .paging import BIGGEST_ID, PageQuery

GroupStatus = Literal["open", "resolved", "regression", "muted"]


class GroupQuery(PageQuery):
    """Which groups, in which order, and which part of them."""

    status: GroupStatus | None = None
    task: QueueName | None = Field(None, description="Slug or full name of a task that fails so.")
    type: FailureType | None = None
    dependency: Text | None = Field(None, description="Of the job, or of its task where the job names none.")
    seen_from: Moment | None = Field(None, description="Seen last at this time or later; ISO 8601 with an offset.")
    seen_to: Moment | None = Field(None, description="Seen last before.")
    new_from: Moment | None = Field(None, description="Seen first at this time or later.")
    new_to: Moment | None = Field(None, description="Seen first before.")
    text: SearchText | None = Field(
        None,
        description="Occurs in the message or the class of the newest failure, or in the name of a task, in upper or "
        "lower case.",
    )
    order: groups.Order = Field("last_seen", description="The newest or the largest first.")
    cursor: str | None = Field(None, max_length=41, description="`next_cursor` of the page before.")

    def position(self) -> tuple[int | None, int | None]:
        """The newest failure, and by count the count, of the group that the page before ended with.

        Raises:
            InvalidInput: The cursor is none of ours, or of another order.
        """
        if self.cursor is None:
            return None, None
        parts = self.cursor.split("-")
        known = all(part.isascii() and part.isdecimal() and int(part) <= BIGGEST_ID for part in parts)
        if not known or len(parts) != (2 if self.order == "count" else 1):
            raise InvalidInput("cursor", "not a next_cursor of this order")
        return int(parts[-1]), int(parts[0]) if self.order == "count" else None

    def chosen(self, catalog: Catalog) -> GroupFilter:
        """The filter, as the store takes it."""
        return GroupFilter(
            status=self.status,
            task_name=catalog.full_name(self.task),
            failure_type=self.type,
            dependency=self.dependency,
            tasks_of_dependency=catalog.relying_on(self.dependency),
            seen_from=self.seen_from,
            seen_to=self.seen_to,
            new_from=self.new_from,
            new_to=self.new_to,
            text=self.text,
        )

    def next_cursor(self, page: Page) -> str | None:
        """What the page after this one is asked for with; None at the end."""
        if page.next_before is None:
            return None
        return f"{page.items[-1]['failures']}-{page.next_before}" if self.order == "count" else str(page.next_before)


async def find_page(conn: AsyncConnection[Any], wanted: GroupQuery, catalog: Catalog) -> Page:
    """The page of groups that is asked for.

    Raises:
        InvalidInput: As `GroupQuery.position`.
    """
    before, before_count = wanted.position()
    return await groups.list_groups(
        conn,
        wanted.chosen(catalog),
        order=wanted.order,
        limit=wanted.limit,
        before=before,
        before_count=before_count,
        offset=wanted.offset,
    )


def dependencies_of(row: Row, catalog: Catalog) -> list[str]:
    """What the jobs named, and where some named none, what their tasks rely on."""
    named = set(row["dependencies"])
    if "" in named:
        known = (catalog.find(task) for task in row["tasks"])
        named |= {info.depends_on for info in known if info and info.depends_on}
    return sorted(named - {""})
