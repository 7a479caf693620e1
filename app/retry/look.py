"""A careful look at one exception: its classes, attributes and text, whatever the exception does to stop it.

Nothing here imports the library that raised it, and no attribute it reads can make it raise.
"""

import builtins
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

MESSAGE_LIMIT = 4000
_STRIKES = 3
# Attributes that carry a code, an answer or a wrapped exception. One with none of them needs no such reader.
TELLING = frozenset({
    "sqlstate", "pgcode", "status_code", "http_status", "http_status_code", "status", "http_code", "statuscode", "code",
    "error_code", "errcode", "response_code", "response_status", "http_error_code", "response", "resp", "meta",
    "headers",
    "grpc_status_code", "details", "body", "type", "error", "orig", "reason", "os_error", "certificate_error", "exc",
    "cause", "original_exception", "original_error", "inner_exception", "inner", "original", "wrapped", "errors",
    "last_attempt", "kwargs", "retry_after", "retry_after_seconds", "retry_in", "retry_delay", "recipients",
    "smtp_code",
})  # fmt: skip
_ANSWERING = ("__getattr__", "__getattribute__")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# Forks and successors that kept their class names.
_ALIASES = {"httpx2": "httpx", "httpcore2": "httpcore", "psycopg2": "psycopg", "exceptiongroup": "builtins",
            "niquests": "requests", "urllib3_future": "urllib3"}  # fmt: skip
# A copy of a library inside another one: `botocore.vendored.requests`, `pip._vendor.urllib3`.
_COPIES = (".packages.", "._vendor.", ".vendored.", ".vendor.", ".extern.")


class Facts(NamedTuple):
    """What the class alone tells.

    Attributes:
        name: Qualified name, such as ``httpx.ConnectError``; builtins without their module.
        keys: For each class of the MRO, most derived first, ``package.Class``: stable when libraries move modules.
        roots: Top-level packages of the MRO.
        telling: Whether the class defines one of `TELLING`, or answers for names it does not define.
    """

    name: str
    keys: tuple[str, ...]
    roots: frozenset[str]
    telling: bool

    def is_a(self, key: str) -> bool:
        """Whether a class of this key is in the MRO."""
        return key in self.keys


def _key(module: str, name: str) -> str:
    for copies in _COPIES:
        module = module.rpartition(copies)[2]
    root = module.partition(".")[0]
    root = _ALIASES.get(root, root)
    if root.startswith("_") and not root.startswith("__"):
        root = root[1:]  # The C half of a library: `_csv`, `_pickle`, `_duckdb`.
    short = name.rpartition(".")[2]
    return short if root == "builtins" else f"{root}.{short}"


def _named(cls: type) -> tuple[str, str]:
    module, name = cls.__module__, cls.__qualname__
    return (module if type(module) is str else "?"), name


@lru_cache(maxsize=1024)
def facts_of(cls: type) -> Facts:
    """Read a class once."""
    named = [_named(c) for c in cls.__mro__ if c is not object]
    keys = tuple(_key(module, name) for module, name in named)
    module, name = named[0]
    full = name if module == "builtins" else f"{module}.{name}"
    return Facts(full[:300], keys, _roots(keys), _is_telling(cls))


def _roots(keys: Iterable[str]) -> frozenset[str]:
    return frozenset(key.rpartition(".")[0] for key in keys if "." in key)


def _is_telling(cls: type) -> bool:
    for klass in cls.__mro__:
        names = vars(klass)
        if not TELLING.isdisjoint(names) or (klass.__module__ != "builtins" and any(n in names for n in _ANSWERING)):
            return True
    return False


def facts_of_name(name: str) -> Facts:
    """Facts of a class that is only known by its qualified name; builtins keep their bases."""
    known = getattr(builtins, name.removeprefix("builtins."), None)
    if isinstance(known, type) and issubclass(known, BaseException):
        return facts_of(known)  # type: ignore[arg-type]  # A class is hashable.
    module, _, short = name.rpartition(".")
    key = _key(module, short) if module else short
    return Facts(name[:300], (key, "Exception"), _roots((key,)), telling=True)


