"""How waiting jobs are let out: a token bucket whose rate grows by little, and shrinks by much when calls fail.

Additive increase, multiplicative decrease, in steps of five seconds, or of two where that is results enough. It ends
when the bucket has not been the limit for a minute, never merely at a rate: who leaves with a backlog brings the
stampede back.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from .counting import run
from .states import Breaker

STEP = timedelta(seconds=5)
SHORT_STEP = timedelta(seconds=2)
MANY_RESULTS = 60
"""So many results tell a share of 5 % from one of 2 %: a step that has them need not be long."""

START_SHARE = 0.1
PACED_SHARE = 0.7
SHRINK = 0.85
SURGE = 1.5
"""Growth far below the throughput before. To double could be twice what a dependency bears that is back in part: half
of the calls would fail, which is an outage. Half as much again never is."""

GROW = 1.05
FEEL = 1.15
"""Growth between half of the rate before and nearly all of it, and where that is not known: fast enough to arrive, slow
enough not to overshoot by a fifth."""

NEAR = 0.9
"""From this share of the rate before on it grows by the small step."""

BETTER = 1.1
"""Without failures at a tenth more than where calls failed last, the dependency bears more than it did: a brownout is
over, and the rate leads back to that before it."""

LEAST_RATE = 1.0
"""Calls per second that a ramp starts with at least: one call alone shows nothing for a step."""

FAILED_SHARE = 0.05
"""From this share of failures on the rate shrinks. Twice as many, and shrinking to 0.7, let the rate come to 1.2 of
what a dependency bears, and drained it later."""

BRAKE_FAILURES = 5
"""So many failures since the last success may be the begin of an outage. Whether they are takes a second and a half to
tell: in that time the bucket lets out what it would let out at first."""

CLEAN_SHARE = 0.02
"""With more failures than this it grows by the small step alone, and beyond the rate that was borne before not at all:
the limit is here. Below that rate they are the jobs' own, and must not keep the others waiting for ever."""

LEAST_RESULTS = 3
NEW_TO_RETRIES = 5
"""Of five tokens four are for new jobs."""

DEPTH_SECONDS = 0.05
"""How much a bucket holds, as time at its rate: what is saved up comes out at once."""

LEAST_DEPTH = 2.0
"""How many tokens it holds at least. Workers ask when they find the time: in a bucket of one token every fifth was lost
between two questions. So the rate grew to a quarter more than was let out, and a second in which none was lost let all
of it out, which is the peak."""


def begun(breaker: Breaker, now: datetime, *, share: float = START_SHARE, start: float | None = None) -> Breaker:
    """The row with a ramp that starts at `start` calls per second, or at a share of the throughput before."""
    known = breaker.baseline or 0.0
    return replace(
        breaker,
        rate=max(LEAST_RATE, known * share if start is None else start),
        ceiling=start,
        tokens=0.0,
        tokens_at=now,
        step_at=now,
        step_successes=0,
        step_failures=0,
        step_starved=False,
        limited_at=now,
    )


class Drawn(NamedTuple):
    """Tokens taken from the bucket, and the row without them."""

    breaker: Breaker
    tokens: int


def drawn(breaker: Breaker, want: int, now: datetime) -> Drawn:
    """Take up to `want` tokens."""
    since = 0.0 if breaker.tokens_at is None else max(0.0, (now - breaker.tokens_at).total_seconds())
    tokens = min(_depth(breaker), breaker.tokens + _flow(breaker) * since)
    taken = min(want, int(tokens + 1e-9))
    starved = taken < want
    left = replace(
        breaker,
        tokens=max(0.0, tokens - taken),
        tokens_at=now,
        handed=breaker.handed + taken,
        step_starved=breaker.step_starved or starved,
        limited_at=now if starved else breaker.limited_at,
    )
    return Drawn(left, taken)


def _flow(breaker: Breaker) -> float:
    """Tokens per second: the rate, or little of it while nothing works."""
    if run(breaker).failures < BRAKE_FAILURES:
        return breaker.rate
    return max(min(LEAST_RATE, breaker.rate), START_SHARE * breaker.rate)


def _depth(breaker: Breaker) -> float:
    return max(LEAST_DEPTH, breaker.rate * DEPTH_SECONDS)


def returned(breaker: Breaker, tokens: int) -> Breaker:
    """The row with tokens put back that no call was made with."""
    kept = min(_depth(breaker), breaker.tokens + tokens)
    return replace(breaker, tokens=kept, handed=max(0, breaker.handed - tokens))


def next_token_at(breaker: Breaker) -> datetime | None:
    """When the bucket has a token again; None: it has one."""
    if breaker.tokens >= 1 or breaker.tokens_at is None or breaker.rate <= 0:
        return None
    return breaker.tokens_at + timedelta(seconds=(1 - breaker.tokens) / _flow(breaker))


def failed_share(breaker: Breaker) -> float | None:
    """Share of failures in this step; None where there are too few results to tell."""
    results = breaker.step_successes + breaker.step_failures
    return breaker.step_failures / results if results >= LEAST_RESULTS else None


def stepped(breaker: Breaker, now: datetime) -> Breaker:
    """The row with the rate of the next step, if this one is over."""
    many = breaker.step_successes + breaker.step_failures >= MANY_RESULTS
    if breaker.step_at is not None and now - breaker.step_at < (SHORT_STEP if many else STEP):
        return breaker
    share = failed_share(breaker)
    after = replace(breaker, step_at=now, step_successes=0, step_failures=0, step_starved=False)
    if share is None:
        return after
    if share >= FAILED_SHARE:
        # Not below where it began: errors of the jobs' own would else starve them for as long as they come.
        least = max(LEAST_RATE, START_SHARE * (breaker.baseline or 0.0))
        rate = max(least, breaker.rate * SHRINK)
        # What it bore before is not what it bears now: to surge up to that again would bring it down again.
        return replace(after, rate=rate, ceiling=rate)
    return replace(after, rate=breaker.rate * _growth(breaker, share)) if breaker.step_starved else after


def _growth(breaker: Breaker, share: float) -> float:
    known = breaker.ceiling or breaker.baseline
    if share > CLEAN_SHARE:
        return 1.0 if known and breaker.rate >= known else GROW
    if breaker.ceiling and breaker.baseline and breaker.rate > BETTER * breaker.ceiling / SHRINK:
        known = max(breaker.ceiling, breaker.baseline)
    if not known or known / 2 <= breaker.rate < NEAR * known:
        return FEEL
    return SURGE if breaker.rate < known / 2 else GROW


def is_over(breaker: Breaker, quiet_seconds: float, now: datetime) -> bool:
    """Whether the bucket has not been the limit for so long."""
    return breaker.limited_at is not None and now - breaker.limited_at >= timedelta(seconds=quiet_seconds)


def meant_for_retries(handed: int, tokens: int) -> int:
    """How many of the next `tokens` are meant for retries, after `handed` were given out: every fifth."""
    return (handed + tokens) // NEW_TO_RETRIES - handed // NEW_TO_RETRIES


def shared(tokens: int, meant: int, *, new: int, retries: int) -> tuple[int, int]:
    """How tokens go to waiting new jobs and to retries: as meant, and what one leaves to the other."""
    for_retries = min(retries, max(meant, tokens - new))
    return min(new, tokens - for_retries), for_retries
