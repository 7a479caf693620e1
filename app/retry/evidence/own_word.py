"""An exception's own word on whether to try again, such as `retryable`. Heard where nothing better is known."""

from ..failure import FailureType
from ..look import Look
from ..taxonomy import TAXONOMY
from ..verdict import Strength, Verdict
from .names import FINAL

_WORTH_IT = ("retryable", "retriable", "is_retryable", "is_retriable", "should_retry")
_IN_VAIN = ("non_retryable", "is_non_retryable")
_NOBODY_KNOWS = Verdict(type=FailureType.UNKNOWN, rule="own_word", detail="")


def added(verdict: Verdict | None, look: Look) -> Verdict | None:
    """`verdict`, as far as the exception itself does not contradict it."""
    if verdict is not None and verdict.strength is not Strength.GENERIC:
        return verdict
    said = _said(look)
    if said is None:
        return verdict
    name, worth_it = said
    if verdict is None or TAXONOMY[verdict.type].retryable is not worth_it:
        # Why it failed remains unknown, and whoever wrote it knows only this.
        verdict = _NOBODY_KNOWS._replace(reason=None if worth_it else FINAL)
    return verdict._replace(
        rule=f"own_word.{name}",
        detail=f"it says of itself {name} = {worth_it is (name in _WORTH_IT)}",
        strength=Strength.WORDS,
        confidence=0.5,
        retryable=worth_it,
    )


def _said(look: Look) -> tuple[str, bool] | None:
    """The first attribute that truly is a bool, and whether it speaks for another try."""
    for name in (*_WORTH_IT, *_IN_VAIN):
        value = look.read(name)
        if value is True or value is False:
            return name, value is (name in _WORTH_IT)
    return None
