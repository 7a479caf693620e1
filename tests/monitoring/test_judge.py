"""What the evaluation makes of numbers, told by the clock of the test."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.monitoring.alerts.judge import LONGEST_GAP, Transition, Watches, judge
from app.monitoring.alerts.rule import Level, Reading, Rule, Severity

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)

RATE = Rule(
    name="rate",
    title="Rate",
    about="the service",
    what_to_do="Look.",
    levels=(Level(Severity.WARNING, 10, 8), Level(Severity.CRITICAL, 20, 16)),
    query="rate",
    after=2 * A_MINUTE,
    quiet=3 * A_MINUTE,
    least=20,
)
BELOW = Rule(
    name="below",
    title="Below",
    about="the service",
    what_to_do="Look.",
    levels=(Level(Severity.WARNING, 90, 92),),
    query="below",
    below=True,
)


class Clock:
    """Looks at one rule, a minute apart."""

    def __init__(self, rule: Rule = RATE) -> None:
        self.rule = rule
        self.now = NOON
        self.last: datetime | None = None
        self.watches: Watches = {}

    def look(self, *values: float | None, volume: int | None = 100) -> list[Transition]:
        """What followed from these numbers, one after the other; None: there was nothing to judge."""
        found: list[Transition] = []
        for value in values:
            readings = [] if value is None else [Reading(self.rule.name, "x", value, f"{value:g}", volume)]
            made = judge([self.rule], readings, self.watches, now=self.now, last=self.last)
            self.watches, self.last = made.watches, self.now
            self.now += A_MINUTE
            found += made.transitions
        return found

    def kinds(self, *values: float | None, volume: int | None = 100) -> list[str]:
        """The same, by name."""
        return [f"{each.kind} {each.severity}" for each in self.look(*values, volume=volume)]


def test_it_opens_when_it_holds():
    """A condition that holds for long enough opens an alert, and no second one."""
    clock = Clock()
    assert clock.kinds(12, 12) == []
    assert clock.kinds(12) == ["opened warning"]
    assert clock.kinds(12, 12, 12) == []


def test_an_instant_is_no_alert():
    """A number that is bad for an instant opens nothing."""
    assert Clock().kinds(*[12, 12, 5] * 10) == []


def test_the_threshold_itself_is_well():
    """At the threshold nothing opens: it says more than 10 %."""
    assert Clock().kinds(*[10] * 10) == []


def test_between_the_thresholds_nothing_changes():
    """Between where it opens and where it is over, an open alert stays, and none opens."""
    clock = Clock()
    assert clock.kinds(*[9] * 10) == []
    assert clock.kinds(*[12] * 3) == ["opened warning"]
    assert clock.kinds(*[9] * 10) == []


def test_it_is_resolved_when_it_is_over():
    """An alert is resolved when it is over for long enough; a short pause is not the end."""
    clock = Clock()
    clock.look(*[12] * 3)
    assert clock.kinds(5, 5, 12, 5, 5) == []
    assert clock.kinds(5, 5) == ["resolved warning"]
    assert clock.watches == {}


def test_worse_and_better():
    """An alert becomes critical and a warning again, each with its own thresholds, and stays one alert."""
    clock = Clock()
    assert clock.kinds(*[12] * 3) == ["opened warning"]
    assert clock.kinds(*[25] * 3) == ["escalated critical"]
    assert clock.kinds(*[17] * 10) == []
    assert clock.kinds(*[15] * 4) == ["eased warning"]
    assert clock.kinds(*[1] * 4) == ["resolved warning"]


def test_critical_at_once():
    """What is critical from the beginning opens as critical."""
    assert Clock().kinds(*[25] * 3) == ["opened critical"]


def test_critical_for_an_instant():
    """A warning that is critical for an instant while it waits opens as a warning."""
    assert Clock().kinds(12, 12, 25) == ["opened warning"]


def test_too_few_to_judge():
    """With too few to judge by nothing opens, and what is open stays; with none at all it is over."""
    clock = Clock()
    assert clock.kinds(*[100] * 10, volume=19) == []
    clock.look(*[12] * 3)
    assert clock.kinds(*[0] * 10, volume=19) == []
    assert clock.kinds(*[0] * 4, volume=0) == ["resolved warning"]


def test_what_is_gone():
    """An alert about what is gone is resolved, and says so by having no number."""
    clock = Clock()
    clock.look(*[12] * 3)
    (over,) = clock.look(None, None, None, None)
    assert (over.kind, over.reading, over.before) == ("resolved", None, Severity.WARNING)


def test_below():
    """Where less is worse, it opens below and is over above."""
    clock = Clock(BELOW)
    assert clock.kinds(90) == []
    assert clock.kinds(89) == ["opened warning"]
    assert clock.kinds(91) == []
    assert clock.kinds(92) == ["resolved warning"]


def test_a_gap():
    """After a time in which nobody looked, a condition has to hold anew; what is open is open still."""
    clock = Clock()
    clock.look(12, 12)
    clock.now += LONGEST_GAP
    assert clock.kinds(12, 12) == []
    assert clock.kinds(12) == ["opened warning"]
    clock.now += LONGEST_GAP
    assert clock.kinds(12, 5) == []


def test_a_rule_that_is_switched_off():
    """The alert of a rule that has been switched off is resolved, and what was known of it is forgotten."""
    clock = Clock()
    clock.look(*[12] * 3)
    made = judge([BELOW], [], clock.watches, now=clock.now, last=clock.last)
    assert [(each.kind, each.rule.name, each.before) for each in made.transitions] == [
        ("resolved", "rate", Severity.WARNING)
    ]
    assert made.watches == {}


def test_a_level_that_is_switched_off():
    """An alert as severe as a level that has been switched off is as severe as what is left of it."""
    clock = Clock()
    clock.look(*[25] * 3)
    milder = replace(RATE, levels=RATE.levels[:1])
    made = judge([milder], [Reading("rate", "", 25, "", 100)], clock.watches, now=clock.now, last=clock.last)
    assert [(each.kind, each.after) for each in made.transitions] == [("eased", Severity.WARNING)]
    assert {key.severity for key in made.watches} == {Severity.WARNING}


def test_subjects_are_apart():
    """Each subject has an alert of its own."""
    readings = [Reading("below", name, value, "", 100) for name, value in (("a", 50), ("b", 99), ("c", 10))]
    made = judge([BELOW], readings, {}, now=NOON, last=NOON - A_MINUTE)
    assert [(each.kind, each.subject) for each in made.transitions] == [("opened", "a"), ("opened", "c")]


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60))
def test_laws(values: list[float | None]):
    """Whatever the numbers: an alert opens before it changes, never twice, and the same look changes nothing."""
    clock, severity = Clock(), None
    for value in values:
        for each in clock.look(value):
            assert each.before is severity
            assert each.after is not severity
            severity = each.after
        readings = [] if value is None else [Reading("rate", "x", value, "", 100)]
        again = judge([RATE], readings, clock.watches, now=clock.now - A_MINUTE, last=clock.last)
        assert (again.transitions, again.watches) == ((), clock.watches)
