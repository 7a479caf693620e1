"""The early warning, on synthetic series of tasks whose true failure rates are known."""

import math
import random
from collections import deque
from dataclasses import dataclass

import pytest

from app.monitoring.alerts.growth import CHANCE, NARROWEST, Hour, Past, compare, dispersion, tail

LEAST = 20
WEEK = 7 * 24


@dataclass(frozen=True)
class Task:
    """A task as it is.

    Attributes:
        per_hour: Attempts.
        rate: Share of them that fails.
        burst: How much the rate differs from hour to hour: standard deviations by its mean.
    """

    per_hour: float
    rate: float
    burst: float = 0.0

    def minute(self, rng: random.Random, rate: float) -> tuple[int, int]:
        """Attempts and failures of one minute."""
        attempts = poisson(rng, self.per_hour / 60)
        return attempts, sum(rng.random() < rate for _ in range(attempts))

    def rate_of_an_hour(self, rng: random.Random, times: float = 1.0) -> float:
        """The true rate, drawn for each hour anew."""
        mean = min(0.95, self.rate * times)
        if not self.burst:
            return mean
        shape = 1 / self.burst**2
        return min(0.95, rng.gammavariate(shape, mean / shape))


def poisson(rng: random.Random, mean: float) -> int:
    """A draw, by multiplication: means are small here."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def minutes_of(task: Task, rng: random.Random, hours: int, times: float = 1.0) -> list[tuple[int, int]]:
    """Minute by minute; the rate changes with the hours."""
    made = []
    for _ in range(hours):
        rate = task.rate_of_an_hour(rng, times)
        made += [task.minute(rng, rate) for _ in range(60)]
    return made


def by_hours(minutes: list[tuple[int, int]]) -> list[Hour]:
    """The same by the hour."""
    return [
        Hour(sum(a for a, _ in minutes[begin : begin + 60]), sum(f for _, f in minutes[begin : begin + 60]))
        for begin in range(0, len(minutes), 60)
    ]


def looks(task: Task, rng: random.Random, *, hours: int, times: float = 1.0) -> list[bool]:
    """A look in each minute of so many hours after a week: whether it would be told."""
    week = minutes_of(task, rng, WEEK)
    before, recent = Past.of(by_hours(week[:-60])), deque(week[-60:], maxlen=60)
    told = []
    for attempts, failed in minutes_of(task, rng, hours, times):
        recent.append((attempts, failed))
        growth = compare(Hour(sum(a for a, _ in recent), sum(f for _, f in recent)), before, least=LEAST)
        told.append(growth is not None and growth.is_certain and growth.ratio >= 2)
    return told


STEADY = [
    Task(per_hour, rate, burst)
    for per_hour in (30, 120, 600)
    for rate in (0.002, 0.02, 0.1, 0.3)
    for burst in (0.0, 0.5)
]


def test_no_false_alarms():
    """Tasks whose rate is as it was, steady or in bursts, raise no alarm: at most one in 40 weeks of a task."""
    rng = random.Random(20300101)
    alarms = hours = 0
    for task in STEADY:
        told = looks(task, rng, hours=4 * 24)
        alarms += sum(now and not before for before, now in zip([False, *told], told, strict=False))
        hours += 4 * 24
    assert hours > 13 * WEEK
    assert alarms <= hours / WEEK / 40


@pytest.mark.parametrize(("per_hour", "within"), [(120, 90), (600, 30)])
@pytest.mark.parametrize(("rate", "times"), [(0.01, 10), (0.05, 5), (0.1, 4)])
def test_much_more_is_seen_soon(per_hour: float, within: int, rate: float, times: float):
    """A task that suddenly fails many times as often is seen within the half hour, or 90 minutes if it runs seldom."""
    rng = random.Random(20300102)
    seen = [any(looks(Task(per_hour, rate), rng, hours=2, times=times)[:within]) for _ in range(10)]
    assert sum(seen) >= 9


@pytest.mark.parametrize(("per_hour", "rate"), [(600, 0.1), (1200, 0.05)])
def test_a_bit_over_double_is_seen(per_hour: float, rate: float):
    """With enough volume two and a half times as much is seen within two hours."""
    rng = random.Random(20300103)
    assert all(any(looks(Task(per_hour, rate), rng, hours=2, times=2.5)) for _ in range(5))


def test_half_as_much_again_is_not_double():
    """However certain it is, less than double is not told."""
    rng = random.Random(20300104)
    assert not any(looks(Task(1200, 0.2), rng, hours=3, times=1.5))


def test_too_little_to_compare():
    """Below the least attempts of the hour, or of the week, nothing is compared."""
    assert compare(Hour(19, 19), Past.of([Hour(100, 0)] * 10), least=20) is None
    assert compare(Hour(100, 50), Past.of([Hour(9, 0)] * 11), least=20) is None
    assert compare(Hour(100, 50), Past.of([]), least=20) is None


def test_the_first_failures():
    """A task that never failed is not told for one failure among many, and is told for many."""
    clean = Past.of([Hour(100, 0)] * WEEK)
    one, many = compare(Hour(100, 1), clean, least=20), compare(Hour(100, 8), clean, least=20)
    assert one is not None
    assert not one.is_certain
    assert many is not None
    assert many.is_certain
    assert many.ratio > 100


def test_bursts_raise_the_bar():
    """Hours that differ more than chance would have it make the same number less certain."""
    even = Past.of([Hour(100, 10)] * WEEK)
    uneven = Past.of([Hour(100, 0), Hour(100, 20)] * (WEEK // 2))
    assert dispersion(even) == NARROWEST
    assert dispersion(uneven) > 5
    calm, wild = compare(Hour(100, 27), even, least=20), compare(Hour(100, 27), uneven, least=20)
    assert calm is not None
    assert wild is not None
    assert calm.chance < CHANCE < wild.chance


def test_the_tail():
    """With the variance of chance the tail is Poisson's; a wider one makes many likelier."""
    poisson_tail = 1 - sum(math.exp(-4) * 4**k / math.factorial(k) for k in range(10))
    assert tail(10, 4, NARROWEST) == pytest.approx(poisson_tail, rel=0.01)
    assert tail(10, 4, 3) > 3 * poisson_tail
    assert tail(4, 4, 2) == 1
    assert 0 <= tail(100_000, 10, 1.5) < 1e-300
