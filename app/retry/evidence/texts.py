"""What a message says. Read only where neither code nor class speaks."""

import re
from dataclasses import replace

from ..failure import FailureType
from ..look import Look
from ..phrases import Phrase, words_of_name, words_of_text
from ..verdict import Strength, Verdict
from . import errnos, http
from .name_words import NAMES
from .names import COARSE
from .text_words import SETTINGS, TEXTS

# Their text quotes the data they refused: it proves nothing about the world.
_QUOTING = frozenset({"ValueError", "LookupError", "TypeError", "ArithmeticError", "AttributeError", "SyntaxError"})
_STATUS = (
    r"\b(?:http(?:/\d(?:\.\d)?)?|status|status[ _]?code|response code|too many|responded with|answered with|returned)"
    r"[ :=(\[]{0,3}(?:error|code|status|with|is|of|http)?[ :=(\[]{0,3}([345]\d\d)\b(?!\.\d)"
)
_T = FailureType
_SYMBOL = re.compile(r"\b[A-Za-z]{2,20}_[A-Za-z_]{2,40}\b")
_MANY_SYMBOLS = 8
_FEW_WORDS = 3
_QUOTES = ("'", '"', "`")
_UNQUOTED = str.maketrans(dict.fromkeys(_QUOTES, " "))
# What a coarse class may turn out to be; "not found" and "invalid" are also said of hosts and of frames.
_FINER = frozenset({
    _T.PERMANENT_AUTH, _T.CONFIG_MISSING_SETTING, _T.TRANSIENT_RATE_LIMIT, _T.TRANSIENT_RESOURCE, _T.SYSTEM_DISK_FULL,
    _T.SYSTEM_OUT_OF_MEMORY,
})  # fmt: skip
_ERRNO = r"\[errno (\d{1,3})\]"


def verdict_of_text(look: Look) -> Verdict | None:
    """A verdict from the message, unless the class is one that quotes data."""
    if not _QUOTING.isdisjoint(look.facts.keys):
        return _of_setting(look) if "ValueError" in look.facts.keys else None
    return read_text(look.text, look) or _of_symbol(look.text)


def _of_setting(look: Look) -> Verdict | None:
    phrase = SETTINGS.find(words_of_text(look.text))
    return None if phrase is None else _of_phrase(phrase.type, phrase.text, phrase.reason)


def _of_symbol(text: str) -> Verdict | None:
    """The last resort: a symbol such as ``not_found`` or ``RATE_LIMIT_EXCEEDED`` somewhere in the message."""
    for symbol in _SYMBOL.findall(text[:500])[:_MANY_SYMBOLS]:
        phrase = NAMES.find(words_of_name(symbol))
        if phrase is not None and len(phrase.words) > 1:
            return _of_phrase(phrase.type, symbol, phrase.reason)
    return None


def read_text(text: str, look: Look) -> Verdict | None:
    """A verdict from running text: a status or errno it spells out, else the most telling phrase."""
    head = text[:1000].lower()
    if "[errno " in head and (match := re.search(_ERRNO, head)):
        known = errnos.verdict_of_errno(int(match[1]))
        if known is not None:
            return known
    words = words_of_text(text)
    phrase = TEXTS.find(words) or (_of_quoted(text) if len(words) <= _FEW_WORDS and _ends_quoted(text) else None)
    if phrase is None or phrase.type in COARSE:
        match = re.search(_STATUS, head)
        if match:
            return _spoken(http.verdict_of_status(int(match[1]), look))
    return None if phrase is None else _of_phrase(phrase.type, phrase.text, phrase.reason)


def _ends_quoted(text: str) -> bool:
    return text.rstrip(" .\n)")[-1:] in _QUOTES


def _of_quoted(text: str) -> Phrase | None:
    """A message that is hardly more than a quoted one relays what somebody else said."""
    return TEXTS.find(words_of_text(text.translate(_UNQUOTED)))


def refined(coarse: Verdict, look: Look) -> Verdict:
    """The verdict of a coarse class, unless its message names a cause that lies elsewhere than on the road."""
    phrase = TEXTS.find(words_of_text(look.text))
    if phrase is None or phrase.type not in _FINER:
        return coarse
    return replace(_of_phrase(phrase.type, phrase.text, phrase.reason), strength=coarse.strength)


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
