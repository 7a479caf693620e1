"""Tracebacks that fold."""

import traceback

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.traceback import PYTHON, Part, parts

OWN = '  File "/srv/shop/orders.py", line 7, in order\n    pay()\n    ~~~^^\n'
LIBRARY = '  File "/srv/.venv/lib/python3.13/site-packages/httpx/_client.py", line 9, in get\n    return self.send()\n'
SINGLE = '  File "/srv/.venv/lib/python3.13/site-packages/six.py", line 3, in raise_from\n    raise value\n'
STANDARD = '  File "/usr/lib/python3.13/asyncio/runners.py", line 4, in run\n    return self._loop\n'
HEAD = "Traceback (most recent call last):\n"
END = "ValueError: no luck\n    at all\n"


def test_libraries_are_folded():
    """Frames of libraries stand together, with how many and whose they are; a person's own stay to be read."""
    assert parts(HEAD + OWN + LIBRARY + STANDARD + SINGLE + OWN + END) == [
        Part(HEAD + OWN),
        Part(LIBRARY + STANDARD + SINGLE, 3, ("httpx", PYTHON, "six")),
        Part(OWN + END),
    ]


def test_indented_message():
    """A message that is indented, as one of SQL is, belongs to no frame."""
    assert parts(LIBRARY + END)[-1] == Part(END)


def test_frozen_modules():
    """What Python has built in is not the person's own."""
    frozen = '  File "<frozen importlib._bootstrap>", line 1, in _load\n'
    assert parts(frozen) == [Part(frozen, 1, (PYTHON,))]


def test_real_traceback():
    """Of a real failure within a library, the line that called it is to be read, and the library is folded."""
    with pytest.raises(httpx.ConnectError) as caught:
        httpx.get("http://127.0.0.1:9/")
    text = "".join(traceback.format_exception(caught.value))
    found = parts(text)
    assert "".join(part.text for part in found) == text
    assert any('httpx.get("http://127.0.0.1:9/")' in part.text for part in found if not part.libraries)
    assert any("httpx" in part.libraries for part in found)


@given(st.lists(st.sampled_from([OWN, LIBRARY, STANDARD, HEAD, END, "\n", "  | ", "x"]) | st.text()).map("".join))
def test_nothing_is_lost(text: str):
    """Whatever stands there, joined together the parts are the same text."""
    assert "".join(part.text for part in parts(text)) == text
