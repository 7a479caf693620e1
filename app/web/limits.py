"""How much a request may bring along, and JSON that Postgres can keep: finite, not too deep, text without NUL."""

import json
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import BodyTooLarge, InvalidInput, MalformedBody
from .problem import response_to

MAX_BODY_BYTES = 1_000_000
MAX_BATCH_BYTES = 16_000_000
"""10 000 jobs of 1.6 KB each."""
MAX_DEPTH = 32
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class BodyLimit:
    """ASGI middleware that stops reading at `limit` bytes, whatever the headers promised.

    Paths that end as one of `larger` have a limit of their own.
    """

    def __init__(self, app: ASGIApp, *, limit: int = MAX_BODY_BYTES, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self._limit = limit
        self._larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        if _promised(scope) > limit:
            await response_to(BodyTooLarge(limit))(scope, receive, send)
        else:
            await self.app(scope, _counting(receive, limit), send)

    def _limit_of(self, path: str) -> int:
        return next((limit for suffix, limit in self._larger.items() if path.endswith(suffix)), self._limit)


def _counting(receive: Receive, limit: int) -> Receive:
    total = 0

    async def receive_counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise BodyTooLarge(limit)
        return message

    return receive_counted


def _promised(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0


class StrictRequest(Request):
    """A request whose JSON is refused where we could not store it as it is."""

    async def json(self) -> Any:
        """Return the body.

        Raises:
            MalformedBody: It is not JSON.
            InvalidInput: It is, but not storable; names the field.
        """
        if not hasattr(self, "_strict_json"):
            self._strict_json = parse(await self.body())
        return self._strict_json


class StrictRoute(APIRoute):
    """A route that reads its body as a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, given our kind of request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if request.method not in {"GET", "HEAD"} and await strict.body():
                await strict.json()  # Here and not in FastAPI, which turns whatever is raised into its own 400.
            return await handle(strict)

        return handle_strictly


def parse(body: bytes) -> Any:
    """Parse a JSON text.

    Raises:
        MalformedBody: It is none; NaN and Infinity are not JSON either.
        InvalidInput: It is too deep, or holds what Postgres cannot: a NUL, half a surrogate pair, a number too large.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise InvalidInput("body", f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:  # A JSONDecodeError, or an integer of more digits than Python takes.
        raise MalformedBody(f"the body is not JSON: {error}") from error
    _check(value)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any) -> None:
    """Look at every key and value, without recursion."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if fault := _fault(item) or ("nested too deep" if len(path) > MAX_DEPTH else None):
            raise InvalidInput(".".join(path) or "body", fault)
        if isinstance(item, dict):
            for key, child in item.items():
                if fault := _text_fault(key):
                    raise InvalidInput(".".join(path) or "body", f"a key {fault}")
                waiting.append(((*path, key), child))
        elif isinstance(item, list):
            waiting.extend(((*path, str(index)), child) for index, child in enumerate(item))


def _fault(item: Any) -> str | None:
    match item:
        case str():
            return _text_fault(item)
        case float():
            return None if math.isfinite(item) else "too large a number"
        case int():
            return None if _SMALLEST <= item <= _LARGEST else "an integer beyond 64 bits"
        case _:
            return None


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half a surrogate pair"
    return None
