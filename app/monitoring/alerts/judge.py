"""What follows from observations: alerts that open, change and are resolved. Pure; the clock is an argument.

Each level of a rule is watched for itself, with one bit and one time: whether it is in force, and since when the
condition says otherwise. An alert is as severe as the worst of its levels that is in force.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from .rule import Level, Reading, Rule, Severity

LONGEST_GAP = timedelta(minutes=5)
"""Between two looks. After a longer one nobody knows whether a condition held all the time: waiting begins anew."""

Kind = Literal["opened", "escalated", "eased", "resolved"]


class Key(NamedTuple):
    """One level of a rule, for one subject."""

    rule: str
    subject: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of a level from the looks before.

    Attributes:
        active: It is in force.
        since: Since when the condition says otherwise; None: it does not.
    """

    active: bool = False
    since: datetime | None = None


Watches = Mapping[Key, Watch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alert that came to another severity.

    Attributes:
        before, after: None: there is no alert.
        reading: What was observed; None: its subject is gone, or has nothing to be judged by.
    """

    kind: Kind
    rule: Rule
    subject: str
    before: Severity | None
    after: Severity | None
    at: datetime
    reading: Reading | None

    @property
    def severity(self) -> Severity:
        """The present one; of an alert that is resolved, the last one."""
        return self.after or self.before or Severity.INFO


@dataclass(frozen=True, slots=True)
class Judgement:
    """What has changed, and what to know at the next look."""

    transitions: tuple[Transition, ...]
    watches: Watches


def judge(
    rules: Iterable[Rule],
    readings: Iterable[Reading],
    watches: Watches,
    *,
    now: datetime,
    last: datetime | None,
) -> Judgement:
    """Compare what was observed with the rules.

    Args:
        rules: All there are; what is watched of others, or of levels that they have no more, is resolved.
        readings: One for each rule and subject that has a number now.
        watches: As the last judgement left them.
        now: The time of the observations.
        last: The time of those before; None: there were none.
    """
    by_name = {rule.name: rule for rule in rules}
    found = {(each.rule, each.subject): each for each in readings if each.rule in by_name}
    forgets = last is None or now - last > LONGEST_GAP
    subjects = sorted({*found, *((key.rule, key.subject) for key in watches)})
    transitions: list[Transition] = []
    after: dict[Key, Watch] = {}
    for name, subject in subjects:
        rule = by_name.get(name) or _switched_off(name)
        known = {key.severity for key in watches if (key.rule, key.subject) == (name, subject)}
        severities = known | {level.severity for level in rule.levels}
        former = {severity: watches.get(Key(name, subject, severity), Watch()) for severity in severities}
        reading = found.get((name, subject))
        present = {
            level.severity: _step(rule, level, reading, _remembered(former[level.severity], forgets), now)
            for level in rule.levels
        }
        after |= {Key(name, subject, severity): watch for severity, watch in present.items() if watch != Watch()}
        transitions += _transition(rule, subject, _worst(former), _worst(present), now, reading)
    return Judgement(tuple(transitions), after)


def _switched_off(name: str) -> Rule:
    """A rule that was watched and is no more: nothing can be in force."""
    return Rule(name=name, title=f"{name} {{subject}}".rstrip(), about="", what_to_do="", levels=(), query="")


def _remembered(watch: Watch, forgets: bool) -> Watch:  # noqa: FBT001 - the one thing that it is about.
    return Watch(watch.active) if forgets else watch


def _step(rule: Rule, level: Level, reading: Reading | None, watch: Watch, now: datetime) -> Watch:
    wanted = _wanted(rule, level, reading, active=watch.active)
    if wanted is watch.active:
        return Watch(watch.active)
    since = watch.since or now
    wait = rule.after if wanted else rule.quiet
    return Watch(wanted) if now - since >= wait else Watch(watch.active, since)


def _wanted(rule: Rule, level: Level, reading: Reading | None, *, active: bool) -> bool:
    """What the condition says. Too few to judge by leaves things as they are; nothing at all is well."""
    if reading is not None and reading.keeps:
        return active
    if reading is None or reading.volume == 0:
        return False
    if reading.volume is not None and reading.volume < rule.least:
        return active
    if rule.opens(level, reading.value):
        return True
    return active and not rule.is_over(level, reading.value)


def _worst(watches: Mapping[Severity, Watch]) -> Severity | None:
    active = [severity for severity, watch in watches.items() if watch.active]
    return max(active, key=lambda severity: severity.rank, default=None)


def _transition(  # noqa: PLR0913, PLR0917  Of what, from where to where, when and why.
    rule: Rule, subject: str, before: Severity | None, after: Severity | None, now: datetime, reading: Reading | None
) -> Sequence[Transition]:
    if before is after:
        return ()
    made = Transition(
        kind=_kind(before, after), rule=rule, subject=subject, before=before, after=after, at=now, reading=reading
    )
    return (made,)


def _kind(before: Severity | None, after: Severity | None) -> Kind:
    if before is None:
        return "opened"
    if after is None:
        return "resolved"
    return "escalated" if after.rank > before.rank else "eased"
