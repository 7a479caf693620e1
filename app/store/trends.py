"""How failures and retries went over the last hours, and what they cost. Never changes anything."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from psycopg import AsyncConnection

from .failures import SQL
from .paging import Row, fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Failures of some kind in some time.

    Attributes:
        jobs: Jobs that met the type for the first time.
        retries: Decisions to try again, at the cost of an attempt.
        retries_failed: Retries that ended in such a failure.
        retries_succeeded: Retries after such a failure with which the job succeeded.
        retries_before_success: All retries of the jobs that succeeded so.
        deaths: Jobs that such a failure made dead letters.
        calls_of_dead: All attempts of those jobs.
        spent_seconds: Time of workers in the attempts that failed.
    """

    failures: int = 0
    jobs: int = 0
    retries: int = 0
    retries_failed: int = 0
    retries_succeeded: int = 0
    retries_before_success: int = 0
    deaths: int = 0
    calls_of_dead: int = 0
    spent_seconds: float = 0.0

    @classmethod
    def of(cls, row: Row) -> Self:
        """The numbers of a row, which has nulls where nothing was added up."""
        return cls(**{name: row[name] or 0 for name in cls.__dataclass_fields__})

    @property
    def retries_ended(self) -> int:
        """Retries of which it is known how they ended."""
        return self.retries_failed + self.retries_succeeded

    @property
    def share_ended_well(self) -> float | None:
        """Of the retries that ended, those that made their job succeed, from 0 to 1; None where none has ended."""
        return self.retries_succeeded / self.retries_ended if self.retries_ended else None

    @property
    def mean_retries(self) -> float | None:
        """Retries of a job until it succeeded or died, on average; None where none did."""
        ended = self.retries_succeeded + self.deaths
        retries = self.retries_before_success + self.calls_of_dead - self.deaths
        return retries / ended if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """The same failures, tallied in different ways. A kind that was not met is missing."""

    whole: Tally
    by_type: dict[str, Tally] = field(default_factory=dict)
    by_task: dict[str, Tally] = field(default_factory=dict)
    by_hour: dict[str, dict[datetime, Tally]] = field(default_factory=dict)
    """By type, then by the hour's beginning."""

    def failing_tasks(self, most: int) -> list[tuple[str, Tally]]:
        """The tasks that failed most often, the worst first."""
        failing = [(name, tally) for name, tally in self.by_task.items() if tally.failures]
        return sorted(failing, key=lambda pair: (-pair[1].failures, pair[0]))[:most]


async def find_trends(conn: AsyncConnection[Any], since: datetime) -> Trends:
    """Tally the failures since the hour that began at `since`."""
    rows = await fetch(conn, SQL["tally_failures"], {"since": since})
    trends = Trends(whole=Tally.of(next(row for row in rows if _is_whole(row))))
    for row in rows:
        if row["hour"] is not None:
            trends.by_hour.setdefault(row["failure_type"], {})[row["hour"]] = Tally.of(row)
        elif row["failure_type"] is not None:
            trends.by_type[row["failure_type"]] = Tally.of(row)
        elif row["task_name"] is not None:
            trends.by_task[row["task_name"]] = Tally.of(row)
    return trends


def _is_whole(row: Row) -> bool:
    return row["failure_type"] is None and row["task_name"] is None
