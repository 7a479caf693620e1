"""What a message says. Read only where neither code nor class speaks."""

import re

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
    r"\b(?:http(?:/\d(?:\.\d)?)?|status|status[ _]?code|response code|too many|responded with|answered with|returned"
    r"|error|errno|received)"
    r"[ :=(\[]{0,3}(?:error|code|status|with|is|of|http)?[ :=(\[]{0,3}([345]\d\d)\b(?!\.\d)"
    # What is counted is no status: "returned 300 rows", "received 512 of 1024".
    r"(?! ?%| of \d| (?:rows?|records?|items?|results?|lines|files|entries|documents|messages|objects|elements|values"
    r"|columns|pages|points|samples|users|customers|orders|events|matches|hits|keys|jobs|tasks|tokens|characters|chars"
    r"|bytes|[km]i?b|minutes|seconds|milliseconds|ms|s)\b)"
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
# Names that say what kind of thing failed, and not why.
_VAGUE = frozenset({
    "name.constraint", "name.query_error", "name.query_failed", "name.bad", "name.rejected", "name.upload_failed",
    "name.download_failed", "name.transfer_failed", "name.copy_failed", "name.upload_error", "name.download_error",
    "name.transfer_error", "name.gateway_timeout",
})  # fmt: skip
_STATEMENT = "\n[SQL"  # SQLAlchemy's messages end with the statement: somebody else's words.
_LEADING = r"^[(<]?([345]\d\d)(?:[:)]| [A-Z])"
_ERRNO = r"\[errno (\d{1,3})\]"


def verdict_of_text(look: Look) -> Verdict | None:
    """A verdict from the message, unless the class is one that quotes data."""
    if not _QUOTING.isdisjoint(look.facts.keys):
        return _of_quoting(look)
    spoken = read_text(look.text, look)
    if spoken is not None and spoken.type is not _T.PERMANENT_VALIDATION:
        return spoken
    return _of_symbol(look.text) or spoken


def _of_quoting(look: Look) -> Verdict | None:
    """A library's own subclass speaks in the library's words; the builtin itself may be anybody's."""
    if "." in look.facts.keys[0]:
        return read_text(look.text, look)
    return _of_setting(look) if "ValueError" in look.facts.keys else None


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
    phrase = TEXTS.find(words) or (_of_quoted(text) if _is_quotation(text, len(words)) else None)
    if phrase is None or phrase.type in COARSE:
        match = re.search(_STATUS, head) or re.match(_LEADING, text)
        if match:
            return _spoken(http.verdict_of_status(int(match[1]), look))
    return None if phrase is None else _of_phrase(phrase.type, phrase.text, phrase.reason)


def _is_quotation(text: str, around: int) -> bool:
    return around < _FEW_WORDS or (around == _FEW_WORDS and text.rstrip(" .\n)}]")[-1:] in _QUOTES)


def _of_quoted(text: str) -> Phrase | None:
    """A message that is hardly more than a quoted one relays what somebody else said."""
    return TEXTS.find(words_of_text(text.translate(_UNQUOTED)))


def refined(by_class: Verdict, look: Look) -> Verdict:
    """The verdict of a coarse class or of a vague name, unless the message names a cause that lies elsewhere."""
    vague = by_class.rule in _VAGUE
    if not vague and by_class.strength is not Strength.CARRIER:
        return by_class
    phrase = TEXTS.find(words_of_text(look.text.partition(_STATEMENT)[0]))
    if phrase is None or not _is_finer(phrase, by_class, vague=vague):
        symbol = _of_symbol(look.text) if vague else None
        return by_class if symbol is None else symbol._replace(strength=by_class.strength)
    return _of_phrase(phrase.type, phrase.text, phrase.reason)._replace(strength=by_class.strength)


def _is_finer(phrase: Phrase, by_class: Verdict, *, vague: bool) -> bool:
    if vague:
        return len(phrase.words) > 1
    # PEP 249 gives a wrong password, a missing table and a lost connection one class.
    return phrase.type in _FINER or (by_class.type is _T.TRANSIENT_DATABASE and phrase.type is not _T.TRANSIENT_NETWORK)


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
        retryable=False if reason == "corruption" else None,
    )
