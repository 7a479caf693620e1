"""Where alerts are sent: Apprise's addresses. They hold secrets, and so are named by a hash wherever one is stored."""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from ...redact import redact_text
from .rule import Severity

if TYPE_CHECKING:
    from apprise import Apprise

# Apprise is imported where it is used: it costs what all else of a worker costs, and is seldom needed.

_TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
"""As Apprise has them: some services show a colour or a sign for it."""


_sending = threading.Lock()
"""Apprise has one logger, whose level a capture of its lines sets, and sets back. Apprise gives up by itself."""


class NotDelivered(Exception):  # noqa: N818  Reads as what happened.
    """An address did not take a message. Apprise tells the reason only to its log; the text has what it said there.

    Attributes:
        retryable: The engine's word for: another try may help.
    """

    retryable = True


class UnknownChannel(LookupError):  # noqa: N818  As above.
    """The address is not in ALERT_URLS any more, or is none that Apprise understands."""

    retryable = False


def channel_of(url: str) -> str:
    """A name for an address that tells nothing of it but its kind: ``json-1f0c9a3b``."""
    scheme = url.partition("://")[0].lower()
    return f"{scheme}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def find_url(urls: Iterable[str], channel: str) -> str:
    """The address of that name.

    Raises:
        UnknownChannel: There is none.
    """
    for url in urls:
        if channel_of(url) == channel:
            return url
    raise UnknownChannel(f"no address of ALERT_URLS is called {channel}")


@cache
def is_understood(url: str) -> bool:
    """Whether Apprise knows what to do with an address. At first it loads a hundred plugins."""
    return bool(_courier(url))


async def deliver(url: str, *, title: str, body: str, severity: Severity) -> None:
    """Send one message to one address.

    Raises:
        UnknownChannel: Apprise does not understand the address.
        NotDelivered: It was not taken.
    """
    courier = await asyncio.to_thread(_courier, url)  # At first it loads a hundred plugins; the loop has jobs to run.
    if not courier:
        raise UnknownChannel(f"Apprise does not understand the address {channel_of(url)}")
    taken, said = await asyncio.to_thread(_send, courier, title, body, severity)
    if not taken:
        reason = redact_text(" ".join(said.split()))[-500:]
        raise NotDelivered(f"{channel_of(url)} did not take it: {reason or 'no reason was given'}")


def _send(courier: "Apprise", title: str, body: str, severity: Severity) -> tuple[bool, str]:
    """Whether it was taken, and what Apprise said to its log meanwhile; one at a time, or they hear each other."""
    from apprise import LogCapture, NotifyType

    with _sending, LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]  # It has no annotations.
        taken = courier.notify(body=body, title=title, notify_type=NotifyType(_TYPES[severity]))
        return bool(taken), said.getvalue()


def _courier(url: str) -> "Apprise":
    """Apprise with one address; it is empty, and so false, where that is not understood."""
    from apprise import Apprise

    courier = Apprise()
    courier.add(url)
    return courier
