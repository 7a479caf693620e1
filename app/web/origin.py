"""Who may speak to us: requests for our own host names, and changes only from our own pages or from no page at all.

The first defeats DNS rebinding, the second cross-site request forgery. Neither is a sign-in.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .cookies import FORM_TYPE, is_page
from .errors import ForeignHost, ForeignOrigin, NotJson, RemoteAddress, RequestRefused
from .problem import response_to

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They never change state."""

PROBES = frozenset({"/monitoring/live", "/monitoring/ready"})
"""They tell nothing, so anybody may ask: an orchestrator calls a machine by its number, no host name of ours."""

METRICS_PATH = "/metrics"
"""What METRICS_TOKEN opens. Prometheus finds the pods of a cluster by their numbers, and asks for it by these."""

_OWN_SITES = frozenset({"same-origin", "none"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginGuard:
    """ASGI middleware that refuses before anything else is read."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Collection[str] = ()) -> None:
        self.app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except RequestRefused as refusal:
            await response_to(refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope.get("path") in PROBES and scope.get("method") in SAFE_METHODS:
            return
        host = check_host(headers, self._hosts, by_number=scope.get("path") == METRICS_PATH)
        if scope.get("method") not in SAFE_METHODS:
            check_origin(headers, host)
            check_media_type(headers, form=is_page(scope["path"]))


def check_address(server: tuple[str, int | None] | None) -> None:
    """Let only connections pass that came in by the loopback address, or by a socket file.

    Raises:
        RemoteAddress: It came in by another one, for instance because a server was told to bind them all.
    """
    if server is not None and server[1] is not None and not is_loopback(server[0]):
        raise RemoteAddress("only requests to the loopback address are served, because there are no API keys")


def check_host(headers: Headers, allowed: Collection[str], *, by_number: bool = False) -> SplitResult:
    """Return the Host header, split, if it names this machine or one of `allowed`; or is an address, with `by_number`.

    Nobody can point an address of this machine elsewhere, as they can a name of theirs.

    Raises:
        ForeignHost: It is missing, given twice, malformed, or names another host.
    """
    given = headers.getlist("host")
    try:
        host = urlsplit(f"//{given[0]}") if len(given) == 1 else None
        name = host.hostname if host and host.netloc == given[0] and host.port != 0 else None
    except ValueError:
        host = name = None
    known = name is not None and (name in allowed or is_loopback(name) or (by_number and _address(name) is not None))
    if host is None or "@" in given[0] or not known:
        shown = ", ".join(given)[:200] or "none"
        raise ForeignHost(f"the Host header says {shown}; ALLOWED_HOSTS names what else is answered to")
    return host


def check_origin(headers: Headers, host: SplitResult) -> None:
    """Refuse a change that a browser sends on behalf of another site. Without a browser's headers it passes.

    Raises:
        ForeignOrigin: ``Sec-Fetch-Site`` or ``Origin`` names another site, or one that cannot be told.
    """
    if not _OWN_SITES.issuperset(headers.getlist("sec-fetch-site")):
        raise ForeignOrigin(f"Sec-Fetch-Site says {headers['sec-fetch-site'][:200]}")
    for origin in headers.getlist("origin"):
        if not _is_same(origin, host):
            raise ForeignOrigin(f"the Origin {origin[:200]} is not {host.netloc}")


def check_media_type(headers: Headers, *, form: bool) -> None:
    """Let a body pass only as JSON: what a page can send to another site without asking is of other types.

    The forms of our own pages are such; they carry a token, which is checked where they are read.

    Raises:
        NotJson: There is a body, of another type or of none.
    """
    has_body = headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and media_type != "application/json" and not (form and media_type == FORM_TYPE):
        raise NotJson(f"the Content-Type is {media_type[:200] or 'missing'}; send application/json")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, reachable from nowhere else."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name.strip("[]"))
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_same(origin: str, host: SplitResult) -> bool:
    """Whether both name one host and port. The scheme is not compared: behind a TLS proxy we do not know ours."""
    try:
        parts = urlsplit(origin)
        name, port = parts.hostname, parts.port
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    return default is not None and (name, port or default) == (host.hostname, host.port or default)
