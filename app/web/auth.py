"""Who may do what: every request is signed in before anything else is read, and every route names the role it needs.

Roles: a viewer reads; an operator submits, cancels, retries, pauses and resumes; an admin reads the audit, clears
queues and runs the server's own tasks. Without any key this machine's own user may do all of it, and nobody else
anything.
"""

import hmac
import time
from dataclasses import dataclass, field
from typing import Annotated

import psycopg
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..store.keys import Role
from .cookies import PAGES, SIGN_IN, cookie, is_page
from .errors import KeyNeeded, RequestRefused, RoleNeeded, TooManyWrongKeys, WrongKey
from .keyring import LOCAL, Caller, Keyring
from .origin import METRICS_PATH, PROBES, SAFE_METHODS, check_address
from .problem import response_to
from .sign_in_limit import SignInLimit

ASSETS = ("/docs/swagger/", "/docs/start/", "/dashboard/static/")
"""Files that every installation has alike. They, `PROBES` and `SIGN_IN_PATH` are all that needs no key."""

SIGN_IN_PATH = f"{PAGES}/sign-in"
"""The page where a key is given for a cookie."""


PROMETHEUS = Caller("METRICS_TOKEN", Role.VIEWER)


class Requires(HTTPBearer):
    """A route's dependency: the least role that may use it. It gives the route its caller.

    A scheme of FastAPI's, so that the description says what is needed; `SignIn` has read the key already.
    """

    def __init__(self, role: Role) -> None:
        super().__init__(scheme_name="HTTPBearer", description="A key made by `afresh keys create`, or ADMIN_API_KEY.")
        self.role = role

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # FastAPI takes whatever it gives.
        """Return the caller.

        Raises:
            KeyNeeded: Nobody signed in.
            RoleNeeded: The caller's role does not suffice.
        """
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            raise KeyNeeded
        if caller.role < self.role:
            raise RoleNeeded(self.role.label, caller.role.label)
        return caller


VIEWER = Depends(Requires(Role.VIEWER))
OPERATOR = Depends(Requires(Role.OPERATOR))
ADMIN = Depends(Requires(Role.ADMIN))

Viewer = Annotated[Caller, VIEWER]
Operator = Annotated[Caller, OPERATOR]
Admin = Annotated[Caller, ADMIN]


@dataclass(slots=True)
class Door:
    """Finds out who sends a request, by its key or by the cookie of whoever has signed in."""

    keyring: Keyring
    limit: SignInLimit = field(default_factory=SignInLimit)
    metrics_token: str | None = field(default=None, repr=False)

    async def caller(self, scope: Scope) -> Caller:
        """Who sends this request.

        Raises:
            RequestRefused: Nobody who may.
            psycopg.OperationalError: The database, which would know, does not answer.
        """
        key = key_of(Headers(scope=scope))
        if key is not None and scope["path"] == METRICS_PATH and self._is_metrics_token(key):
            return PROMETHEUS  # Asks no database: it is to be told also when that is silent.
        if key is not None:
            return await self.holder(key, address_of(scope))
        if await self.keyring.demands_key():
            token = sign_in_of(scope)
            caller = None if token is None else await self.keyring.signed_in(token)
            if caller is None:
                raise KeyNeeded
            return caller
        check_address(scope.get("server"))
        return LOCAL

    def _is_metrics_token(self, key: str) -> bool:
        token = self.metrics_token
        return token is not None and hmac.compare_digest(key.encode(), token.encode())

    async def holder(self, key: str, address: str) -> Caller:
        """Who holds a key that was sent from `address`.

        Raises:
            WrongKey: Nobody.
            TooManyWrongKeys: Nobody that is known there, and others have been wrong too often.
        """
        caller = await self.keyring.holder(key)
        if caller is not None and self.limit.is_welcome(address, caller.name):
            return caller
        now = time.monotonic()
        if wait := self.limit.wait(address, now):
            raise TooManyWrongKeys(wait)
        if caller is None:
            self.limit.fail(address, now)
            raise WrongKey
        self.limit.welcome(address, caller.name)
        return caller


@dataclass(slots=True)
class SignIn:
    """ASGI middleware that lets a request through the `door`, or refuses it, before its body is read."""

    app: ASGIApp
    door: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller in ``state``, or refuse it."""
        if scope["type"] == "lifespan" or is_public(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["caller"] = await self.door.caller(scope)
        except (RequestRefused, psycopg.OperationalError) as refusal:
            await response_to(refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def is_public(path: str) -> bool:
    """Whether a path needs no key."""
    return path in PROBES or path == SIGN_IN_PATH or path.startswith(ASSETS)


def address_of(scope: Scope) -> str:
    """Where a request comes from."""
    return str((scope.get("client") or ("unknown", 0))[0])


def sign_in_of(scope: Scope) -> str | None:
    """The token of whoever has signed in, where it counts: on a page, and for reading. None: there is none.

    A cookie is sent without anybody's doing, so that a change needs a form's own token besides, which only pages have.
    """
    if scope.get("method") not in SAFE_METHODS and not is_page(scope["path"]):
        return None
    return cookie(Headers(scope=scope), SIGN_IN)


def key_of(headers: Headers) -> str | None:
    """The key that a request carries; None: it carries none.

    Raises:
        WrongKey: What it carries is no bearer key, or there are two.
    """
    given = headers.getlist("authorization")
    if not given:
        return None
    scheme, _, key = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not key.strip():
        raise WrongKey
    return key.strip()
