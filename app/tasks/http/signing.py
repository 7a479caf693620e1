"""The signature of Standard Webhooks: HMAC-SHA256 over the message's name, the time and the body."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from .addresses import fits


def secrets_of(host: str, secrets: Mapping[str, Sequence[bytes]]) -> Sequence[bytes]:
    """The secrets of a host: its own before those of a pattern, a longer pattern before a shorter one."""
    fitting = [pattern for pattern in secrets if fits(host, pattern)]
    return secrets[max(fitting, key=lambda pattern: (pattern == host, len(pattern)))] if fitting else ()


def signed(secrets: Sequence[bytes], *, name: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers that prove where a message comes from, and when; with two secrets there are two signatures."""
    at = str(int(now.timestamp()))
    content = b".".join((name.encode(), at.encode(), body))
    macs = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": " ".join(f"v1,{mac}" for mac in macs)}
