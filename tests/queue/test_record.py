"""What is kept of a traceback."""

import re
import traceback

import pytest

from app.queue.record import traceback_of


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
