"""Failures met before: a dependency that is down makes the same one, at the same place, a thousand times.

Only of exceptions that say nothing beyond their class, arguments, words and place: nothing else may have been read.
"""

import inspect
from functools import lru_cache
from types import CodeType, GetSetDescriptorType
from typing import Any

from .failure import Failure
from .look import Look
from .rules import Rule

MOST_KNOWN = 1_000
"""Failures that are remembered; then it begins anew."""

LONGEST_KNOWN = 400
"""Characters of a text, and frames of a traceback, beyond which a failure is not remembered."""

_known: dict[tuple[Any, ...], tuple[Failure, list[CodeType]]] = {}


class Sighting:
    """One failure, as far as it can be told from others by what is the same each time."""

    __slots__ = ("_codes", "_key")

    def __init__(self, look: Look, rules: tuple[Rule, ...], *asked: object) -> None:
        """`asked`: what the answer also depends on, hashable."""
        self._codes = _codes(look.exc) if _is_plain(look, rules) else None
        # Code is compared by its content, slowly; by its id while an entry keeps it alive.
        self._key = (type(look.exc), look.exc.args, look.text, *map(id, self._codes or ()), rules, asked)

    def recall(self) -> Failure | None:
        """What it was the last time."""
        known = _known.get(self._key) if self._codes else None
        return known[0] if known else None

    def remember(self, failure: Failure) -> Failure:
        """Keep what it is, and return it."""
        if self._codes:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[self._key] = (failure, self._codes)
        return failure


def _is_plain(look: Look, rules: tuple[Rule, ...]) -> bool:
    exc = look.exc
    return (
        _says_nothing_else(type(exc))  # type: ignore[arg-type]  # A class is hashable.
        and not exc.__dict__
        and type(exc.args) is tuple
        and exc.__cause__ is None
        and exc.__context__ is None
        and all(type(each) is str or type(each) is int for each in exc.args)
        and len(look.text) <= LONGEST_KNOWN
        and not any(rule.judge for rule in rules)
    )


@lru_cache(maxsize=1024)
def _says_nothing_else(cls: type[BaseException]) -> bool:
    """Whether what its instances know is in their dictionary, arguments and words.

    Not of a KeyError, of which the variables of its frame are asked too.
    """
    if issubclass(cls, KeyError | BaseExceptionGroup):
        return False
    return not any(
        _answers(name, value)
        for klass in cls.__mro__
        if klass.__module__ != "builtins"
        for name, value in vars(klass).items()
    )


def _answers(name: str, value: object) -> bool:
    """Whether this part of a class gives each instance an attribute of its own, beside what its dictionary holds."""
    if name in ("__dict__", "__weakref__") and type(value) is GetSetDescriptorType:
        return False
    return name in ("__getattr__", "__getattribute__") or inspect.isdatadescriptor(value)


def _codes(exc: BaseException) -> list[CodeType] | None:
    """What ran, outermost first; None if that is too much."""
    codes, trace = [], exc.__traceback__
    while trace is not None:
        codes.append(trace.tb_frame.f_code)
        if len(codes) > LONGEST_KNOWN:
            return None
        trace = trace.tb_next
    return codes
