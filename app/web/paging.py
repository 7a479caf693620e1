"""The words in which a client asks for a part of a list, and the form in which every list answers."""

from collections.abc import Callable
from typing import Annotated, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ..store.paging import COUNTED_EXACTLY, Page, Row
from .errors import InvalidInput

BIGGEST_ID = 2**63 - 1
BIGGEST_INTEGER = 2**31 - 1

Item = TypeVar("Item")

IsExact = Annotated[
    bool,
    Field(
        description=f"False: there are more than {COUNTED_EXACTLY:,}, and `total` is an estimate; or no index serves a "
        "filter, and `total` is what was found so far: there may be more."
    ),
]
"""How far the `total` beside it is to be believed."""


class PageQuery(BaseModel):
    """One page of a list that is sorted by id, newest first. What a list can be filtered by, it adds."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=BIGGEST_INTEGER)
    cursor: str | None = Field(None, max_length=20, description="`next_cursor` of the page before.")

    @property
    def before(self) -> int | None:
        """The id that the page before ended with.

        Raises:
            InvalidInput: The cursor is not one of ours.
        """
        if self.cursor is None:
            return None
        if not (self.cursor.isascii() and self.cursor.isdecimal() and int(self.cursor) <= BIGGEST_ID):
            raise InvalidInput("cursor", "not a next_cursor of ours")
        return int(self.cursor)


class PageOf(BaseModel, Generic[Item]):
    """Some of many, newest first."""

    items: list[Item]
    total: int = Field(description="How many the filter lets through, on all pages.", examples=[150])
    total_is_exact: IsExact
    next_cursor: str | None = Field(
        description="As `cursor`, it brings the next page; null at the end.", examples=["51"]
    )

    @classmethod
    def of(cls, page: Page, shape: Callable[[Row], Item]) -> Self:
        """A page of the store, each row as `shape` shows it."""
        return cls(
            items=[shape(row) for row in page.items],
            total=page.total,
            total_is_exact=page.total_is_exact,
            next_cursor=None if page.next_before is None else str(page.next_before),
        )
