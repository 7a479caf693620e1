"""Tracebacks as people read them: their own frames first, in Python's order; those of libraries folded away below."""

import re
from itertools import groupby
from typing import NamedTuple

_FRAME = re.compile(r'((?: *\| )?)  File "([^"]*)", line \d')
"""Of an exception group, a frame stands behind the line at its margin."""

_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\]+)")
_PYTHON = re.compile(r"[/\\]lib(?:64)?[/\\]python3[^/\\]*[/\\]")

PYTHON = "Python"


class Trace(NamedTuple):
    """A traceback, and what of it is read first.

    Attributes:
        own: The person's own frames and the exceptions, in their order. A line that begins with an ellipsis stands
            where libraries called one another in between.
        frames: Of libraries; 0: none, and `own` is all of it.
        libraries: Whose frames these are.
    """

    own: str
    frames: int = 0
    libraries: tuple[str, ...] = ()


class _Line(NamedTuple):
    """A line, the package whose frame it belongs to, whether that begins here, and what stands before it in a group."""

    text: str
    package: str | None
    begins: bool
    margin: str


def read(text: str) -> Trace:
    """Tell a person's own frames of a traceback from those of libraries."""
    shown: list[str] = []
    frames, libraries, met = 0, dict[str, None](), False
    for foreign, group in groupby(_lines(text), lambda line: line.package is not None):
        lines = list(group)
        if not foreign:
            shown += [line.text for line in lines]
            met = met or any(_FRAME.match(line.text) for line in lines)
            continue
        count, names = sum(line.begins for line in lines), dict.fromkeys(line.package or "" for line in lines)
        frames, libraries = frames + count, libraries | names
        if met:  # Before the first frame of one's own nobody looks for more.
            shown.append(f"{lines[0].margin}  \N{HORIZONTAL ELLIPSIS} {counted(count)} of {', '.join(names)}\n")
    return Trace("".join(shown), frames, tuple(libraries))


def counted(frames: int) -> str:
    """So many frames, in words."""
    return "1 frame" if frames == 1 else f"{frames} frames"


def _lines(text: str) -> list[_Line]:
    found: list[_Line] = []
    package: str | None = None
    margin = ""
    for line in text.splitlines(keepends=True):
        frame = _FRAME.match(line)
        if frame:
            margin, package = frame[1], _package(frame[2])
        elif not line.startswith((f"{margin}    ", f"{margin}  [Previous line repeated")):
            package = None
        found.append(_Line(line, package, frame is not None and package is not None, margin))
    return found


def _package(file: str) -> str | None:
    """The package that a file belongs to; None: it is the person's own."""
    installed = _INSTALLED.search(file)
    if installed:
        return installed[1].removesuffix(".py")
    return PYTHON if file.startswith("<frozen") or _PYTHON.search(file) else None
