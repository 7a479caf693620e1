"""Deferring periodic tasks: Procrastinate's own way, which lets a tick go after ten minutes, and one that does not.

What runs once a day and must not be left out says so (`Periodic.catches_up`): its last tick is made good by the worker
that comes next, whenever that is. Each tick is deferred once, however many workers there are: Postgres sees to that.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from procrastinate.periodic import PeriodicDeferrer, PeriodicRegistry, PeriodicTask

from ..postgres.sqlfiles import load
from .connector import AfreshConnector
from .task import declarations

if TYPE_CHECKING:
    from .app import Afresh

SQL = load("clock")


class PatientDeferrer(PeriodicDeferrer):
    """As Procrastinate's, and makes good for some tasks what was missed.

    Args:
        registry: All periodic tasks.
        known: By name, for those tasks: the last tick that was deferred, in seconds since 1970.
        options: Procrastinate's own.
    """

    def __init__(self, registry: PeriodicRegistry, known: Mapping[str, int], **options: Any) -> None:
        super().__init__(registry, **options)
        self._known = known

    def get_timestamps(
        self, periodic_task: PeriodicTask[Any, Any, Any], since: int | None, until: float
    ) -> Iterable[int]:
        """The ticks to defer: after an absence the last one alone."""
        found = list(super().get_timestamps(periodic_task, since, until))
        known = self._known.get(periodic_task.task.name)
        if found or since or known is None:
            return found
        last = round(periodic_task.croniter.get_prev(ret_type=float, start_time=until))
        return [last] if last > known else []


async def defer_periodically(app: "Afresh") -> None:
    """Defer each tick when it comes, until cancelled.

    Raises:
        psycopg.Error: The database is out of reach.
    """
    await PatientDeferrer(app.periodic_registry, await _last_ticks(app), **app.periodic_defaults).worker()


async def _last_ticks(app: "Afresh") -> dict[str, int]:
    """Those of tasks that catch up. One that never was deferred has missed nothing: a first start is no absence."""
    wanted = [name for name, schedule in declarations.schedules.items() if schedule.catches_up]
    if not wanted or not isinstance(app.connector, AfreshConnector):
        return {}
    async with app.connection() as conn:
        return dict(await (await conn.execute(SQL["find_last_ticks"], {"tasks": wanted})).fetchall())
