"""Problems as pages: what a program reads as problem+json, a person who looks at a page reads as one.

Who has not signed in is led to where that is done.
"""

from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..web.auth import SIGN_IN_PATH
from ..web.cookies import PAGES, is_page
from ..web.origin import SAFE_METHODS
from ..web.problem import MEDIA_TYPE
from .frame import render

_UNAUTHORIZED = 401
_OF_THE_BODY = ("content-length", "content-type", "www-authenticate")


class ProblemPages:
    """ASGI middleware that shows the problems of pages to browsers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back, unless it is a problem."""
        if scope["type"] != "http" or not is_page(scope["path"]) or not _is_for_a_person(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        problem: list[Message] = []

        async def send_or_keep(message: Message) -> None:
            if not problem and not _starts_problem(message):
                await send(message)
                return
            problem.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await _page_of(Request(scope), problem)(scope, receive, send)

        await self.app(scope, receive, send_or_keep)


def _starts_problem(message: Message) -> bool:
    if message["type"] != "http.response.start":
        return False
    return Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE


def _is_for_a_person(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


def _page_of(request: Request, messages: list[Message]) -> Response:
    start, *rest = messages
    problem: dict[str, Any] = orjson.loads(b"".join(each.get("body", b"") for each in rest))
    if problem["status"] == _UNAUTHORIZED:
        return RedirectResponse(f"{SIGN_IN_PATH}?{urlencode({'to': _address(request)})}", 303)
    page = render(request, "problem.html", "", problem=problem, back=_came_from(request))
    page.status_code = problem["status"]
    headers = MutableHeaders(raw=list(start["headers"]))
    for name in _OF_THE_BODY:
        del headers[name]
    page.raw_headers.extend(headers.raw)
    return page


def _came_from(request: Request) -> str | None:
    """The page of ours whose link or form led here; None: that is not known."""
    try:
        came = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return None
    if came.netloc != request.headers.get("host") or not is_page(came.path):
        return None
    return came.path + (f"?{came.query}" if came.query else "")


def _address(request: Request) -> str:
    """Where to come back to: the page that was asked for, or where a form was that came too late."""
    if request.method not in SAFE_METHODS:
        return PAGES
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
