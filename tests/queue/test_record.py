"""What is kept of a traceback."""

import re
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from procrastinate.jobs import Job

from app.queue.claim import Claimed
from app.queue.record import Run, explained, failed, traceback_of
from app.retry.classify import classify
from app.retry.policy import Retry, Step
from app.telemetry import Attempt


class Unreadable(Exception):  # noqa: N818  It is what it says.
    """Raises over its own text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Inner:
    class FailedError(ValueError):
        """A class in a class."""


def noted(error: Exception) -> Exception:
    """With two notes."""
    error.add_note("seen twice")
    error.add_note("on\nMonday")
    return error


def fail(error: Exception) -> None:
    """Raise with a cause, which came while something else was handled."""
    try:
        try:
            int("missing")
        except ValueError:
            raise OSError(111, "refused", "file")  # noqa: B904  The context is what is wanted.
    except OSError as cause:
        raise error from cause


def raised(error: Exception) -> Exception:
    """As it comes out of a task."""
    with pytest.raises(type(error)) as found:
        fail(error)
    return found.value


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        ValueError(),
        ValueError("several\nlines"),
        KeyError("a key"),
        ConnectionRefusedError(111, "Connect call failed"),
        Inner.FailedError("inner"),
        re.error("bad pattern", "(", 0),
        noted(ValueError("noted")),
        SyntaxError("invalid syntax", ("file.py", 3, 5, "a b", 3, 6)),
        NameError("name 'tracebak' is not defined", name="tracebak"),
        AttributeError("no attribute", name="fomat", obj=""),
        ImportError("cannot import name", name="os"),
        ExceptionGroup("several", [ValueError("one"), noted(KeyError("two"))]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_as_the_standard_library(error: Exception):
    """A traceback reads as Python's own: causes first, names with their modules, notes, suggestions, groups."""
    found = raised(error)
    assert traceback_of(found) == "".join(traceback.format_exception(found))


def test_without_words():
    """An exception whose text cannot be read still says where it was raised and what it was."""
    text = traceback_of(raised(Unreadable()))
    assert "raise error from cause" in text
    assert text.endswith(f"{__name__}.Unreadable: <exception str() failed>\n")


def refuse(first: bool) -> None:  # noqa: FBT001  Which line it is matters, not how it is chosen.
    """Raise the same at one of two lines."""
    if first:
        raise ConnectionRefusedError(111, "refused")
    raise ConnectionRefusedError(111, "refused")


def ending(first: bool) -> dict[str, Any]:  # noqa: FBT001  As above.
    """What is stored of a run that failed there."""
    now = datetime.now(UTC)
    job = Job(id=1, queue="q", lock=None, queueing_lock=None, task_name="refuse", worker_id=1)
    run = Run(Claimed(job, 1, 1), Attempt("refuse", 1, None, 1, "q"), now, now, None)
    with pytest.raises(ConnectionRefusedError) as found:
        refuse(first)
    step = Step("policy", "waits", {})
    retry = Retry(now, timedelta(0), (step,))
    return failed(run, classify(found.value), retry, explained(retry), found.value)


def test_told_once():
    """The same failure at the same line is one object, which is sent once; at another line it keeps its own."""
    here, again, there = (ending(first)["failure"] for first in (True, True, False))
    assert here is again
    assert here["fingerprint"] == there["fingerprint"]
    assert here["traceback"] != there["traceback"]
