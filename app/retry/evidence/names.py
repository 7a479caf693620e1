"""What the names of classes and codes say: known classes first, then the words a name is made of."""

from collections.abc import Sequence
from functools import lru_cache

from ..failure import FailureType
from ..look import Facts
from ..phrases import Phrase, words_of_name
from ..verdict import Strength, Verdict
from .known import KNOWN, effect_of
from .name_words import NAMES

_T = FailureType
# What a name says about the road is coarse; the error below it may know the reason.
COARSE = frozenset({_T.TRANSIENT_NETWORK, _T.EXTERNAL_API_DOWN, _T.TRANSIENT_DATABASE, _T.TRANSIENT_TIMEOUT})
FINAL = "final"  # Whatever it was, its library says that no retry mends it.
GAVE_UP = "gave_up"  # It tried for itself; only what it met says why.
_SILENT = frozenset({"Exception", "BaseException", "RuntimeError", "OSError", "BaseExceptionGroup", "ExceptionGroup"})


@lru_cache(maxsize=1024)
def verdict_of_class(facts: Facts) -> Verdict | None:
    """The most derived class of the MRO that is known, or whose name says what happened."""
    verdict = _of_class(facts)
    return None if verdict is None else verdict._replace(effect=effect_of(facts.keys))


def _of_class(facts: Facts) -> Verdict | None:
    for position, key in enumerate(facts.keys):
        known = KNOWN.get(key)
        if known is not None:
            return known
        spoken = None if key in _SILENT else verdict_of_name(key)
        if spoken is not None:
            return _known_to_its_library(facts.keys[position:]) or spoken
    return None


def _known_to_its_library(keys: Sequence[str]) -> Verdict | None:
    """A library's own base that means one thing is better evidence than the words of its subclass."""
    package = keys[0].rpartition(".")[0]
    for key in keys[1:]:
        known = KNOWN.get(key)
        if known is not None and package and key.startswith(f"{package}.") and known.strength >= Strength.CLASS:
            return known
    return None


def verdict_of_name(key: str) -> Verdict | None:
    """A verdict from the words of a class name; the words ``Error`` and ``Exception`` say nothing."""
    name = key.rpartition(".")[2]
    phrase = NAMES.find(words_of_name(name))
    if phrase is None:
        return None
    return Verdict(
        type=phrase.type,
        rule=f"name.{phrase.text.replace(' ', '_')}",
        detail=name,
        strength=_strength(phrase),
        confidence=0.75,
        reason=phrase.reason,
        retryable=False if phrase.reason == FINAL else None,
    )


def _strength(phrase: Phrase) -> Strength:
    if phrase.reason == GAVE_UP:
        return Strength.GENERIC
    return Strength.CARRIER if phrase.type in COARSE or phrase.reason == FINAL else Strength.CLASS


def verdict_of_code(source: str, code: str) -> Verdict | None:
    """A verdict from a symbolic error code such as ``rate_limit_exceeded`` or ``NoSuchBucket``."""
    phrase = NAMES.find(words_of_name(code))
    if phrase is None:
        return None
    return Verdict(
        type=phrase.type,
        rule=f"{source}.{code[:60]}",
        detail=f"error code {code[:60]}",
        confidence=0.9,
        reason=phrase.reason,
        retryable=False if phrase.reason == FINAL else None,
    )
