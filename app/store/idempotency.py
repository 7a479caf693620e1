"""What an Idempotency-Key stands for. It removes double submission, never double execution."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..postgres.sqlfiles import load
from .steps import delete_in_steps

SQL = load("idempotency")

EXPIRED_AT_ONCE = 5_000
"""Keys that one statement forgets at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A key that a request comes with.

    Attributes:
        actor: The API key; two of them never share an Idempotency-Key.
        route: What is asked for, such as ``POST /tasks/<name>``.
        body_hash: SHA-256 of the validated body in canonical JSON.
        ttl: How long it is remembered.
    """

    actor: str
    route: str
    key: str
    body_hash: bytes
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the first request with a key has made: a job or a batch, and from which body."""

    body_hash: bytes
    job_id: int | None
    batch_id: int | None


async def find_claim(conn: AsyncConnection[Any], claim: Claim) -> Claimed | None:
    """Return what the key stands for, and count the repeat if it is one; None where it is free or has expired."""
    async with conn.cursor(row_factory=class_row(Claimed)) as cursor:
        await cursor.execute(SQL["find_claim"], asdict(claim))
        return await cursor.fetchone()


async def expire_claims(conn: AsyncConnection[Any]) -> int:
    """Forget keys whose time has passed, in small steps; return how many there were."""
    return await delete_in_steps(conn, SQL["expire_claims"], {}, most=EXPIRED_AT_ONCE)
