"""Which part of a list is asked for: the same words for every list."""

from pydantic import BaseModel, ConfigDict, Field

from .errors import InvalidInput

BIGGEST_ID = 2**63 - 1
BIGGEST_INTEGER = 2**31 - 1


class PageQuery(BaseModel):
    """One page of a list that is sorted by id, newest first."""

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
