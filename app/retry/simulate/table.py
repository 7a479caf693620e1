"""The figures of a comparison as text."""

from math import isinf

from ..words import duration
from .outcome import Outcome

COLUMNS = (
    "policy",
    "jobs done",
    "dead",
    "dead in vain",
    "waiting",
    "calls per job",
    "peak / capacity",
    "drained after",
    "oracle",
    "noticed after",
    "wasted",
    "trips",
)
"""All but the first stand to the right."""


def row(outcome: Outcome) -> tuple[str, ...]:
    """One policy's figures, in the order of `COLUMNS`. A dash: nothing was left to be done."""
    drained = duration(outcome.drain_seconds) if outcome.drain_seconds else "—"
    return (
        outcome.policy,
        str(outcome.done),
        str(outcome.dead),
        str(outcome.dead_in_vain),
        str(outcome.waiting),
        "—" if isinf(outcome.calls_per_job) else f"{outcome.calls_per_job:.3f}",
        f"{outcome.peak:.2f}",
        drained,
        duration(outcome.oracle_seconds),
        duration(outcome.detection_seconds),
        duration(outcome.wasted_seconds),
        str(outcome.trips),
    )


def markdown(outcomes: tuple[Outcome, ...]) -> str:
    """A table as the guide has it."""
    head = f"| {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 1)}\n"
    return head + "\n".join(f"| {' | '.join(row(each))} |" for each in outcomes) + "\n"
