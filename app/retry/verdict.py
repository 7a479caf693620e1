"""What one observation says about a failure. Readers of evidence return a `Verdict` or None; `chain` weighs them."""

from enum import IntEnum
from typing import NamedTuple

from .failure import Effect, FailureType, Hint


class Strength(IntEnum):
    """How a verdict stands against those of other links in the chain of causes.

    The outermost verdict of the highest band wins: CLASS and CODE are one band, since the outer link
    knows what the inner one meant there; a CARRIER only says "something below me broke".
    """

    GENERIC = 1  # ValueError, RuntimeError: true, and saying little.
    WORDS = 2  # Read from a message.
    CARRIER = 3  # A wrapper's class: right, unless the wrapped error knows better.
    CLASS = 4  # A class that means one thing.
    CODE = 5  # A code from the other side: SQLSTATE, status, errno.


class Verdict(NamedTuple):
    """One observation and what it means.

    Attributes:
        type: The failure type it speaks for.
        rule: Stable id, such as ``sqlstate.40001``.
        detail: What was seen, in a few words; the operator reads it first.
        strength: Its band.
        confidence: 0 to 1, before context.
        retryable: None leaves it to the type.
        effect: Whether the call may have taken effect.
        reason: Finer cause, a key of `taxonomy.REFINEMENTS`.
        hint: When the other side said to come back.
        if_repeated: The type from the third identical failure on, where repetition changes the meaning.
        secondary: It followed from an earlier error, which is the one to look at.
    """

    type: FailureType
    rule: str
    detail: str
    strength: Strength = Strength.CODE
    confidence: float = 0.99
    retryable: bool | None = None
    effect: Effect | None = None
    reason: str | None = None
    hint: Hint | None = None
    if_repeated: FailureType | None = None
    secondary: bool = False
