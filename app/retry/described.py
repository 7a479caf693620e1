"""An exception that somebody describes, as an object. Only classes that are loaded are known: none is imported."""

import sys

from .look import Look, storable


def as_described(name: str, message: str, *, status: int | None, sqlstate: str | None) -> BaseException | None:
    """An exception of the class of that qualified name, saying `message`; None where there can be none.

    It is made without its own `__init__`, whose arguments nobody described, and is there to be looked at, not raised.
    """
    kind = _loaded(name)
    if kind is None or issubclass(kind, BaseExceptionGroup):
        return None
    error = Look(Exception()).attempt(kind.__new__, kind)
    if not isinstance(error, kind):
        return None
    look = Look(error)
    given = {"args": (message,), "status_code": status, "sqlstate": sqlstate}
    given = {attribute: value for attribute, value in given.items() if value is not None}
    for attribute, value in given.items():
        look.attempt(setattr, error, attribute, value)
    faithful = look.text == storable(message) and all(look.read(each) == value for each, value in given.items())
    return error if faithful else None


def _loaded(name: str) -> type[BaseException] | None:
    module, _, short = name.rpartition(".")
    found = vars(sys.modules.get(module or "builtins") or sys).get(short)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
