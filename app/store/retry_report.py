"""What became of the retries of some days: the report as a value, to be stored and shown. Changes nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self

from psycopg import AsyncConnection

from ..postgres.sqlfiles import load
from ..retry.offpeak import saved
from .adaptation import sum_put_off
from .paging import fetch
from .trends import Tally

SQL = load("retry_report")

EVENTS_AT_ONCE = 200_000
"""Events that one statement counts at most."""

WORST = 20
"""Groups and dependencies that are named: where each host has its own breaker there may be thousands."""

QUEUES_OF_CLOCK = ("analytics", "cleanup", "maintenance", "monitoring")
"""Where what the clock runs for the service itself waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs of the period, but those that the clock ran for the service itself.

    Attributes:
        made: That were put into a queue.
        succeeded, failed, stopped: That ended so, whenever they were made; stopped: cancelled or aborted.
    """

    made: int = 0
    succeeded: int = 0
    failed: int = 0
    stopped: int = 0

    @property
    def ended(self) -> int:
        """All that ended."""
        return self.succeeded + self.failed + self.stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A failure group that was met in the period, with its failures of it. `is_new`: never before."""

    fingerprint: str
    failures: int
    failure_type: str
    exception_type: str | None
    message: str | None
    tasks: list[str]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Dead letters.

    Attributes:
        died: Of the period.
        still_pending: Those of them that nobody has replayed or given up.
        pending: All that wait for somebody, whenever they died.
    """

    died: int = 0
    still_pending: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """What retrying well has saved.

    Attributes:
        retries_ended_well: With which a job succeeded without anybody's help.
        put_off_runs: Runs that were put off to the quiet hours.
        put_off_seconds: How long those took.
        saved: What that time would have cost more, in the unit of PEAK_COST_PER_HOUR.
    """

    retries_ended_well: int = 0
    put_off_runs: int = 0
    put_off_seconds: float = 0.0
    saved: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """What became of a dependency whose breaker moved, or was not closed.

    Attributes:
        openings: Times that its breaker opened; a probe that failed is none.
        open_seconds: How long nothing but probes ran.
        held_seconds: How long it was held until somebody mended something, or isolated.
        ramping_seconds: How long its jobs came back little by little, or went at the pace of a rate limit.
        state: At the end of the period.
    """

    name: str
    openings: int = 0
    open_seconds: float = 0.0
    held_seconds: float = 0.0
    ramping_seconds: float = 0.0
    state: str = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryReport:
    """The report of one or more whole days, in UTC.

    Attributes:
        day, last_day: The first and the last.
        whole: All failures and retries.
        types: The same by failure type, the most frequent first; types not met are missing.
        groups, new_groups: How many were met, and for the first time.
        worst_groups: Those that failed most often.
        troubled: Dependencies that were in trouble.
        dependencies: Those that were so for the longest.
    """

    day: date
    last_day: date
    jobs: Jobs
    whole: Tally
    types: dict[str, Tally]
    groups: int
    new_groups: int
    worst_groups: list[Group]
    letters: Letters
    savings: Savings
    troubled: int
    dependencies: list[Outages]

    @property
    def share_ended_well(self) -> float | None:
        """Of the retries that ended, those that made their job succeed, from 0 to 1; None where none has ended."""
        return self.whole.share_ended_well

    def as_json(self) -> dict[str, Any]:
        """As it is stored, with what follows from it."""
        days = {"day": self.day.isoformat(), "last_day": self.last_day.isoformat()}
        return asdict(self) | days | {"share_ended_well": self.share_ended_well}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The report that was stored so."""
        return cls(
            day=date.fromisoformat(kept["day"]),
            last_day=date.fromisoformat(kept.get("last_day", kept["day"])),  # Older ones were of one day.
            jobs=Jobs(**kept["jobs"]),
            whole=Tally(**kept["whole"]),
            types={name: Tally(**tally) for name, tally in kept["types"].items()},
            groups=kept["groups"],
            new_groups=kept["new_groups"],
            worst_groups=[Group(**group) for group in kept["worst_groups"]],
            letters=Letters(**kept["letters"]),
            savings=Savings(**kept["savings"]),
            troubled=kept.get("troubled", len(kept.get("dependencies", []))),  # As above.
            dependencies=[Outages(**each) for each in kept.get("dependencies", [])],
        )


async def report_days(
    conn: AsyncConnection[Any], day: date, last_day: date, *, peak_cost_per_hour: float = 0.0
) -> RetryReport:
    """Make the report of days, in UTC. What is not kept any more is not in it; a million jobs take about a second."""
    since = datetime.combine(day, time(), UTC)
    until = datetime.combine(last_day, time(), UTC) + timedelta(days=1)
    stretch = {"since": since, "until": until}
    tallies = {row["failure_type"]: Tally.of(row) for row in await fetch(conn, SQL["sum_failures"], stretch)}
    groups = await fetch(conn, SQL["list_day_groups"], stretch | {"most": WORST})
    (letters,) = await fetch(conn, SQL["count_day_letters"], {"day": day, "last_day": last_day})
    outages = await fetch(conn, SQL["measure_outages"], stretch | {"most": WORST})
    put_off = await sum_put_off(conn, since, until=until)
    whole = tallies.pop(None, Tally())
    return RetryReport(
        day=day,
        last_day=last_day,
        jobs=await _count_jobs(conn, since, until),
        whole=whole,
        types=tallies,
        groups=groups[0]["groups"] if groups else 0,
        new_groups=groups[0]["new_groups"] if groups else 0,
        worst_groups=[Group(**{name: row[name] for name in Group.__dataclass_fields__}) for row in groups],
        letters=Letters(**letters),
        savings=Savings(
            retries_ended_well=whole.retries_succeeded,
            put_off_runs=put_off.runs,
            put_off_seconds=put_off.spent.total_seconds(),
            saved=saved(put_off.spent, peak_cost_per_hour),
        ),
        troubled=outages[0]["troubled"] if outages else 0,
        dependencies=[Outages(**{name: row[name] for name in Outages.__dataclass_fields__}) for row in outages],
    )


async def report_day(conn: AsyncConnection[Any], day: date, *, peak_cost_per_hour: float = 0.0) -> RetryReport:
    """As `report_days`, of one."""
    return await report_days(conn, day, day, peak_cost_per_hour=peak_cost_per_hour)


async def _count_jobs(conn: AsyncConnection[Any], since: datetime, until: datetime) -> Jobs:
    """Count from the events of the period, in stretches, and take off what the clock ran for the service itself."""
    (stretch,) = await fetch(conn, SQL["find_stretch"], {"since": since, "until": until})
    counted = Jobs()
    first = stretch["first"] or 0
    while first < (stretch["last"] or 0):
        last = min(first + EVENTS_AT_ONCE, stretch["last"])
        given = {"since": since, "until": until, "first": first, "last": last}
        (row,) = await fetch(conn, SQL["count_ended"], given)
        counted = Jobs(**{name: getattr(counted, name) + count for name, count in row.items()})
        first = last
    given = {"since": since, "until": until, "queues": list(QUEUES_OF_CLOCK)}
    (clocked,) = await fetch(conn, SQL["count_clocked"], given)
    return Jobs(**{name: getattr(counted, name) - count for name, count in clocked.items()})
