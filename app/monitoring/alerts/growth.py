"""Early warning: whether a task fails more often than it used to. Pure.

Three things have to come together: enough attempts, a rate at least so many times that of the past week, and a
difference that chance does not explain. For the last one the failures of an hour are taken for negative binomial around
the week's rate: as many as chance makes where the hours of that week were alike, and wider by as much as they really
differed, for failures come in bursts, and by what is uncertain about the rate itself. The look is taken each minute at
each task, so the bar is high.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_FAILURES = 5
"""Failures in the last hour; fewer are an accident, whatever the rate was."""

LEAST_BEFORE = 100
"""Attempts in the past week from which a rate of its own is known."""

CHANCE = 1e-5
"""How likely so many failures may be without any change. Of the looks of a week at one task about a thousand are
independent, so one task in a hundred is told falsely in a week at most."""

NEGLIGIBLE = 1e-9
"""A term of a sum that is so small ends it, as a share of the sum."""

NARROWEST = 1.0001
"""The least dispersion: at 1 the negative binomial distribution has no size."""

LEAST_HOURS = 6
"""Hours with attempts from which their spread is estimated."""


@dataclass(frozen=True, slots=True)
class Hour:
    """Attempts of a task in one hour, and those of them that failed."""

    attempts: int
    failed: int


@dataclass(frozen=True, slots=True)
class Past:
    """The hours of the past week in which a task ran.

    Attributes:
        hours: So many of them.
        attempts, failed: In all.
        squares: The sum of each hour's failures squared by its attempts: with the others it tells how they differed.
    """

    hours: int
    attempts: int
    failed: int
    squares: float

    @property
    def rate(self) -> float:
        """With half a failure more than were seen: without any, the first one is not infinitely many times as much."""
        return (self.failed + 0.5) / (self.attempts + 1)

    @classmethod
    def of(cls, hours: Iterable[Hour]) -> "Past":
        """That of some hours, in any order."""
        ran = [hour for hour in hours if hour.attempts > 0]
        return cls(
            len(ran),
            sum(hour.attempts for hour in ran),
            sum(hour.failed for hour in ran),
            sum(hour.failed**2 / hour.attempts for hour in ran),
        )


@dataclass(frozen=True, slots=True)
class Growth:
    """How a task's failure rate compares with its own.

    Attributes:
        rate, usual: Now, and in the past week, from 0 to 1.
        ratio: Of the two; where nothing failed before, of what is still compatible with that.
        chance: How likely at least so many failures were if nothing had changed.
        is_certain: Enough was seen, and chance does not explain the difference.
    """

    rate: float
    usual: float
    ratio: float
    chance: float
    is_certain: bool


def is_enough(now: Hour, *, least: int) -> bool:
    """Whether an hour has enough of failures to be worth a look at the past."""
    return now.attempts >= least and now.failed >= LEAST_FAILURES


def compare(now: Hour, before: Past, *, least: int) -> Growth | None:
    """Compare the last hour with the hours of the past week; None: there is too little to compare.

    Args:
        now: The last sixty minutes.
        before: The hours before them.
        least: Attempts that the last hour must have.
    """
    if now.attempts < least or before.attempts < LEAST_BEFORE:
        return None
    widened = dispersion(before) * (1 + now.attempts / before.attempts)
    chance, rate = tail(now.failed, before.rate * now.attempts, widened), now.failed / now.attempts
    return Growth(
        rate=rate,
        usual=before.rate,
        ratio=rate / before.rate,
        chance=chance,
        is_certain=is_enough(now, least=least) and chance <= CHANCE,
    )


def tail(count: int, mean: float, widened: float) -> float:
    """How likely at least `count` are, where `mean` are expected with a variance of `mean * widened`.

    By the terms of the negative binomial distribution from `count` on, each made of the one before it; 1 up to the
    mean, where nobody asks. Close to `widened` = 1 it is Poisson's.
    """
    if count <= mean:
        return 1.0
    # The number of successes before which `count` failures come, and the share of failures there.
    size, share = mean / (widened - 1), 1 - 1 / widened
    term = math.exp(
        math.lgamma(count + size)
        - math.lgamma(size)
        - math.lgamma(count + 1)
        - size * math.log(widened)
        + count * math.log(share)
    )
    total, k = term, count
    while term > total * NEGLIGIBLE:
        term *= share * (k + size) / (k + 1)
        total += term
        k += 1
    return min(1.0, total)


def dispersion(past: Past) -> float:
    """How many times more the hours differ than chance alone would have it; at least `NARROWEST`."""
    if past.hours < LEAST_HOURS:
        return NARROWEST
    # The sum over all hours of (failed - rate * attempts)² / attempts, by what chance alone makes of each of them.
    rate = past.rate
    excess = (past.squares - 2 * rate * past.failed + rate**2 * past.attempts) / (rate * (1 - rate))
    return max(NARROWEST, excess / (past.hours - 1))
