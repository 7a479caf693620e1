"""A case: how to provoke an exception, what it must be taken for, and why."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.retry.classify import Context, classify
from app.retry.failure import Failure, FailureType
from app.retry.taxonomy import TAXONOMY

Provoke = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One exception of the corpus; `retry` None means what the type says."""

    name: str
    type: FailureType
    why: str
    provoke: Provoke
    retry: bool | None = None

    @property
    def retryable(self) -> bool:
        """Whether it must be tried again."""
        return TAXONOMY[self.type].retryable if self.retry is None else self.retry


@dataclass(frozen=True, slots=True)
class Raised:
    """A case and the exception it raised."""

    case: Case
    exception: BaseException

    def classified(self, context: Context = Context()) -> Failure:  # noqa: B008 - frozen
        """The engine's answer."""
        return classify(self.exception, context)


class Corpus:
    """Cases of one source, registered by decorator or as rows."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.cases: list[Case] = []

    def add(self, kind: FailureType, why: str, provoke: Provoke, *, name: str = "", retry: bool | None = None) -> None:
        """Register one case."""
        label = name or provoke.__name__
        self.cases.append(Case(f"{self.source}:{len(self.cases)}:{label}", kind, why, provoke, retry))

    def errors(
        self, why: str, *rows: tuple[BaseException, FailureType] | tuple[BaseException, FailureType, bool]
    ) -> None:
        """Register exceptions as their library makes them: the error, its type, and retry-or-not where that differs."""
        for row in rows:
            retry = row[2] if len(row) == 3 else None
            self.add(row[1], why, throw(row[0]), name=type(row[0]).__name__, retry=retry)

    def case(self, kind: FailureType, why: str, *, retry: bool | None = None) -> Callable[[Provoke], Provoke]:
        """Register a function that raises."""

        def register(provoke: Provoke) -> Provoke:
            self.add(kind, why, provoke, retry=retry)
            return provoke

        return register


def throw(exc: BaseException) -> Callable[[], None]:
    """A function that raises `exc`: for classes whose raising needs a server nobody has on a laptop."""

    def raiser() -> None:
        raise exc

    raiser.__name__ = type(exc).__name__
    return raiser


def provoke(case: Case, world: Any) -> Raised:
    """Run the case and keep what it raised.

    Raises:
        AssertionError: Nothing was raised.
    """
    wants_world = bool(inspect.signature(case.provoke).parameters)
    try:
        outcome = case.provoke(world) if wants_world else case.provoke()
        if inspect.isawaitable(outcome):
            asyncio.run(_wait(outcome))
    except BaseException as exc:  # noqa: BLE001 - the exception is the harvest
        return Raised(case, exc)
    raise AssertionError(f"{case.name} raised nothing")


async def _wait(awaitable: Any) -> None:
    await awaitable