class Surroundings(NamedTuple):
    """What readers may know beside the exception: see `classify.Context`."""

    task_name: str | None = None
    now: datetime | None = None
    retry_http_500: bool = False


NOWHERE = Surroundings()


class Look:
    """One link of the chain of causes, read with suspicion."""

    __slots__ = ("_strikes", "_text", "around", "depth", "exc", "facts", "implicit")

    def __init__(
        self,
        exc: BaseException,
        *,
        depth: int = 0,
        implicit: bool = False,
        facts: Facts | None = None,
        around: Surroundings = NOWHERE,
    ) -> None:
        """`implicit`: found as `__context__` only; `facts`: where only the name of the class is known."""
        self.exc = exc
        self.around = around
        self.depth = depth
        self.implicit = implicit
        self.facts = facts or facts_of(type(exc))  # type: ignore[arg-type]  # A class is hashable.
        self._text: str | None = None
        self._strikes = 0

    def read(self, name: str, *, of: Any = None) -> Any:
        """An attribute, or None where there is none or reading it raises."""
        return self.attempt(getattr, self.exc if of is None else of, name, None)

    def call(self, function: Any, *args: Any) -> Any:
        """The result of an accessor such as gRPC's ``code()``, or None."""
        return self.attempt(function, *args) if callable(function) else None

    def attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run foreign code; None when it raises. Three raises, and this exception is asked no more."""
        if self._strikes >= _STRIKES:
            return None
        try:
            return function(*args)
        except BaseException:  # noqa: BLE001 - foreign code: a property may raise anything, SystemExit too.
            self._strikes += 1
            return None

    def integer(self, name: str, *, of: Any = None) -> int | None:
        """An attribute that truly is an integer."""
        return as_int(self.read(name, of=of))

    def string(self, name: str, *, of: Any = None) -> str | None:
        """An attribute that truly is text."""
        return as_str(self.read(name, of=of))

    @property
    def tells(self) -> bool:
        """Whether it has any attribute worth reading."""
        return self.facts.telling or not TELLING.isdisjoint(self.attempt(vars, self.exc) or ())

    @property
    def text(self) -> str:
        """The message: storable as Postgres text and JSON, at most `MESSAGE_LIMIT` characters."""
        if self._text is None:
            self._text = storable(self.attempt(_text_of, self.exc) or "")
        return self._text


def _text_of(exc: BaseException) -> str:
    args = exc.args
    if len(args) == 1 and type(args[0]) is str and len(args[0]) > MESSAGE_LIMIT:
        # str() of a KeyError is the repr of its key: escape what is kept, not a megabyte.
        return repr(args[0][:MESSAGE_LIMIT]) if isinstance(exc, KeyError) else args[0]
    return str.__str__(str(exc))


def storable(text: str) -> str:
    """Cut to `MESSAGE_LIMIT`; without NUL and lone surrogates."""
    cut = text[:MESSAGE_LIMIT]
    return cut if cut.isascii() and "\0" not in cut else _UNSTORABLE.sub("", cut)


def as_int(value: Any) -> int | None:
    """The integer, if it is one and not a bool."""
    kind = type(value)
    if kind is int:
        return int(value)
    return int.__int__(value) if issubclass(kind, int) and kind is not bool else None


def as_str(value: Any) -> str | None:
    """The text, if it is text or bytes; at most `MESSAGE_LIMIT` characters."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)[:MESSAGE_LIMIT]
    return bytes(value[:MESSAGE_LIMIT]).decode("utf-8", "replace") if kind is bytes else None


def exceptions_in(values: Iterable[Any]) -> list[BaseException]:
    """Those of the values that are exceptions."""
    return [value for value in values if issubclass(type(value), BaseException)]
