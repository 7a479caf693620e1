"""Which transitions there are: the table, and that nothing leaves it."""

from random import Random

import pytest

from app.retry.breaker import transition
from app.retry.breaker.relevance import Relevance
from app.retry.breaker.states import LEGAL, State, Transition

from .driver import AUTH, Driver, half_open, held, isolated, opened, ramping

MAKERS = {
    State.CLOSED: Driver,
    State.OPEN: opened,
    State.HALF_OPEN: half_open,
    State.RAMPING: ramping,
    State.HELD: held,
    State.ISOLATED: isolated,
}
PAIRS = [(before, after) for before in State for after in State]


def wander(driver: Driver, rng: Random) -> None:
    """Do something that can be done to a breaker."""
    driver.wait(rng.choice([0.1, 1, 5, 60, 2000]))
    breaker, now = driver.breaker, driver.now
    match rng.randrange(7):
        case 0:
            driver.report(successes=rng.randrange(5), failures=rng.randrange(5), paced=rng.randrange(2))
        case 1:
            driver.report(holding=tuple(range(rng.randrange(4))), kind=AUTH)
        case 2:
            for permit in driver.claim(rng.randrange(1, 5)).permits:
                driver.probed(permit, rng.choice(list(Relevance)))
        case 3:
            driver.paced(rng.choice([0.5, 30]))
        case 4:
            if rng.random() < 0.2:
                driver.operated(transition.isolate(breaker, "test", now=now))
        case 5:
            driver.operated(transition.reset(breaker, "test", now=now))
        case _:
            driver.claim(3)


@pytest.fixture(scope="module")
def seen() -> set[tuple[State, State]]:
    """The transitions of 300 breakers to which everything happens."""
    found: set[Transition] = set()
    for seed in range(300):
        rng, driver = Random(seed), MAKERS[list(State)[seed % 6]]()
        for _ in range(60):
            wander(driver, rng)
        found.update(driver.transitions)
    return {(each.before, each.after) for each in found}


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_legal_transitions(before: State, after: State, seen: set[tuple[State, State]]):
    """A transition happens if, and only if, the table has it."""
    assert ((before, after) in seen) is (after in LEGAL[before])


@pytest.mark.parametrize("state", State)
def test_generations_count_transitions(state: State):
    """Every transition has the next generation, and its breaker remembers when and why."""
    driver = MAKERS[state]()
    rng = Random(7)
    for _ in range(200):
        wander(driver, rng)
    generations = [each.generation for each in driver.transitions]
    assert generations == sorted(set(generations))
    last = driver.transitions[-1]
    assert (driver.breaker.generation, driver.breaker.state) == (last.generation, last.after)
    assert (driver.breaker.changed_at, driver.breaker.cause) == (last.at, last.cause)
    assert last.at <= driver.now


def test_no_way_is_refused():
    """A transition that the table does not have is a fault of the code, and raises."""
    with pytest.raises(ValueError, match="no way from isolated to half_open"):
        transition.half_opened(isolated().breaker, "test", Driver().now)
