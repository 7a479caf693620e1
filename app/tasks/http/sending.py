"""Sending one request to wherever it leads, and reading as much of the answer as is kept."""

import asyncio
import ssl
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus

import httpx

from ...redact import is_secret
from ...retry.markers import Permanent
from ..no_answer import naming
from .addresses import HostNotAllowed, Network, Resolve, is_allowed, resolve
from .shape import host_of, read_url
from .signing import secrets_of, signed
from .transport import CheckedTransport

LARGEST_BODY = 65_536
"""Bytes of an answer that are kept."""

CONNECT_SECONDS = 10.0

_MOVED = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER = 303
_WITHOUT_KEY = frozenset({"GET", "HEAD", "OPTIONS"})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_ABOUT_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
_STALE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every request of this installation.

    Attributes:
        allowed: Patterns of hosts.
        private: Networks that are not public and may be reached.
        reach: What is around each request to a host that a redirect leads to, such as its breaker.
        secrets: What is signed with, by pattern of host.
    """

    allowed: Sequence[str]
    private: Sequence[Network] = ()
    secrets: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)
    trusted: ssl.SSLContext = field(default_factory=httpx.create_ssl_context, repr=False)
    resolve: Resolve = resolve
    reach: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: nullcontext()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request to be sent.

    Attributes:
        name: What the other side knows it by, at every try.
        key: Goes along as Idempotency-Key, where the method changes anything.
        seconds: For all of it, with its redirects.
        success: Statuses that count as success; None: all do.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""
    name: str
    key: str
    seconds: float
    redirects: int
    success: Container[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        url: Of whoever answered in the end.
        body: Its beginning.
        is_whole: That is all of it.
    """

    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes
    is_whole: bool
    redirects: int

    def refusal(self, request: Outgoing) -> Exception:
        """The error that this answer is where it does not count as success."""
        said = " ".join(self.body[:300].decode(errors="replace").split())
        text = f"{request.method} {_where(self.url)} answered {self.status} {_phrase(self.status)}".rstrip()
        text += f": {said}" if said else ""
        if self.status < HTTPStatus.MULTIPLE_CHOICES:
            return Permanent(f"{text} (not among the statuses that count as success)")
        headers = [(name, value) for name, value in self.headers.multi_items() if name.lower() not in _STALE]
        asked = httpx.Request(request.method, self.url)
        response = httpx.Response(self.status, headers=headers, content=self.body, request=asked)
        return httpx.HTTPStatusError(text, request=asked, response=response)


def _where(url: httpx.URL) -> str:
    """An address without its query, in which there may be a secret."""
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


class RedirectRefused(Permanent):
    """The other side sends us on to where we do not go."""


async def send(request: Outgoing, terms: Terms) -> Answer:
    """Send a request, follow it where it is sent on to, and return the last answer.

    Raises:
        httpx.HTTPStatusError, Permanent: Its status does not count as success.
        HostNotAllowed, AddressNotAllowed, RedirectRefused: It may not go there.
        httpx.TransportError, TimeoutError: No answer came.
    """
    timeout = httpx.Timeout(request.seconds, connect=min(CONNECT_SECONDS, request.seconds))
    transport = CheckedTransport(terms.trusted, terms.resolve, terms.private)
    with naming(f"{request.method} {_where(request.url)}", seconds=request.seconds):
        async with (
            asyncio.timeout(request.seconds),  # httpx's times are for each step, and a server can make many of them.
            httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False) as client,
        ):
            return await _follow(client, request, terms)


async def _follow(client: httpx.AsyncClient, request: Outgoing, terms: Terms) -> Answer:
    _refuse_unless_allowed(request.url, terms, redirected=False)
    first = host_of(request.url)
    for followed in range(request.redirects + 1):
        host = host_of(request.url)
        async with nullcontext() if host == first else terms.reach(host):
            answer = await _exchange(client, request, terms, followed)
            location = answer.headers.get("location")
            if answer.status not in _MOVED or location is None or not request.redirects or _is_wanted(answer, request):
                return _unless_refused(answer, request)
        request = _moved(request, answer.status, location)
        _refuse_unless_allowed(request.url, terms, redirected=True)
    raise RedirectRefused(f"redirected more than {request.redirects} times, at last to {host_of(request.url)}")


def _is_wanted(answer: Answer, request: Outgoing) -> bool:
    return request.success is not None and answer.status in request.success


def _unless_refused(answer: Answer, request: Outgoing) -> Answer:
    if request.success is None or _is_wanted(answer, request):
        return answer
    raise answer.refusal(request)


def _refuse_unless_allowed(url: httpx.URL, terms: Terms, *, redirected: bool) -> None:
    if not is_allowed(host_of(url), terms.allowed):
        raise HostNotAllowed(host_of(url), redirected=redirected)


async def _exchange(client: httpx.AsyncClient, request: Outgoing, terms: Terms, followed: int) -> Answer:
    made = client.build_request(
        request.method, request.url, headers=_headers(request, terms), content=request.body or None
    )
    response = await client.send(made, stream=True)
    try:
        body, is_whole = await _read(response)
    finally:
        await response.aclose()
    return Answer(
        url=request.url,
        status=response.status_code,
        headers=response.headers,
        body=body,
        is_whole=is_whole,
        redirects=followed,
    )


def _headers(request: Outgoing, terms: Terms) -> dict[str, str]:
    """What is said by default, then what the job says, then the signature, which is ours alone."""
    default = {"User-Agent": "Afresh", "Accept": "*/*", "Accept-Encoding": "identity"}
    if request.method not in _WITHOUT_KEY:
        default["Idempotency-Key"] = request.key
    said = {name.lower() for name in request.headers}
    headers = {name: value for name, value in default.items() if name.lower() not in said} | dict(request.headers)
    if secrets := secrets_of(host_of(request.url), terms.secrets):
        headers |= signed(secrets, name=request.name, now=terms.now(), body=request.body)
    return headers


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """The beginning of an answer, as it came, and whether that is all: nothing is unpacked, however small it looks."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST_BODY:
            return bytes(body[:LARGEST_BODY]), False
    return bytes(body), True


def _moved(request: Outgoing, status: int, location: str) -> Outgoing:
    """The same request to where it was sent on. Only 303 makes a GET of it: else a POST would get lost on the way."""
    try:
        url = read_url(str(request.url.join(location)))
    except (ValueError, httpx.InvalidURL) as error:
        raise RedirectRefused(f"redirected to what is no address: {error}") from error
    if request.url.scheme == "https" and url.scheme != "https":
        raise RedirectRefused(f"redirected from https to {url.scheme}, where everybody on the way can read it")
    headers = dict(request.headers)
    if _origin(url) != _origin(request.url):
        headers = {name: value for name, value in headers.items() if not _is_credential(name)}
    moved = replace(request, url=url, headers=headers)
    if status != _SEE_OTHER or request.method == "HEAD":
        return moved
    headers = {name: value for name, value in headers.items() if name.lower() not in _ABOUT_BODY}
    return replace(moved, method="GET", body=b"", headers=headers)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, host_of(url), url.port or (443 if url.scheme == "https" else 80)


def _is_credential(name: str) -> bool:
    """What is for the first host alone: also keys and tokens in headers of its own."""
    return name.lower() in _CREDENTIALS or is_secret(name)
