"""Good news: what retrying has saved, told at each power of ten. Pure."""

import math
from dataclasses import dataclass

LEAST = 10.0
"""The first milestone; before it there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """A count that has come to a round number.

    Attributes:
        name: Of the count.
        reached: The round number.
        text: It in words.
    """

    name: str
    reached: float
    text: str


def reached(total: float, told: float) -> float | None:
    """The highest power of ten up to `total`, if it is higher than what was told."""
    if total < LEAST:
        return None
    power: float = 10.0 ** math.floor(math.log10(total) + 1e-9)
    return power if power > told else None


TEXTS = {
    "retries_ended_well": "{number} failed attempts were followed by a retry with which the job succeeded by itself",
    "off_peak_saved": "work that waited for the quiet hours has saved {number} (PEAK_COST_PER_HOUR)",
}
"""What is counted, by name."""


def milestones(totals: dict[str, float], told: dict[str, float]) -> list[Milestone]:
    """Which counts have come to a milestone that was not told before."""
    found = ((name, reached(total, told.get(name, 0.0))) for name, total in totals.items())
    return [Milestone(name, number, TEXTS[name].format(number=f"{number:,.0f}")) for name, number in found if number]
