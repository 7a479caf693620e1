"""What every response tells a browser not to do. No page of ours needs anything from another host, or inline code."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # With no-referrer, browsers would send our own forms with "Origin: null".
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_ALWAYS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_CACHED = {b"etag", b"cache-control"}


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS`, and keeps answers out of caches unless a route says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back with more headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given: list[tuple[bytes, bytes]] = message["headers"]
                names = {name for name, _ in given}
                message["headers"] = given + [pair for pair in _ALWAYS if pair[0] not in names]
                if not names & _CACHED:  # Static files are revalidated; all else changes from moment to moment.
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        await self.app(scope, receive, send_with_headers)
