"""Signing in with a key, for a cookie that stands for it; and signing out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ..store.sign_ins import LASTS
from ..web.auth import SIGN_IN_PATH, Door, address_of, sign_in_of
from ..web.cookies import PAGES, SIGN_IN, attributes, is_page
from ..web.errors import InvalidInput, RequestRefused
from ..web.problem import status_of
from .forms import ViewersForm, done, read_fields
from .frame import render

LONGEST_KEY = 500

entrance = APIRouter(prefix="/dashboard")
"""Needs no key."""

router = APIRouter(prefix="/dashboard")


async def _door_of(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


TheDoor = Annotated[Door, Depends(_door_of)]


@entrance.get("/sign-in")
async def show_sign_in(request: Request, door: TheDoor, to: Annotated[str, Query(max_length=2_000)] = "") -> Response:
    """Ask for a key, unless nobody needs one."""
    if not await door.keyring.demands_key():
        return RedirectResponse(PAGES, 303)
    return _page(request, _inside(to))


@entrance.post("/sign-in")
async def sign_in(request: Request, door: TheDoor) -> Response:
    """Give a cookie for a key."""
    form = dict(await read_fields(request))
    to = _inside(form.get("to", ""))
    key = form.get("key", "").strip()
    try:
        if not 0 < len(key) <= LONGEST_KEY:
            raise InvalidInput("key", "is missing" if not key else "is too long")
        caller = await door.holder(key, address_of(request.scope))
    except RequestRefused as refusal:
        return _page(request, to, fault=refusal)
    answer = RedirectResponse(to, 303)
    token = await door.keyring.sign_in(key, caller)
    answer.set_cookie(SIGN_IN, token, max_age=int(LASTS.total_seconds()), **attributes(request.url.scheme))
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, door: TheDoor, form: ViewersForm) -> Response:
    """Forget the cookie, here and there."""
    token = sign_in_of(request.scope)
    if token is not None:
        await door.keyring.sign_out(token, form.caller)
    answer = done(request, SIGN_IN_PATH, "You are signed out.")
    answer.delete_cookie(SIGN_IN, **attributes(request.url.scheme))
    return answer


def _page(request: Request, to: str, fault: RequestRefused | None = None) -> HTMLResponse:
    page = render(request, "sign_in.html", "Sign in", to=to, fault=fault)
    if fault is not None:
        page.status_code = status_of(fault)
    return page


def _inside(address: str) -> str:
    """Where to go after signing in: a page of ours, whatever the link that led here says."""
    path = address.partition("?")[0]
    return address if is_page(path) and address.isprintable() and "\\" not in address else PAGES
