"""Who has signed in to the dashboard. Stores a token's hash; the token itself is in one browser, and nowhere else."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from .audit import record

SQL = load("sign_ins")

LASTS = timedelta(hours=12)
"""A working day, and no longer: whoever takes the machine over at night signs in anew."""

_TOKEN_BYTES = 32


async def open_sign_in(conn: AsyncConnection[Any], token: str, holder: str, *, actor: str) -> None:
    """Let whoever has `token` pass as `holder` for `LASTS`, with an audit row."""
    async with conn.transaction():
        await conn.execute(SQL["insert_sign_in"], {"token_hash": _hash(token), "holder": holder, "lasts": LASTS})
        await record(conn, actor=actor, action="dashboard.sign_in", target=actor)


async def find_sign_in(conn: AsyncConnection[Any], token: str) -> str | None:
    """Who signed in with this token; None: nobody, or it is over."""
    row = await (await conn.execute(SQL["find_sign_in"], {"token_hash": _hash(token)})).fetchone()
    return None if row is None else str(row[0])


async def close_sign_in(conn: AsyncConnection[Any], token: str, *, actor: str) -> None:
    """Let nobody pass with this token any more, with an audit row."""
    async with conn.transaction():
        await conn.execute(SQL["delete_sign_in"], {"token_hash": _hash(token)})
        await record(conn, actor=actor, action="dashboard.sign_out", target=actor)


def new_token() -> str:
    """256 random bits, as a cookie takes them."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def _hash(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32, person=b"afresh-sign-in").digest()
