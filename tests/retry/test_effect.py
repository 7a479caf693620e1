"""What may have happened on the other side: it decides whether a task that must not run twice is run again."""

import errno
import http.client

import aiohttp
import httpx
import pytest
import requests

from app.retry.classify import classify, from_description
from app.retry.evidence.known import NOT_SENT, SENT_PERHAPS
from app.retry.failure import Effect


def test_effect_of_a_refused_connection():
    """Nobody was there to see the request."""
    assert classify(ConnectionRefusedError(errno.ECONNREFUSED, "refused")).effect is Effect.NOT_SENT


@pytest.mark.parametrize("name", sorted(NOT_SENT | SENT_PERHAPS))
def test_effect_of_a_class(name: str):
    """Whether a call was sent is known of a class also where its kind is known of its base alone."""
    assert from_description(exception_type=name).effect is (Effect.NOT_SENT if name in NOT_SENT else Effect.UNKNOWN)


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        (httpx.ConnectTimeout("x"), Effect.NOT_SENT),
        (httpx.ReadError("x"), Effect.UNKNOWN),
        (requests.ReadTimeout("x"), Effect.UNKNOWN),
        (aiohttp.ConnectionTimeoutError("x"), Effect.NOT_SENT),
        (aiohttp.ClientConnectionResetError("x"), Effect.UNKNOWN),
        (aiohttp.ClientPayloadError("x"), Effect.UNKNOWN),
        (requests.exceptions.ChunkedEncodingError("x"), Effect.UNKNOWN),
        (http.client.IncompleteRead(b"half"), Effect.UNKNOWN),
    ],
    ids=lambda each: type(each).__name__,
)
def test_effect_of_a_client(error: Exception, effect: Effect):
    """A task that must not run twice is run again after a connection that was never made, and after no other one."""
    assert classify(error).effect is effect


@pytest.mark.parametrize("code", [2006, 2013, 2055])
def test_effect_of_a_statement_that_was_cut_off(code: int):
    """MySQL's client lost the server while it waited for what a statement came to."""
    lost = type("OperationalError", (Exception,), {"__module__": "pymysql.err"})
    assert classify(lost(code, "Lost connection to MySQL server during query")).effect is Effect.UNKNOWN


def test_effect_of_a_timeout():
    """Nobody knows what a call that timed out has done."""
    assert classify(TimeoutError()).effect is Effect.UNKNOWN
