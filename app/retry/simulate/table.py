"""The figures of a comparison as text."""

from collections.abc import Iterable
from math import isinf

from ..words import duration
from .outcome import Outcome
from .run import Comparison

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


PUBLISHED = tuple(each for each in COLUMNS if each not in {"jobs done", "dead", "waiting"})
"""Those that the guide has, each story before its first row."""

_SEVERAL = 2.0
"""From so many calls per job on one decimal says enough."""


def row(outcome: Outcome) -> tuple[str, ...]:
    """One policy's figures, in the order of `COLUMNS`. A dash: nothing was left to be done, or nothing was done."""
    recovered = outcome.drain_seconds > 0
    return (
        outcome.policy,
        str(outcome.done),
        str(outcome.dead),
        str(outcome.dead_in_vain),
        str(outcome.waiting),
        _calls(outcome.calls_per_job),
        f"{outcome.peak:.2f}" if outcome.peak else "—",
        duration(outcome.drain_seconds) if recovered else "—",
        duration(outcome.oracle_seconds),
        duration(outcome.detection_seconds) if recovered else "—",
        duration(outcome.wasted_seconds),
        str(outcome.trips),
    )


def _calls(per_job: float) -> str:
    if isinf(per_job):
        return "—"
    return f"{per_job:.3f}" if per_job < _SEVERAL else f"{per_job:.1f}"


def head() -> str:
    """The first two lines of the guide's table."""
    return f"| story | {' | '.join(PUBLISHED)} |\n|---|---|{'---:|' * (len(PUBLISHED) - 1)}"


def markdown(played: Comparison) -> Iterable[str]:
    """One story's rows in the guide's table, ours in bold."""
    for number, outcome in enumerate(played.outcomes):
        figures = dict(zip(COLUMNS, row(outcome), strict=True))
        policy, *others = (figures[name] for name in PUBLISHED)
        first = (played.scenario.name, f"**{policy}**") if number == 0 else ("", policy)
        yield f"| {' | '.join((*first, *others))} |"
