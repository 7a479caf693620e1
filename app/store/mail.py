"""What the mail server said of each recipient of a mail."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from psycopg import AsyncConnection

from ..postgres.sqlfiles import load

SQL = load("mail")

_REFUSED = 300


class Reply(NamedTuple):
    """A mail server's code, and its text."""

    code: int
    message: str

    @property
    def accepted(self) -> bool:
        """Whether the recipient gets the mail."""
        return self.code < _REFUSED


async def read_replies(conn: AsyncConnection[Any], origin: int, job_id: int) -> dict[str, Reply]:
    """What is known: who has the mail from any job since `origin`, and who was refused it for good for this job."""
    cursor = await conn.execute(SQL["read_replies"], {"origin": origin, "job_id": job_id})
    return {address: Reply(code, message) for address, code, message in await cursor.fetchall()}


async def keep_replies(conn: AsyncConnection[Any], origin: int, job_id: int, replies: Mapping[str, Reply]) -> None:
    """Keep what was said to a job, by recipient."""
    rows = [{"address": who, "code": reply.code, "message": reply.message} for who, reply in replies.items()]
    given = {"origin": origin, "job_id": job_id, "replies": orjson.dumps(rows).decode()}
    await conn.execute(SQL["keep_replies"], given)
