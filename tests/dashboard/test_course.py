"""The course of a job, drawn to scale."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from app.dashboard.course import drawn_course, why_then

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A time by its distance from now."""
    return NOW + timedelta(seconds=seconds)


def job(**changed: Any) -> dict[str, Any]:
    """A job that was made a hundred seconds ago."""
    return {"status": "todo", "created_at": at(-100), "scheduled_at": None, "started_at": None} | changed


def attempt(number: int, started: float, ended: float, outcome: str = "failed", **changed: Any) -> dict[str, Any]:
    """A run that has ended."""
    row = {"attempt": number, "started_at": at(started), "ended_at": at(ended), "outcome": outcome}
    return row | {"next_run_at": None, "explanation": None, "reason": None} | changed


def drawn(*given: Any) -> list[tuple[str, str, float, float]]:
    """Kind, words, begin and width of each stretch."""
    chart = drawn_course(given[0], given[1:], NOW)
    assert chart is not None
    rects = ET.fromstring(chart).iter("rect")  # noqa: S314 - it was made here.
    return [
        (each.attrib["class"], each.findtext("title") or "", float(each.attrib["x"]), float(each.attrib["width"]))
        for each in rects
    ]


def test_waits_and_runs():
    """Runs, the waits between them, and what is to come are drawn one after the other, to scale."""
    found = drawn(job(scheduled_at=at(100)), attempt(1, -90, -80), attempt(2, -50, -40, "snoozed"))
    assert found == [
        ("wait", "waited 10 s", 0, 5),
        ("failed", "attempt 1 failed after 10 s", 5, 5),
        ("wait", "waited 30 s", 10, 15),
        ("snoozed", "attempt 2 snoozed after 10 s", 25, 5),
        ("wait", "has waited 40 s", 30, 20),
        ("ahead", "runs in 100 s", 50, 50),
    ]


def test_running():
    """What runs is drawn up to now."""
    assert drawn(job(status="doing", started_at=at(-25)))[-1] == ("running", "runs for 25 s", 75, 25)


def test_ended():
    """Of a job that has ended the course ends with its last run."""
    found = drawn(job(status="succeeded", started_at=at(-60)), attempt(1, -60, -50, "succeeded"))
    assert [each[0] for each in found] == ["wait", "succeeded"]
    assert found[-1][2] + found[-1][3] == 100


def test_short_runs_are_seen():
    """A run of a millisecond in a wait of an hour is drawn."""
    found = drawn(job(created_at=at(-3600)), attempt(1, -1800, -1799.999))
    assert min(width for *_, width in found) > 0.3


def test_clocks_that_differ():
    """A worker whose clock is behind makes no run that begins before the job was made."""
    assert [each[0] for each in drawn(job(), attempt(1, -130, -120), attempt(2, -60, -50))][:2] == ["failed", "wait"]


def test_left_out():
    """Where earlier runs are left out, the course begins with the first that is shown."""
    assert drawn(job(), attempt(7, -60, -50))[0][0] == "failed"


def test_nothing_yet():
    """A job that was made just now has no course."""
    assert drawn_course(job(created_at=NOW), [], NOW) is None


@pytest.mark.parametrize(
    ("attempts", "why"),
    [
        ([], ["asked for when it was handed in"]),
        ([attempt(1, -9, -8, next_run_at=at(5))], ["moved since its last attempt"]),
        ([attempt(1, -9, -8, next_run_at=at(9), explanation=[{"text": "a"}, {"text": "b"}])], ["a", "b"]),
        ([attempt(1, -9, -8, next_run_at=at(9), reason="its worker stopped")], ["its worker stopped"]),
    ],
)
def test_why_then(attempts: list[dict[str, Any]], why: list[str]):
    """Why it runs when it runs: as asked, as somebody moved it, or by the steps of its last decision."""
    assert why_then(job(scheduled_at=at(9)), attempts) == why
