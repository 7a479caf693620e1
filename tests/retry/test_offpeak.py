"""The dear hours and what waiting for their end saves."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.retry.offpeak import PeakHours, is_deferrable, peak_end, saved

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "moment", "end"),
    [
        (PeakHours(9, 18, UTC), "2026-03-01T08:59:59", None),
        (PeakHours(9, 18, UTC), "2026-03-01T09:00:00", "2026-03-01T18:00:00"),
        (PeakHours(9, 18, UTC), "2026-03-01T18:00:00", None),
        (PeakHours(9, 18, BERLIN), "2026-03-01T08:30:00", "2026-03-01T17:00:00"),
        (PeakHours(9, 18, BERLIN), "2026-07-01T08:30:00", "2026-07-01T16:00:00"),
        (PeakHours(22, 6, UTC), "2026-03-01T23:00:00", "2026-03-02T06:00:00"),
        (PeakHours(22, 6, UTC), "2026-03-02T05:00:00", "2026-03-02T06:00:00"),
        (PeakHours(22, 6, UTC), "2026-03-02T12:00:00", None),
        (PeakHours(20, 24, UTC), "2026-03-01T21:00:00", "2026-03-02T00:00:00"),
        (PeakHours(0, 9, BERLIN), "2026-03-29T00:30:00", "2026-03-29T07:00:00"),
    ],
)
def test_peak_end(hours: PeakHours, moment: str, end: str | None):
    """Peak hours are by the clock on the wall of their zone, over midnight and over a change of that clock."""
    assert peak_end(at(moment), hours) == (at(end) if end else None)


@pytest.mark.parametrize(("start", "end"), [(9, 9), (-1, 5), (24, 5), (9, 25), (9, 0)])
def test_no_such_hours(start: int, end: int):
    """Hours that no day has are refused."""
    with pytest.raises(ValueError, match="peak hours are"):
        PeakHours(start, end, UTC)


@pytest.mark.parametrize(
    ("cost", "priority", "expected"), [("deferrable", 3, True), ("deferrable", 4, False), (None, 1, False)]
)
def test_who_waits(cost: str | None, priority: int, *, expected: bool):
    """Only what is marked deferrable waits, and only at low priority."""
    assert is_deferrable(cost, priority) is expected


def test_savings():
    """A run of half an hour saves half of an hour's price."""
    assert saved(timedelta(minutes=30), 4.0) == 2.0
