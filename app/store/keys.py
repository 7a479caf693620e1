"""API keys and what their holders may do. Stores a key's hash; the key itself is returned once, and never kept."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.rows import dict_row, tuple_row

from ..postgres.sqlfiles import load
from .audit import record

SQL = load("keys")

RESERVED_NAMES = frozenset({"cli", "local", "system", "admin_api_key"})
"""Actors of the audit that are no keys."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}")
_DIGITS = string.digits + string.ascii_lowercase
_PREFIX_LENGTH = 10
_ALPHABET = string.digits + string.ascii_letters
_SECRET_LENGTH = 43  # 62 ** 43 > 2 ** 256
_HASH_BYTES = 32


class Role(IntEnum):
    """What a caller may do; each may do what those before it may.

    A viewer reads; an operator submits, cancels, retries, pauses, resumes and replays; an admin reads the audit, clears
    queues and runs the server's own tasks.
    """

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """As people type it."""
        return self.name.lower()


class KeyRefused(ValueError):  # noqa: N818  Reads as what happened.
    """A key cannot be made or revoked. The text is one line for a person."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key in force, without the key.

    Attributes:
        prefix: Its public part, such as ``afresh_3k9x0a7c2m``.
        hash: As `hash_of` makes it, of the whole key and `hash_key`.
        hash_key: 32 random bytes that are this key's alone.
        last_used_at: To the minute; None: never.
    """

    name: str
    role: Role
    prefix: str
    hash: bytes = field(repr=False)
    hash_key: bytes = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None

    def matches(self, key: str) -> bool:
        """Whether `key` is this one, in a time that tells nothing about how much of it is right."""
        return hmac.compare_digest(self.hash, hash_of(key, self.hash_key))


def new_hash_key() -> bytes:
    """32 random bytes to hash one key with."""
    return secrets.token_bytes(_HASH_BYTES)


def hash_of(key: str, hash_key: bytes) -> bytes:
    """BLAKE2b with a key of its own, 32 bytes. 256 random bits cannot be guessed, however fast guesses are made."""
    told = key.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, digest_size=_HASH_BYTES, key=hash_key, person=b"afresh-api-key").digest()


def prefix_of(key: str) -> str:
    """The public part of a key; of anything else, what it would be."""
    return key.rpartition("_")[0]


def new_key() -> str:
    """A key that nobody has: ``afresh_<public part>_<256 random bits>``, one word for a double click."""
    prefix = "".join(secrets.choice(_DIGITS) for _ in range(_PREFIX_LENGTH))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"afresh_{prefix}_{secret}"


async def create_key(conn: AsyncConnection[Any], name: str, role: Role, *, actor: str) -> str:
    """Make a key, with an audit row, and return it: it cannot be read again.

    Raises:
        KeyRefused: The name is taken, malformed, or means somebody else in the audit.
    """
    if not _NAME.fullmatch(name):
        raise KeyRefused(f"{name[:80]!r} is no name for a key: up to 63 letters, digits, spaces and ._@- are")
    if name.lower() in RESERVED_NAMES:
        raise KeyRefused(f"{name!r} means somebody else in the audit; choose another name")
    key, hash_key = new_key(), new_hash_key()
    values = {"name": name, "role": role.label, "prefix": prefix_of(key)}
    hashed = {"hash": hash_of(key, hash_key), "hash_key": hash_key}
    async with conn.transaction():
        cursor = await conn.execute(SQL["insert_key"], values | hashed)
        if await cursor.fetchone() is None:
            raise KeyRefused(f"there is a key called {name!r} already; revoke it first, or choose another name")
        details = {"role": role.label, "prefix": values["prefix"]}
        await record(conn, actor=actor, action="key.create", target=name, details=details)
    return key


async def revoke_key(conn: AsyncConnection[Any], name: str, *, actor: str) -> None:
    """End a key, with an audit row. Servers refuse it within `app.web.keyring.FRESH_SECONDS`.

    Raises:
        KeyRefused: No key in force has this name.
    """
    async with conn.transaction():
        row = await (await conn.execute(SQL["revoke_key"], {"name": name})).fetchone()
        if row is None:
            raise KeyRefused(f"no key in force is called {name!r}")
        await record(conn, actor=actor, action="key.revoke", target=name, details={"prefix": row[0]})


async def list_keys(conn: AsyncConnection[Any]) -> list[ApiKey]:
    """The keys in force, by name."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(SQL["list_keys"])).fetchall()
    return [ApiKey(**row | {"role": Role[row["role"].upper()]}) for row in rows]


async def touch_key(conn: AsyncConnection[Any], prefix: str) -> None:
    """Remember that a key was used."""
    await conn.execute(SQL["touch_key"], {"prefix": prefix})


def any_key(conn: Connection[Any]) -> bool:
    """Whether any key is in force."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(SQL["exists_key"]).fetchone()
    return row is not None and bool(row[0])
