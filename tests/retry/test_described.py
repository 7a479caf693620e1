"""Failures in words: judged as the object would be, wherever its class is at hand."""

import sys
from typing import Self

import httpx
import psycopg.errors
import pytest

from app.retry.classify import classify
from app.retry.described import as_described
from app.retry.failure import FailureType


def described(name: str, message: str = "it went wrong") -> BaseException | None:
    """An exception of that name."""
    return as_described(name, message, status=None, sqlstate=None)


class UnmakeableError(Exception):
    """Refuses to be made."""

    def __new__(cls) -> Self:
        raise SystemExit


class UnspeakableError(Exception):
    """Says something else than it was told."""

    def __str__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("httpx.ReadError", FailureType.TRANSIENT_NETWORK),
        ("psycopg.errors.DeadlockDetected", FailureType.TRANSIENT_DATABASE),
        ("psycopg.errors.UniqueViolation", FailureType.PERMANENT_CONFLICT),
        ("TimeoutError", FailureType.TRANSIENT_TIMEOUT),
    ],
)
def test_a_class_that_is_loaded(name: str, kind: FailureType):
    """A class that this process knows is judged with its bases and its code, though only its name was given."""
    assert {httpx.__name__, psycopg.errors.__name__} <= set(sys.modules)
    error = described(name)
    assert error is not None
    failure = classify(error)
    assert (failure.type, failure.exception_type, failure.message) == (kind, name, "it went wrong")


@pytest.mark.parametrize(
    "name",
    ["", "nowhere.Such", "sys.modules", "os.path", "ExceptionGroup", f"{__name__}.UnmakeableError",
     f"{__name__}.UnspeakableError", "KeyError"],
)  # fmt: skip
def test_what_cannot_be_made(name: str):
    """Where there is no such class, or it would not say what was described, there is no object."""
    assert described(name) is None


def test_nothing_is_imported():
    """A description makes nobody import anything."""
    before = set(sys.modules)
    assert described("wave.Error") is None or "wave" in before
    assert described("this.Error") is None
    assert set(sys.modules) == before


def test_codes_are_kept():
    """A status and a SQLSTATE that were given are the object's."""
    error = as_described("RuntimeError", "x", status=503, sqlstate=None)
    assert error is not None
    assert classify(error).evidence[0].rule == "http.503"
    error = as_described("RuntimeError", "x", status=None, sqlstate="40001")
    assert error is not None
    assert classify(error).evidence[0].rule == "sqlstate.40001"
