"""Dependencies as they are spoken of from outside: which one is meant, and what operators do to it."""

from typing import Any

from psycopg import AsyncConnection

from ..queue.app import Afresh
from ..retry.breaker.states import Moved
from ..store import breakers
from ..store.breakers import Dependency
from ..telemetry import BreakerMoved, emit
from .errors import NothingToChange, UnknownDependency


async def find_dependency(conn: AsyncConnection[Any], queue: Afresh, name: str) -> Dependency:
    """The dependency of that name.

    Raises:
        UnknownDependency: No task names it, and it never failed.
    """
    found = await breakers.list_dependencies(conn, names=queue.own_dependencies()[1], name=name)
    if not found:
        raise UnknownDependency(name)
    return found[0]


def tasks_relying_on(queue: Afresh, name: str) -> list[str]:
    """The tasks of this server that name it, in order."""
    return sorted({task for task, on in zip(*queue.own_dependencies(), strict=True) if on == name})


async def isolate(conn: AsyncConnection[Any], name: str, *, actor: str, reason: str) -> None:
    """Let no job that relies on it start, nor any probe, until it is reset.

    Raises:
        NothingToChange: It is isolated already.
    """
    _tell(await breakers.isolate(conn, name, actor=actor, reason=reason), f"{name} is isolated already")


async def reset(conn: AsyncConnection[Any], queue: Afresh, name: str, *, actor: str, reason: str) -> None:
    """Let its waiting jobs out, slowly at first.

    Raises:
        UnknownDependency: As `find_dependency`.
        NothingToChange: It is called already.
    """
    await find_dependency(conn, queue, name)
    _tell(await breakers.reset(conn, name, actor=actor, reason=reason), f"{name} is not kept from being called")


async def probe(conn: AsyncConnection[Any], queue: Afresh, name: str, *, actor: str, reason: str) -> None:
    """Let the next probe go at once instead of at its time.

    Raises:
        UnknownDependency: As `find_dependency`.
        NothingToChange: It is not probed by the clock now.
    """
    await find_dependency(conn, queue, name)
    refusal = f"{name} is neither open nor held, so nothing is probed by the clock"
    _tell(await breakers.probe_now(conn, name, actor=actor, reason=reason), refusal)


def _tell(moved: Moved | None, refusal: str) -> None:
    if moved is None:
        raise NothingToChange(refusal)
    if moved.transition is not None:
        emit(BreakerMoved(moved.transition))
