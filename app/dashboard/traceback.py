"""Tracebacks as people read them: their own frames first, those of libraries folded away."""

import re
from typing import NamedTuple

_FRAME = re.compile(r'  File "([^"]*)", line \d')
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\]+)")
_PYTHON = re.compile(r"[/\\]lib(?:64)?[/\\]python3[^/\\]*[/\\]")

PYTHON = "Python"


class Part(NamedTuple):
    """Some lines of a traceback.

    Attributes:
        text: The lines as they are.
        frames: Of libraries; 0: none, and the lines are shown.
        libraries: Whose frames these are.
    """

    text: str
    frames: int = 0
    libraries: tuple[str, ...] = ()


def parts(text: str) -> list[Part]:
    """Split a traceback where frames of libraries begin and end; joined, the parts are `text` again."""
    found: list[Part] = []
    library: str | None = None
    for line in text.splitlines(keepends=True):
        frame = _FRAME.match(line)
        if frame:
            library = _library(frame[1])
        elif not line.startswith("    "):
            library = None
        found.append(Part(line, 1 if frame and library else 0, (library,) if library else ()))
        if len(found) > 1 and bool(found[-2].libraries) == bool(library):
            found[-2:] = [_joined(*found[-2:])]
    return found


def _library(file: str) -> str | None:
    """The library that a file belongs to; None: it is the person's own."""
    installed = _INSTALLED.search(file)
    if installed:
        return installed[1].removesuffix(".py")
    return PYTHON if file.startswith("<frozen") or _PYTHON.search(file) else None


def _joined(one: Part, two: Part) -> Part:
    libraries = tuple(dict.fromkeys((*one.libraries, *two.libraries)))
    return Part(one.text + two.text, one.frames + two.frames, libraries)
