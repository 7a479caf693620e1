"""What a rule is: a number that is watched, and from where to where it is at rest. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How bad it is; each is worse than the one before."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place among them."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Level:
    """From where on it is so bad, and where it is over. Between the two things stay as they are.

    Attributes:
        opens: Beyond it, not at it.
        resolves: At it, and on its good side.
    """

    severity: Severity
    opens: float
    resolves: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition.

    Attributes:
        name: In kebab-case; the alert of Prometheus is called like it, in its own style.
        title: A few words; `{subject}` is what an alert is about.
        about: What a subject is: the service, a task, a queue …
        what_to_do: For the person who is told.
        levels: The mildest first.
        below: Whether less is worse.
        after: How long it must hold before an alert opens.
        quiet: How long it must be over before the alert is resolved.
        least: Attempts, jobs or submissions below which nothing is judged; 0: it is no rate.
        query: The same number in Prometheus, with the labels of a subject.
        volume: What `least` is about, in Prometheus.
        label: The label that is the subject there.
        only: Of a level, a condition more, which the number carries here.
        unit: Of the number, behind it.
        reach: How far back it looks in Prometheus; what happened in a maintenance window must be beyond.
    """

    name: str
    title: str
    about: str
    what_to_do: str
    levels: tuple[Level, ...]
    query: str
    below: bool = False
    after: timedelta = timedelta(0)
    quiet: timedelta = timedelta(0)
    least: int = 0
    volume: str = ""
    label: str = ""
    only: Mapping[Severity, str] = field(default_factory=lambda: MappingProxyType({}))
    unit: str = ""
    reach: timedelta = timedelta(0)

    def opens(self, level: Level, value: float) -> bool:
        """Whether a number is so bad."""
        return value < level.opens if self.below else value > level.opens

    def is_over(self, level: Level, value: float) -> bool:
        """Whether a number is well again."""
        return value >= level.resolves if self.below else value <= level.resolves

    def level(self, severity: Severity) -> Level:
        """The level of this severity; the mildest where it has none."""
        return next((level for level in self.levels if level.severity is severity), self.levels[0])

    def heading(self, subject: str) -> str:
        """The title for one subject."""
        return self.title.replace("{subject}", subject)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was observed of one subject of a rule.

    Attributes:
        value: The number.
        detail: It in words, with its numbers: the cause of an alert.
        volume: Out of how many it was taken; None: it is no rate.
        keeps: It says nothing new, as where a maintenance window has just ended: things stay as they are.
    """

    rule: str
    subject: str
    value: float
    detail: str
    volume: int | None = None
    keeps: bool = False
