"""Delivering requests to other people's hosts: signed, retried as the answer says, each host with its own breaker."""

import base64
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, validate_call

from ..config import HttpSettings, Settings
from ..queue.guarded import guarded
from ..queue.task import current_job, task
from .http.addresses import is_allowed
from .http.sending import Answer, Outgoing, Terms, send
from .http.shape import (
    LONGEST_WAIT,
    Headers,
    Key,
    Method,
    Redirects,
    Statuses,
    Timeout,
    Url,
    host_of,
    host_of_arguments,
    read_url,
)
from .missing import SettingMissing
from .origin import origin
from .trust import trusted

SUCCESS = range(200, 300)

_KEPT = frozenset({
    "content-type", "content-length", "content-language", "content-encoding", "date", "etag", "last-modified",
    "location", "retry-after", "server", "x-request-id", "request-id", "x-correlation-id", "traceparent",
})  # fmt: skip
"""Headers of an answer that are kept; never a cookie."""

_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "latin1", "windows-1252"})
"""Those that text comes in, "" if nothing is said. Python knows others by these names, and some of them unpack."""


def check(args: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """What is wrong with a request beyond the types of its parts. Where no host is allowed, its worker says so."""
    faults = {}
    if args.get("json") is not None and args.get("body") is not None:
        faults["body"] = "json and body: only one of them"
    host = host_of_arguments(args)
    allowed = settings.http.allowed_hosts
    if host is not None and allowed and not is_allowed(host, allowed):
        faults["url"] = f"{host[:200]} is not in HTTP_ALLOWED_HOSTS"
    return faults


@task(
    name="app.tasks.http_request.http_request",
    queue="http",
    priority=5,
    task_type="http",
    http=True,
    outbound=True,
    dependency_of=host_of_arguments,
    check=check,
    # Its own limit is the `timeout` among its arguments; this one is for what could go wrong around it.
    timeout=timedelta(seconds=LONGEST_WAIT + 30),
)
@validate_call(config=ConfigDict(strict=True, hide_input_in_errors=True))  # Only HTTP checks them before the job is.
async def http_request(  # noqa: PLR0913, PLR0917  The parts of a request.
    url: Url,
    method: Method = "POST",
    headers: Headers | None = None,
    json: Annotated[Any, Field(description="The body as JSON.")] = None,
    body: Annotated[str | None, Field(description="The body as text, in place of json.")] = None,
    timeout: Timeout = 30.0,  # noqa: ASYNC109  An argument of the job.
    success: Statuses | None = None,
    redirects: Redirects = 5,
    idempotency_key: Annotated[Key | None, Field(description="Else one that is made of the job.")] = None,
) -> dict[str, Any]:
    """Send a request, and keep what is answered.

    Returns:
        Status, headers and body of the answer, and whether that is all of the body; the Idempotency-Key; how many
        redirects were followed, and to where.

    Raises:
        httpx.HTTPStatusError: The status does not count as success.
        httpx.TransportError, TimeoutError: No answer came.
        Permanent: It may not go there, or a setting is missing.
    """
    name = (await origin()).name
    target = read_url(url)
    said = dict(headers or {})
    if json is not None:
        said = {"Content-Type": "application/json"} | said
    elif body is not None:
        said = {"Content-Type": "text/plain; charset=utf-8"} | said
    request = Outgoing(
        method=method,
        url=target,
        headers=said,
        body=orjson.dumps(json) if json is not None else (body or "").encode(),
        name=name,
        key=idempotency_key or name,
        seconds=timeout,
        redirects=redirects,
        success=success or SUCCESS,
    )
    host = host_of(target)
    async with _held_by(host):
        answer = await send(request, _terms(current_job().app.settings.http, host))
    return _result(answer, request)


def _held_by(host: str) -> AbstractAsyncContextManager[None]:
    """The host's breaker, where the job was let in under none: whoever submits by SQL need not name the host."""
    return guarded(host) if current_job().dependency is None else nullcontext()


def _terms(settings: HttpSettings, host: str) -> Terms:
    """What holds for a request to `host`. A job that names what it relies on is held by that alone, redirects too."""
    if not settings.allowed_hosts:
        raise SettingMissing("HTTP_ALLOWED_HOSTS", "api.example.com,*.partner.example")
    return Terms(
        allowed=settings.allowed_hosts,
        private=settings.private_networks,
        secrets=settings.secrets,
        trusted=trusted(),
        reach=guarded if current_job().dependency in {None, host} else lambda _: nullcontext(),
    )


def _result(answer: Answer, request: Outgoing) -> dict[str, Any]:
    return {
        "status": answer.status,
        "headers": {name: value for name, value in answer.headers.items() if name in _KEPT},
        **_body(answer),
        "body_is_whole": answer.is_whole,
        "idempotency_key": request.key,
        "redirects": answer.redirects,
        "answered_by": host_of(answer.url),
    }


def _body(answer: Answer) -> dict[str, str]:
    """The body as text where it is text, else in base64."""
    text = None if "content-encoding" in answer.headers else _text(answer)
    return {"body_base64": base64.b64encode(answer.body).decode()} if text is None else {"body": text}


def _text(answer: Answer) -> str | None:
    charset = answer.headers.get("content-type", "").lower().partition("charset=")[2].partition(";")[0].strip("\"' ")
    if charset not in _CHARSETS:
        return None
    # What was cut off may end within a character, of four bytes at most.
    for cut in range(1 if answer.is_whole else 4):
        try:
            text = answer.body[: len(answer.body) - cut].decode(charset or "utf-8")
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None
