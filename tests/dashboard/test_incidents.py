"""What stands together as one matter, and what does not."""

from datetime import UTC, datetime

from app.dashboard.incidents import Incident, join
from app.retry.breaker.states import Breaker, State
from app.store.breakers import Dependency
from app.store.paging import Row

THEN = datetime(2030, 1, 1, tzinfo=UTC)


def group(  # noqa: PLR0913 - Each is what a test is about.
    name: str,
    *,
    on: str = "",
    tasks: tuple[str, ...] = ("t",),
    failures: int = 1,
    pending: int = 0,
    remediation: str = "WAIT",
    day: int = 1,
) -> Row:
    """A failure group that relies on something."""
    return {
        "fingerprint": name, "on": on, "tasks": list(tasks), "failures": failures, "pending": pending,
        "remediation": remediation, "first_seen": THEN.replace(day=day),
    }  # fmt: skip


def guard(name: str, state: State = State.OPEN) -> Dependency:
    """A breaker that is not closed."""
    return Dependency(Breaker(name=name, state=state, changed_at=THEN), None, None, None)


def joined(
    groups: list[Row], guards: list[Dependency], held: dict[str, dict[str, int]] | None = None
) -> list[Incident]:
    """Join them by what they name."""
    return join(groups, guards, relied_on=lambda each: [each["on"]] if each["on"] else [], held=held or {})


def test_failures_of_what_is_down():
    """What fails because of a dependency that is down belongs to it, and the breaker says since when."""
    (incident,) = joined([group("a", on="api", failures=2), group("b", on="api", failures=3, day=9)], [guard("api")])
    assert (incident.dependency, incident.failures, incident.since) == ("api", 5, THEN)


def test_one_dependency_without_a_breaker():
    """What fails with one dependency whose breaker is closed is one matter, from the first failure on."""
    (incident,) = joined([group("a", on="api", day=5), group("b", on="api", day=3)], [])
    assert (incident.guard, incident.since) == (None, THEN.replace(day=3))


def test_strangers():
    """What relies on nothing, or on different things, stands alone; what is down comes first."""
    incidents = joined([group("a"), group("b"), group("c", on="mail"), group("d", on="api")], [guard("api")])
    assert [(each.dependency, len(each.groups)) for each in incidents] == [
        ("api", 1),
        (None, 1),
        (None, 1),
        ("mail", 1),
    ]


def test_whom_it_strikes():
    """Tasks are those that fail and those that wait, each once; jobs that wait are added up."""
    (incident,) = joined([group("a", on="api", tasks=("t", "u"))], [guard("api")], {"api": {"u": 2, "v": 3}})
    assert (incident.tasks, incident.waiting) == (["t", "u", "v"], 5)


def test_advice():
    """What to do depends on who or what holds it back, or on what the failures' remedies say, each said once."""
    ask = str.lower
    for state, told in {
        State.OPEN: "nothing, unless",
        State.ISOLATED: "reset it",
        State.HELD: "correct the credentials",
    }.items():
        (incident,) = joined([], [guard("api", state)])
        assert told in incident.advice(ask)
    (failing,) = joined([group("a", on="api"), group("b", on="api")], [])
    assert failing.advice(ask) == "wait"
    assert Incident().advice(ask) == ""
    assert Incident().since is None


def test_what_heals_itself():
    """What is tried again by itself comes last; once dead letters wait, that is not what to do."""
    healing, dying = (
        group("a", remediation="AUTO_RETRY", failures=9),
        group("b", remediation="AUTO_RETRY", pending=1),
    )
    first, last = joined([healing, dying], [])
    assert ([first.heals_itself, first.pending], [last.heals_itself, last.failures]) == ([False, 1], [True, 9])
    assert "replay" in first.advice(str.lower)
    assert last.advice(str.lower) == "auto_retry"
    assert not joined([healing], [guard("api")])[0].heals_itself
