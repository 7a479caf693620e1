"""The jokes that were fetched. One that is kept twice is there once."""

from dataclasses import asdict, dataclass
from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("jokes")


@dataclass(frozen=True, slots=True)
class Joke:
    """A joke; `id` is the joke API's own number."""

    id: int
    type: str
    setup: str
    punchline: str


async def keep_joke(conn: AsyncConnection[Any], joke: Joke) -> None:
    """Insert the joke, or bring the one with its number up to date."""
    await conn.execute(SQL["keep_joke"], asdict(joke))
