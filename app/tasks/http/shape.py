"""The parts of a request as a job's arguments have them: what could not be sent is refused before the job exists."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, Field

LONGEST_URL = 4_000

LONGEST_WAIT = 300.0
"""Seconds that a request may take."""

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_PORTS = {None, *range(1, 65_536)}
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_OURS = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def read_url(text: str) -> httpx.URL:
    """Read an address.

    Raises:
        ValueError: It is none of http or https, has a password in it, or characters that an address has not.
    """
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("an address has no blanks, backslashes or control characters")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"not an address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.port not in _PORTS:
        raise ValueError("not an address such as https://api.example.com/hooks")
    if url.userinfo:
        raise ValueError("an address is stored and shown: send credentials in a header, such as Authorization")
    return url


def host_of(url: httpx.URL) -> str:
    """The host of an address, as breakers, budgets and settings name it: lower case, ``xn--…``, without a port."""
    return url.raw_host.decode("ascii").lower().strip("[]").rstrip(".")


def host_of_arguments(args: Mapping[str, Any]) -> str | None:
    """The host that a job is about; None: its arguments do not say."""
    url = args.get("url")
    try:
        return host_of(read_url(url)) if isinstance(url, str) else None
    except ValueError:
        return None


def _url(text: str) -> str:
    read_url(text)
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise ValueError(f"{name} is not for a job to say")
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise ValueError(f"the value of {name} has line breaks, blanks at an end, or characters beyond ASCII")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header occurs twice")
    return headers


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise ValueError("a key has printable ASCII characters only")
    return text


Url = Annotated[
    str, AfterValidator(_url), Field(max_length=LONGEST_URL, examples=["https://api.example.com/hooks/orders"])
]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    Field(max_length=50, description="Values of secret ones are masked wherever the job is shown."),
]
Timeout = Annotated[float, Field(gt=0, le=LONGEST_WAIT, description="Seconds, for all of it.")]
Statuses = Annotated[
    list[Annotated[int, Field(ge=200, le=599)]],
    Field(min_length=1, max_length=100, description="What counts as success; else 200 to 299."),
]
Redirects = Annotated[int, Field(ge=0, le=10, description="How many are followed.")]
Key = Annotated[str, AfterValidator(_key), Field(min_length=1, max_length=200)]
