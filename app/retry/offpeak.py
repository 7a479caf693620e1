"""Work that can wait for the quiet hours, and what that saves."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

DEFERRABLE_PRIORITY = 3
"""Jobs up to this priority wait; above it somebody is waiting for them."""


@dataclass(frozen=True, slots=True)
class PeakHours:
    """The dear hours of every day.

    Attributes:
        start: The first hour, 0 to 23, by the clock on the wall.
        end: The hour at which they end, 1 to 24. Below `start`: on the next day.
        zone: Where that clock hangs.

    Raises:
        ValueError: No such hours, or none between them.
    """

    start: int
    end: int
    zone: tzinfo

    def __post_init__(self) -> None:
        if not (0 <= self.start <= 23 and 1 <= self.end <= 24 and self.start != self.end):  # noqa: PLR2004  Hours.
            raise ValueError(f"peak hours are two hours of a day such as 9-18; got {self.start}-{self.end}")

    def __str__(self) -> str:
        return f"{self.start}\N{EN DASH}{self.end} {self.zone}"


def peak_end(moment: datetime, hours: PeakHours) -> datetime | None:
    """When the peak that `moment` lies in ends; None: it lies in none. `moment` is aware, and so is the answer."""
    local = moment.astimezone(hours.zone)
    past_midnight = hours.start > hours.end
    if past_midnight:
        inside = local.hour >= hours.start or local.hour < hours.end
    else:
        inside = hours.start <= local.hour < hours.end
    if not inside:
        return None
    days = 1 if (past_midnight and local.hour >= hours.start) or hours.end == 24 else 0  # noqa: PLR2004  Midnight.
    end = datetime.combine(local.date() + timedelta(days=days), time(hours.end % 24), hours.zone)
    return end.astimezone(moment.tzinfo)


def is_deferrable(cost: str | None, priority: int) -> bool:
    """Whether a job waits for the quiet hours: marked ``deferrable``, and of low priority."""
    return cost == "deferrable" and priority <= DEFERRABLE_PRIORITY


def saved(duration: timedelta, cost_per_hour: float) -> float:
    """What it saved that a run of that length was put off, in the unit of PEAK_COST_PER_HOUR."""
    return cost_per_hour * duration.total_seconds() / 3600
