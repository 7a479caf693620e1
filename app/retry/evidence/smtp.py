"""SMTP replies of smtplib and aiosmtplib: the enhanced code (RFC 3463) wins over the three digits (RFC 5321)."""

import re
from typing import Any

from ..failure import Effect, FailureType, Hint
from ..look import Look, as_int, as_str
from ..verdict import Verdict

_T = FailureType
_ENHANCED = r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])"
_LIBRARIES = frozenset({"smtplib", "aiosmtplib"})
_MANY = 1000
# Greylisting, and limits per connection: both outlast a minute, and RFC 5321 (4.5.4.1) asks for more patience still.
_COME_BACK_LATER = frozenset({421, 450, 451})
_LATER_SECONDS = 300.0
_LOWEST, _HIGHEST = 200, 599

# By the three digits; any other 4xx or 5xx is taken by its first digit.
_REPLIES: dict[int, FailureType] = {
    421: _T.TRANSIENT_NETWORK, 450: _T.TRANSIENT_NETWORK, 451: _T.TRANSIENT_NETWORK, 452: _T.TRANSIENT_RESOURCE,
    454: _T.EXTERNAL_API_DOWN, 432: _T.PERMANENT_AUTH, 422: _T.TRANSIENT_RESOURCE, 455: _T.PERMANENT_VALIDATION,
    500: _T.PERMANENT_CODE_BUG, 501: _T.PERMANENT_CODE_BUG, 502: _T.PERMANENT_CODE_BUG, 503: _T.PERMANENT_CODE_BUG,
    504: _T.PERMANENT_CODE_BUG, 521: _T.PERMANENT_NOT_FOUND, 556: _T.PERMANENT_NOT_FOUND,
    530: _T.PERMANENT_AUTH, 534: _T.PERMANENT_AUTH, 535: _T.PERMANENT_AUTH, 538: _T.PERMANENT_AUTH,
    550: _T.PERMANENT_NOT_FOUND, 551: _T.PERMANENT_NOT_FOUND, 553: _T.PERMANENT_NOT_FOUND,
    552: _T.PERMANENT_VALIDATION, 554: _T.PERMANENT_VALIDATION, 555: _T.PERMANENT_VALIDATION,
}  # fmt: skip


def read(look: Look) -> Verdict | None:
    """`smtp_code`, aiosmtplib's `code`, or the replies to the recipients."""
    if _LIBRARIES.isdisjoint(look.facts.roots):
        return None
    refused = look.read("recipients")
    if refused is not None:
        return _of_recipients(look, refused)
    code = look.integer("smtp_code")
    said = look.string("smtp_error")
    if code is None:
        code, said = look.integer("code"), look.string("message")
    return None if code is None else verdict_of_reply(code, said or "")


def verdict_of_reply(code: int, said: str) -> Verdict | None:
    """The verdict of one reply."""
    if not _LOWEST <= code <= _HIGHEST:
        return None
    enhanced = re.search(_ENHANCED, said[:300])
    text = said[:300].lower()
    kind = (_by_enhanced(enhanced, code, text) if enhanced else None) or _by_reply(code, text)
    shown = f"{code} {enhanced[0]}" if enhanced else str(code)
    return Verdict(
        type=kind,
        rule=f"smtp.{shown.replace(' ', '_')}",
        detail=f"SMTP reply {shown}",
        effect=Effect.REJECTED,
        hint=_later(kind, code),
        retryable=None if kind.startswith("PERMANENT") == (code // 100 == 5) else code // 100 != 5,  # noqa: PLR2004 - 5yz is final
    )


def _later(kind: FailureType, code: int) -> Hint | None:
    waits = kind is _T.TRANSIENT_NETWORK and code in _COME_BACK_LATER
    return Hint(_LATER_SECONDS, f"SMTP {code}") if waits else None


def _by_reply(code: int, text: str) -> FailureType:
    if code // 100 == 4 and _is_rate(text):  # noqa: PLR2004 - 4yz is transient
        return _T.TRANSIENT_RATE_LIMIT
    known = _REPLIES.get(code)
    if known is _T.PERMANENT_NOT_FOUND and any(
        word in text for word in ("spam", "policy", "blocked", "blacklist", "relay")
    ):
        return _T.PERMANENT_VALIDATION
    if known is not None:
        return known
    return _T.PERMANENT_VALIDATION if code // 100 == 5 else _T.TRANSIENT_NETWORK  # noqa: PLR2004 - 5yz is final


def _is_rate(text: str) -> bool:
    return any(
        word in text for word in ("rate limit", "too many", "rate exceeded", "throttl", "slow down", "sending rate")
    )


def _by_enhanced(match: re.Match[str], code: int, text: str) -> FailureType | None:
    klass, subject, detail = int(match[1]), int(match[2]), int(match[3])
    if klass == 4:  # noqa: PLR2004 - persistent transient failure
        return _transient(subject, detail, code, text)
    if klass == 5:  # noqa: PLR2004 - permanent failure
        return _permanent(subject, detail, code)
    return None


def _transient(subject: int, detail: int, code: int, text: str) -> FailureType | None:
    if _is_rate(text):
        return _T.TRANSIENT_RATE_LIMIT
    if subject == 7:  # noqa: PLR2004 - security or policy
        return _T.EXTERNAL_API_DOWN if code == 454 else _T.TRANSIENT_RATE_LIMIT if "greylist" not in text else None  # noqa: PLR2004 - temporary authentication failure
    if (subject, detail) in ((2, 2), (3, 1)):
        return _T.TRANSIENT_RESOURCE
    return None


def _permanent(subject: int, detail: int, code: int) -> FailureType | None:
    if subject == 1:
        return _T.PERMANENT_NOT_FOUND
    if subject == 2:  # noqa: PLR2004 - mailbox: full is the recipient's matter, disabled means gone
        return _T.PERMANENT_NOT_FOUND if detail in (0, 1) else _T.PERMANENT_VALIDATION
    if subject == 5:  # noqa: PLR2004 - protocol
        return _T.PERMANENT_CODE_BUG
    if subject == 7:  # noqa: PLR2004 - security: authentication, else policy
        return _T.PERMANENT_AUTH if code in (530, 534, 535, 538) or detail in (8, 9) else _T.PERMANENT_VALIDATION
    return _T.PERMANENT_VALIDATION if subject in (3, 4, 6) else None


def _of_recipients(look: Look, refused: Any) -> Verdict | None:
    """One refusal for now is enough to try those recipients again."""
    replies = [reply for reply in _replies(look, refused)[:_MANY] if reply is not None]
    if not replies:
        return None
    for reply in replies:
        if reply.type.startswith(("TRANSIENT", "EXTERNAL", "SYSTEM")):
            return Verdict(
                type=reply.type, rule=reply.rule, detail=reply.detail, effect=Effect.REJECTED, hint=reply.hint,
                reason="recipients" if len(replies) > 1 else None,
            )  # fmt: skip
    return replies[0]


def _replies(look: Look, refused: Any) -> list[Verdict | None]:
    if type(refused) is dict:
        pairs = [value for value in list(refused.values())[:_MANY] if type(value) is tuple and len(value) == 2]  # noqa: PLR2004 - code and text
        return [verdict_of_reply(as_int(code) or 0, as_str(text) or "") for code, text in pairs]
    if type(refused) is list:
        errors = refused[:_MANY]
        return [verdict_of_reply(look.integer("code", of=e) or 0, look.string("message", of=e) or "") for e in errors]
    return []
