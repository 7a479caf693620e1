"""What the guide says of breakers is what the rules say."""

import re
from pathlib import Path

from app.retry.breaker.rules import Trip
from app.retry.breaker.states import LEGAL
from app.retry.words import duration

from .driver import RULES

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "dependencies.md").read_text(encoding="utf-8")


def test_the_diagram():
    """The diagram has the legal transitions, and no other."""
    drawn = set(re.findall(r"^    (\w+) --> (\w+):", PAGE, re.MULTILINE))
    assert drawn == {(before.value, after.value) for before, all_after in LEGAL.items() for after in all_after}


def test_the_figures():
    """The table has the figures of every type that counts."""
    rows = re.findall(r"^\| ([A-Z_]+) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert rows == [(kind.value, *figures(trip)) for kind, trip in RULES.trips.items()]


def figures(trip: Trip) -> tuple[str, str, str]:
    """As the table words them."""
    share = f"{trip.ratio:.0%}".replace("%", " %")
    if trip.holds:
        return f"{trip.failures} jobs without a success", f"held, probed every {duration(trip.break_seconds)}", share
    return f"{trip.failures} failures", duration(trip.break_seconds), share
