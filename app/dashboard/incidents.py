"""Incidents: what fails, joined with what it relies on and with the breaker of that, is one matter.

Pure: it is given what was read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..retry.breaker.states import State
from ..retry.failure import Remediation
from ..store.breakers import Dependency
from ..store.paging import Row

_ISOLATED = "an operator isolated it: reset it from its page when its calls may go on"
_HELD = (
    "correct the credentials or the setting that its calls lack, and reset it from its page; until then its jobs wait, "
    "and one of them tries it from time to time"
)
_OPEN = "nothing, unless it lasts: its jobs wait without using up attempts, and go on by themselves when it answers"
_DEAD = "see what its dead letters died of, and replay them when that is mended: they are not tried again by themselves"

_BY_STATE = {State.ISOLATED: _ISOLATED, State.HELD: _HELD}


@dataclass(slots=True)
class Incident:
    """One matter that needs a look.

    Attributes:
        dependency: What it is about, where that is known.
        guard: Its breaker, if that is not closed.
        groups: What fails because of it, the most frequent first; each with `pending`, its dead letters that wait for
            somebody. `deaths` counts those of all time, also those that were replayed long ago.
        held: Jobs that wait for it, by task.
    """

    dependency: str | None = None
    guard: Dependency | None = None
    groups: list[Row] = field(default_factory=list)
    held: Mapping[str, int] = field(default_factory=dict)

    @property
    def since(self) -> datetime | None:
        """When it began: the breaker's change, else the first failure."""
        if self.guard is not None:
            return self.guard.breaker.changed_at
        return min((each["first_seen"] for each in self.groups), default=None)

    @property
    def failures(self) -> int:
        """Failed attempts of its groups."""
        return sum(each["failures"] for each in self.groups)

    @property
    def pending(self) -> int:
        """Its dead letters that wait for somebody."""
        return sum(each["pending"] for each in self.groups)

    @property
    def deadly(self) -> Row | None:
        """The first of its groups with dead letters that wait for somebody."""
        return next((each for each in self.groups if each["pending"]), None)

    @property
    def tasks(self) -> list[str]:
        """Tasks that it strikes, by name."""
        return sorted({task for each in self.groups for task in each["tasks"]} | set(self.held))

    @property
    def waiting(self) -> int:
        """Jobs that it holds back."""
        return sum(self.held.values())

    @property
    def heals_itself(self) -> bool:
        """Whether nobody has to do anything: what fails is tried again, and nothing dead waits."""
        return self.guard is None and not any(_needs_somebody(each) for each in self.groups)

    def advice(self, remedy: Callable[[str], str]) -> str:
        """What to do."""
        if self.guard is not None:
            return _BY_STATE.get(self.guard.breaker.state, _OPEN)
        words = (
            _DEAD if each["pending"] and each["remediation"] == Remediation.AUTO_RETRY else remedy(each["remediation"])
            for each in self.groups
            if each["remediation"]
        )
        return ", or ".join(dict.fromkeys(words))


def _needs_somebody(group: Row) -> bool:
    return bool(group["pending"]) or group["remediation"] != Remediation.AUTO_RETRY


def join(
    groups: Sequence[Row],
    guards: Sequence[Dependency],
    *,
    relied_on: Callable[[Row], Collection[str]],
    held: Mapping[str, Mapping[str, int]],
) -> list[Incident]:
    """What there is to look at: breakers that are not closed first, then failures without one, those that heal last.

    Args:
        groups: That fail now, the most frequent first. Each goes to the first of its dependencies that has trouble;
            else to the incident of the first that it relies on; else it stands alone.
        guards: Those whose breakers are not closed.
        relied_on: What a group relies on.
        held: By dependency: jobs that wait for it, by task.
    """
    incidents = [Incident(each.breaker.name, each, held=held.get(each.breaker.name, {})) for each in guards]
    by_name = {each.dependency: each for each in incidents}
    for group in groups:
        names = relied_on(group)
        known = next((by_name[name] for name in names if name in by_name), None)
        if known is None:
            known = Incident(next(iter(names), None))
            incidents.append(known)
            if known.dependency is not None:
                by_name[known.dependency] = known
        known.groups.append(group)
    return sorted(incidents, key=lambda each: each.heals_itself)
