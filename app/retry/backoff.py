"""How long to wait before the nth retry, and over what range to spread it. Plain floats in, plain floats out.

Every curve is clamped to its cap before a number can overflow: retry 10 000 is as good as retry 1.
A jitter is a range, not a draw; the draw is made once, by `decide`, where it is also explained.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, assert_never

from .draws import Chance
from .words import duration


class Backoff(StrEnum):
    """The curve of the waits. With a first wait of d: d·mⁿ⁻¹ · d·n · d·1,1,2,3,5… · d · 0."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIBONACCI = "fibonacci"
    FIXED = "fixed"
    IMMEDIATE = "immediate"


class Jitter(StrEnum):
    """How a wait d is spread: d · d ±10 % · [d/2, d] · [0, d] · [first, thrice the wait before].

    Equal, full and decorrelated as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    NONE = "none"
    PROPORTIONAL = "proportional"
    EQUAL = "equal"
    FULL = "full"
    DECORRELATED = "decorrelated"


PROPORTION = 0.1
"""Share of the wait by which proportional jitter moves it, either way."""

CHAIN_LINKS = 64
"""Links of a decorrelated chain that are drawn; by then it has forgotten where it began."""


def _fibonacci(limit: float) -> tuple[int, ...]:
    terms = [1, 1]
    while terms[-1] < limit:
        terms.append(terms[-1] + terms[-2])
    return tuple(terms)


# Enough for a first wait of one microsecond to reach a cap of ten years.
_FIBONACCI = _fibonacci(10 * 366 * 86_400 * 1e6)


def planned(backoff: Backoff, retry: int, *, initial: float, multiplier: float, cap: float) -> float:
    """Seconds to wait before retry number `retry` (1 is the first), without jitter: in [0, cap], never falling."""
    if initial <= 0:
        return 0.0
    nth = max(1, retry)
    try:
        match backoff:
            case Backoff.EXPONENTIAL:
                seconds = initial * multiplier ** (nth - 1)
            case Backoff.LINEAR:
                seconds = initial * nth
            case Backoff.FIBONACCI:
                seconds = initial * _FIBONACCI[min(nth, len(_FIBONACCI)) - 1]
            case Backoff.FIXED:
                seconds = initial
            case Backoff.IMMEDIATE:
                return 0.0
            case _:
                assert_never(backoff)
    except OverflowError:  # Past what a float holds is past any cap.
        return cap
    return min(seconds, cap)


def reading(backoff: Backoff, *, initial: float, multiplier: float) -> str:
    """The curve as an operator reads it."""
    first = duration(initial)
    match backoff:
        case Backoff.EXPONENTIAL:
            return f"exponential {first} ×{multiplier:g}"
        case Backoff.LINEAR:
            return f"linear {first} more each time"
        case Backoff.FIBONACCI | Backoff.FIXED:
            return f"{backoff} {first}"
        case Backoff.IMMEDIATE:
            return "immediate"
        case _:
            assert_never(backoff)


class Spread(NamedTuple):
    """The range, in seconds, from which one wait is drawn evenly."""

    low: float
    high: float


def spread(  # noqa: PLR0913  Numbers, so that this file knows no policy.
    jitter: Jitter, seconds: float, *, retry: int, initial: float, cap: float, rng: Chance
) -> Spread:
    """Over what range a wait of `seconds` is spread; inside [0, cap] where `seconds` is.

    Only decorrelated jitter uses `retry`, `initial` and `rng`: nobody remembers the wait before, so the chain
    that led to it is drawn anew, which gives the same distribution. At the cap every range is narrowed instead of its
    draws being clamped: clamped, jobs would gather on the cap and return in one instant.
    """
    if jitter is Jitter.DECORRELATED:
        first = min(initial, cap)
        return Spread(first, min(cap, 3 * _wait_before(first, cap, retry, rng)))
    return _spread(jitter, seconds, cap)


# The waits of a policy are few.
@lru_cache(maxsize=1024)
def _spread(jitter: Jitter, seconds: float, cap: float) -> Spread:
    match jitter:
        case Jitter.PROPORTIONAL:
            return Spread(seconds * (1 - PROPORTION), max(seconds, min(seconds * (1 + PROPORTION), cap)))
        case Jitter.EQUAL:
            return Spread(seconds / 2, seconds)
        case Jitter.FULL:
            return Spread(0.0, seconds)
        case _:
            return Spread(seconds, seconds)


def _wait_before(first: float, cap: float, retry: int, rng: Chance) -> float:
    wait = first
    for _ in range(min(retry - 1, CHAIN_LINKS)):
        wait = rng.uniform(first, min(cap, 3 * wait))
    return wait
