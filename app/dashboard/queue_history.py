"""How full a queue was, from its samples.

Nobody samples while no worker takes jobs of the queue monitoring, and then queues fill: such a stretch is marked, and
never drawn as an empty queue.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from markupsafe import Markup

from ..store.samples import HOUR, MINUTE, QueuePoint, Span
from .charts import Shade, lines, sparkline
from .frame import length


@dataclass(frozen=True, slots=True)
class Range:
    """A time to look back on.

    Attributes:
        seconds: Of one sample.
        per: Samples of one point, of which the highest is drawn.
    """

    back: timedelta
    seconds: int
    per: int = 1

    def span(self, now: datetime) -> Span:
        """Up to what was sampled last: the minute before this one, or the present hour as far as it is summed up."""
        if self.seconds == HOUR:
            end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        else:
            end = now.replace(second=0, microsecond=0)
        return Span(end - self.back, end, self.seconds)


RANGES: Mapping[str, Range] = {
    "3h": Range(timedelta(hours=3), MINUTE),
    "24h": Range(timedelta(hours=24), MINUTE, 10),
    "7d": Range(timedelta(days=7), HOUR),
    "30d": Range(timedelta(days=30), HOUR, 4),
}

LATE = 2
"""Points that may be missing at the end."""

DAY = Range(timedelta(hours=24), HOUR)


def spark(points: Iterable[QueuePoint], span: Span) -> Markup:
    """How many jobs were ready, in the height of a line. The present step is left out until it is summed up."""
    by_step = {point.at: float(point.ready_most) for point in points}
    steps = span.steps() if span.steps()[-1] in by_step else span.steps()[:-1]
    return sparkline([by_step.get(step, 0.0) for step in steps], label="Ready at most, by the hour of a day")


def draw(points: Sequence[QueuePoint], sampled: Collection[datetime], span: Span, per: int) -> list[Markup]:
    """Draw how many jobs were ready, how many ran, and how old the oldest ready one was.

    Args:
        points: Of one queue; where it had no jobs at all, there is none.
        sampled: The steps in which anybody sampled.
        span: What is drawn.
        per: Steps of one point.
    """
    by_step = {point.at: point for point in points}
    steps = span.steps()
    groups = [steps[start : start + per] for start in range(0, len(steps), per)]
    known = [any(step in sampled for step in group) for group in groups]
    shades = _gaps(known)
    across = [f"{length((span.until - span.since).total_seconds())} ago", "now"]

    def drawn(value: Callable[[QueuePoint], float]) -> list[float]:
        values: list[float] = []
        for group, told in zip(groups, known, strict=True):
            highest = max((value(by_step[step]) for step in group if step in by_step), default=0.0)
            values.append(highest if told else values[-1] if values else 0.0)
        return values

    series: dict[str, tuple[Callable[[QueuePoint], float], str]] = {
        "Ready": (lambda point: point.ready_most, ""),
        "Running": (lambda point: point.running, ""),
        "Age of the oldest ready job": (lambda point: point.oldest_seconds, "s"),
    }
    return [
        lines({name.lower(): drawn(value)}, label=name, across=across, unit=unit, shades=shades)
        for name, (value, unit) in series.items()
    ]


def _gaps(known: Sequence[bool]) -> list[Shade]:
    """Where nobody sampled. What has just passed may still be sampled."""
    found, at = [], 0
    for told, group in groupby(known):
        many = len(list(group))
        if not told and (many > LATE or at + many < len(known)):
            found.append(Shade(at / len(known), (at + many) / len(known), "not sampled"))
        at += many
    return found
