"""The keys in force, held in memory for a moment: a request costs no query, and a revoked key is soon refused."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection

from ..store import sign_ins
from ..store.keys import ApiKey, Role, hash_of, list_keys, new_hash_key, prefix_of, touch_key

FRESH_SECONDS = 1.0
"""How long the keys are not asked for again, and so how long a revoked one may still pass."""

ANSWER_SECONDS = 2.0
"""A database that takes longer is taken for silent: what was known last then stands, for what needs no database."""

TOUCH_SECONDS = 60.0
"""How exactly the last use of a key is known."""

BOOTSTRAP_NAME = "ADMIN_API_KEY"

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]

_log = logging.getLogger("afresh.keys")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: the name of a key, as the audit has it, and what its holder may do."""

    name: str
    role: Role


LOCAL = Caller("local", Role.ADMIN)
"""Whoever sits at this machine, while there are no keys."""


@dataclass(slots=True)
class Keyring:
    """Tells who holds a key.

    A ring that has once seen a key demands one for as long as the process lives: revoking the last key must not open
    the door.
    """

    connect: Connect
    admin_key: str | None = field(default=None, repr=False)
    _hash_key: bytes = field(default_factory=new_hash_key, repr=False)
    _keys: dict[str, ApiKey] = field(default_factory=dict, repr=False)
    _read_at: float | None = None
    _demanding: bool = False
    _touched: dict[str, float] = field(default_factory=dict, repr=False)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def demands_key(self) -> bool:
        """Whether a request needs a key.

        Raises:
            psycopg.OperationalError: The database never answered, and so nobody knows.
        """
        if self.admin_key is not None or self._demanding:
            return True
        await self._refresh()
        return self._demanding

    async def holder(self, key: str) -> Caller | None:
        """Who holds this key; None: nobody, or nobody any more.

        Raises:
            psycopg.OperationalError: The database never answered.
        """
        if self._is_admin_key(key):
            return Caller(BOOTSTRAP_NAME, Role.ADMIN)
        await self._refresh()
        found = self._keys.get(prefix_of(key))
        if found is None or not found.matches(key):
            return None
        await self._touch(found.prefix)
        return Caller(found.name, found.role)

    async def sign_in(self, key: str, caller: Caller) -> str:
        """Return a token that stands for the key of `caller`, for `sign_ins.LASTS`.

        Raises:
            psycopg.OperationalError: The database does not answer.
        """
        token = sign_ins.new_token()
        holder = _mark(key, token) if self._is_admin_key(key) else prefix_of(key)
        async with self.connect() as conn:
            await sign_ins.open_sign_in(conn, token, holder, actor=caller.name)
        return token

    async def signed_in(self, token: str) -> Caller | None:
        """Who has signed in with this token; None: nobody, it is over, or the key is not in force any more.

        Raises:
            psycopg.OperationalError: The database does not answer.
        """
        async with self.connect() as conn:
            holder = await sign_ins.find_sign_in(conn, token)
        if holder is None:
            return None
        if self.admin_key is not None and hmac.compare_digest(holder, _mark(self.admin_key, token)):
            return Caller(BOOTSTRAP_NAME, Role.ADMIN)
        await self._refresh()
        found = self._keys.get(holder)
        return None if found is None else Caller(found.name, found.role)

    async def sign_out(self, token: str, caller: Caller) -> None:
        """Let nobody pass with this token any more."""
        async with self.connect() as conn:
            await sign_ins.close_sign_in(conn, token, actor=caller.name)

    def _is_admin_key(self, key: str) -> bool:
        """Hashes are compared, with a key that ends with the process: lengths differ in nothing that can be timed."""
        if self.admin_key is None:
            return False
        return hmac.compare_digest(hash_of(self.admin_key, self._hash_key), hash_of(key, self._hash_key))

    async def _refresh(self) -> None:
        """Ask for the keys, unless that was a moment ago. Many requests at once ask once."""
        asked = time.monotonic()
        if self._is_fresh(asked):
            return
        async with self._reading:
            if self._is_fresh(asked):
                return
            try:
                async with asyncio.timeout(ANSWER_SECONDS), self.connect() as conn:
                    keys = await list_keys(conn)
            except (psycopg.OperationalError, TimeoutError) as error:
                if self._read_at is None:
                    raise psycopg.OperationalError("the keys cannot be read") from error
                _log.warning("The keys cannot be read; those known stand: %s", error)
            else:
                self._keys = {key.prefix: key for key in keys}
                self._demanding = self._demanding or bool(keys)
            self._read_at = time.monotonic()

    def _is_fresh(self, now: float) -> bool:
        return self._read_at is not None and now - self._read_at < FRESH_SECONDS

    async def _touch(self, prefix: str) -> None:
        now = time.monotonic()
        if now - self._touched.get(prefix, -TOUCH_SECONDS) < TOUCH_SECONDS:
            return
        self._touched = {known: self._touched[known] for known in self._touched if known in self._keys} | {prefix: now}
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.connect() as conn:
                await touch_key(conn, prefix)
        except (psycopg.OperationalError, TimeoutError) as error:
            _log.warning("The use of a key could not be noted: %s", error)


def _mark(admin_key: str, token: str) -> str:
    """What stands for ADMIN_API_KEY beside a token: with another value of it, the sign-in is over."""
    return hash_of(admin_key, token.encode("utf-8", "surrogatepass")[:64]).hex()
