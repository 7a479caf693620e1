"""The cookies of the dashboard, and the token of its forms. No other route changes anything on the word of a cookie.

All are HttpOnly and SameSite=Strict: no script reads them, and no other site has them sent.
"""

import hashlib
import hmac
from typing import Literal, TypedDict

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

SIGN_IN = "afresh_sign_in"
"""Who has signed in."""

VISITOR = "afresh_visitor"
"""What the forms of somebody who has not, or need not, are bound to."""

SAID = "afresh_said"
"""What the last action came to, for the next page."""

PAGES = "/dashboard"
"""Where the dashboard is. Under it, forms are taken for what they are."""

FORM_TYPE = "application/x-www-form-urlencoded"


class Attributes(TypedDict):
    """How each of them is set."""

    httponly: bool
    samesite: Literal["strict"]
    secure: bool
    path: str


def attributes(scheme: str, *, path: str = "/") -> Attributes:
    """Over TLS a cookie must not leave it; on loopback there is none."""
    return {"httponly": True, "samesite": "strict", "secure": scheme == "https", "path": path}


def cookie(headers: Headers, name: str) -> str | None:
    """The value of a cookie that a request carries; None: it carries none, or an empty one."""
    return cookie_parser(headers.get("cookie", "")).get(name) or None


def is_page(path: str) -> bool:
    """Whether a path belongs to the dashboard."""
    return path == PAGES or path.startswith(f"{PAGES}/")


def form_token(bound_to: str) -> str:
    """What a form carries to show that a page of ours made it for the holder of this cookie.

    Another site can have a form sent, and cannot read the cookie that this comes from.
    """
    return hashlib.blake2b(bound_to.encode("utf-8", "surrogatepass"), digest_size=32, person=b"afresh-form").hexdigest()


def fits(token: str, headers: Headers) -> bool:
    """Whether a form's token belongs to one of the request's cookies."""
    held = [value for name in (SIGN_IN, VISITOR) if (value := cookie(headers, name)) is not None]
    return any(hmac.compare_digest(form_token(each).encode(), token.encode("utf-8", "surrogatepass")) for each in held)
