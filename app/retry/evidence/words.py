"""What names and messages say, in falling confidence. Read only where no code speaks."""

import re
from collections.abc import Sequence
from functools import lru_cache

from ..failure import FailureType
from ..look import Facts, Look
from ..phrases import words_of_name, words_of_text
from ..verdict import Strength, Verdict
from . import http, system
from .known import KNOWN
from .vocabulary import NAMES, TEXTS

_T = FailureType
# What a name says about the road is coarse; the error below it may know the reason.
_COARSE = frozenset({_T.TRANSIENT_NETWORK, _T.EXTERNAL_API_DOWN, _T.TRANSIENT_DATABASE, _T.TRANSIENT_TIMEOUT})
# Their text quotes the data they refused: it proves nothing about the world.
_QUOTING = frozenset({"ValueError", "LookupError", "TypeError", "ArithmeticError", "AttributeError", "SyntaxError"})
_SILENT = frozenset({"Exception", "BaseException", "RuntimeError", "OSError", "BaseExceptionGroup", "ExceptionGroup"})
_STATUS = re.compile(
    r"\b(?:http(?:/\d(?:\.\d)?)?|status|status[ _]?code|response code|responded with|answered with|returned)"
    r"[ :=(\[]{0,3}(?:error|code|status|with|is|of|http)?[ :=(\[]{0,3}([345]\d\d)\b(?!\.\d)"
)
_ERRNO = re.compile(r"\[errno (\d{1,3})\]")


@lru_cache(maxsize=1024)
def verdict_of_class(facts: Facts) -> Verdict | None:
    """The most derived class of the MRO that is known, or whose name says what happened."""
    for key in facts.keys:
        verdict = KNOWN.get(key) or (None if key in _SILENT else verdict_of_name(key))
        if verdict is not None:
            return verdict
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
        strength=Strength.CARRIER if phrase.type in _COARSE else Strength.CLASS,
        confidence=0.75,
        reason=phrase.reason,
    )


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
    )


def verdict_of_text(look: Look) -> Verdict | None:
    """A verdict from the message, unless the class is one that quotes data."""
    if not _QUOTING.isdisjoint(look.facts.keys):
        return None
    return read_text(look.text, look)


def read_text(text: str, look: Look) -> Verdict | None:
    """A verdict from running text: a status or errno it spells out, else the most telling phrase."""
    head = text[:1000].lower()
    if "[errno " in head and (match := _ERRNO.search(head)):
        known = system.verdict_of_errno(int(match[1]))
        if known is not None:
            return known
    words = words_of_text(text)
    phrase = TEXTS.find(words)
    if phrase is None or phrase.type in _COARSE:
        match = _STATUS.search(head)
        if match:
            return _spoken(http.verdict_of_status(int(match[1]), look))
    return None if phrase is None else _of_phrase(phrase.type, phrase.text, phrase.reason)


def _spoken(verdict: Verdict) -> Verdict:
    return Verdict(
        type=verdict.type,
        rule=f"text.{verdict.rule}",
        detail=verdict.detail,
        strength=Strength.WORDS,
        confidence=0.7,
        retryable=verdict.retryable,
        reason=verdict.reason,
    )


def _of_phrase(kind: FailureType, phrase: str, reason: str | None) -> Verdict:
    return Verdict(
        type=kind,
        rule=f"text.{phrase.replace(' ', '_')}",
        detail=f'the message says "{phrase}"',
        strength=Strength.WORDS,
        confidence=0.6,
        reason=reason,
    )
