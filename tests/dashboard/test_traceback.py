"""Tracebacks that begin with what is a person's own."""

import asyncio
import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.traceback import PYTHON, Trace, read

OWN = '  File "/srv/shop/orders.py", line 7, in order\n    pay()\n    ~~~^^\n'
OTHER = '  File "/srv/shop/cards.py", line 8, in charge\n    raise_from(None)\n'
LIBRARY = '  File "/srv/.venv/lib/python3.13/site-packages/httpx/_client.py", line 9, in get\n    return self.send()\n'
SINGLE = '  File "/srv/.venv/lib/python3.13/site-packages/six.py", line 3, in raise_from\n    raise value\n'
STANDARD = '  File "/usr/lib/python3.13/asyncio/runners.py", line 4, in run\n    return self._loop\n'
HEAD = "Traceback (most recent call last):\n"
END = "ValueError: no luck\n    at all\n"


def test_own_frames_first():
    """A person's own frames are read first, in their order; a line says where libraries called one another between."""
    assert read(HEAD + STANDARD + OWN + LIBRARY + STANDARD + SINGLE + OTHER + LIBRARY + END) == Trace(
        HEAD + OWN + "  … 3 frames of httpx, Python, six\n" + OTHER + "  … 1 frame of httpx\n" + END,
        5,
        (PYTHON, "httpx", "six"),
    )


def test_all_ones_own():
    """Where no library is involved, there is nothing but what Python says."""
    assert read(HEAD + OWN + OTHER + END) == Trace(HEAD + OWN + OTHER + END)


def test_nothing_of_ones_own():
    """Where nobody's own code is involved, what was raised is still read at once."""
    assert read(HEAD + LIBRARY + END) == Trace(HEAD + END, 1, ("httpx",))


def test_indented_message():
    """A message that is indented, as one of SQL is, belongs to no frame."""
    assert read(LIBRARY + END).own == END


def test_repeated_lines():
    """That a frame was repeated is said of that frame, whoever's it is."""
    repeated = "  [Previous line repeated 990 more times]\n"
    assert read(HEAD + OWN + LIBRARY + repeated + END).own == HEAD + OWN + "  … 1 frame of httpx\n" + END
    assert read(HEAD + OWN + repeated + LIBRARY + END).own == HEAD + OWN + repeated + "  … 1 frame of httpx\n" + END


def test_frozen_modules():
    """What Python has built in is not the person's own."""
    assert read('  File "<frozen importlib._bootstrap>", line 1, in _load\n') == Trace("", 1, (PYTHON,))


class Strict(json.JSONDecoder):
    """JSON within JSON: a class that a library calls back, which calls the library again."""

    def decode(self, s: str, *args: Any) -> Any:
        return json.loads(super().decode(s, *args)["inside"])


def test_real_traceback():
    """Of a real failure own → library → own → library, both own lines are read first, then what was raised."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads('{"inside": "{"}', cls=Strict)
    text = "".join(traceback.format_exception(caught.value))
    found = read(text)
    files = [line for line in text.splitlines() if line.startswith("  File")]
    assert ["test_traceback" in line for line in files[:3]] == [True, False, True]
    lines = [line.strip() for line in found.own.splitlines() if not set(line) <= set(" ^~")]
    assert [line for line in lines if not line.startswith("File")] == [
        HEAD.strip(),
        """json.loads('{"inside": "{"}', cls=Strict)""",
        "… 1 frame of Python",
        'return json.loads(super().decode(s, *args)["inside"])',
        f"… {found.frames - 1} frames of Python",
        f"json.decoder.JSONDecodeError: {caught.value}",
    ]
    assert found.frames == len(files) - 2


def test_real_group():
    """In a group of exceptions, too, frames of libraries are told from one's own."""

    async def fail() -> None:
        await asyncio.sleep(0)
        json.loads("{")

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    found = read("".join(traceback.format_exception(caught.value)))
    assert '    |     json.loads("{")\n' in found.own
    assert "    |   … 3 frames of Python\n    | json.decoder.JSONDecodeError" in found.own
    assert "raw_decode" not in found.own


@given(st.lists(st.sampled_from([OWN, LIBRARY, STANDARD, HEAD, END, "\n", "  | ", "x"]) | st.text()).map("".join))
def test_nothing_is_invented(text: str):
    """Whatever stands there, what is read first are lines of it, in their order; without a library, all of them."""
    found = read(text)
    left = iter(text.splitlines())
    assert all(line in left for line in found.own.splitlines() if not line.lstrip(" |").startswith("… "))
    assert found.frames or found.own == text
