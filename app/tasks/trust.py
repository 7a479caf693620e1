"""Whom the tasks' own HTTP clients trust."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """The certificates to trust, loaded once: that takes longer than a request."""
    return httpx.create_ssl_context()
