"""What earlier retries and the length of the queue make of a delay."""

from typing import NamedTuple

FLOOR_SAMPLES = 10
USUALLY = 0.8
SELDOM = 0.3
SOONER = 0.7
LATER = 1.5
DEEP_JOBS = 100
CROWDED = 1.3


class Samples(NamedTuple):
    """Retries of one task after one type of failure, over the last seven days.

    Attributes:
        retries: How many there were.
        successes: Those whose next attempt succeeded.
    """

    retries: int
    successes: int

    @property
    def ratio(self) -> float:
        """Share that succeeded; 0 where there is none."""
        return self.successes / self.retries if self.retries else 0.0


def learned_factor(samples: Samples) -> float:
    """What the delay is multiplied by: 0.7 where retries usually succeed, 1.5 where they seldom do, 1 else."""
    if samples.retries < FLOOR_SAMPLES:
        return 1.0
    return SOONER if samples.ratio > USUALLY else LATER if samples.ratio < SELDOM else 1.0


def is_seldom_worth_it(samples: Samples) -> bool:
    """Whether one retry fewer is allowed."""
    return samples.retries >= FLOOR_SAMPLES and samples.ratio < SELDOM


def load_factor(ready_jobs: int) -> float:
    """What the delay is multiplied by: 1.3 over 100 ready jobs in the queue; held and paused ones are not ready."""
    return CROWDED if ready_jobs > DEEP_JOBS else 1.0
