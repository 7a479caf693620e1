"""FTP replies (RFC 959, 4.2), on the errors of ftplib and aioftp."""

from ..failure import Effect, FailureType
from ..look import Look, as_str
from ..verdict import Verdict
from . import texts

_T = FailureType
_REPLIES = {
    "421": _T.TRANSIENT_NETWORK, "425": _T.TRANSIENT_NETWORK, "426": _T.TRANSIENT_NETWORK,
    "430": _T.PERMANENT_AUTH, "434": _T.TRANSIENT_NETWORK, "450": _T.TRANSIENT_RESOURCE,
    "451": _T.EXTERNAL_API_DOWN, "452": _T.SYSTEM_DISK_FULL, "530": _T.PERMANENT_AUTH, "532": _T.PERMANENT_AUTH,
    "550": _T.PERMANENT_NOT_FOUND, "552": _T.SYSTEM_DISK_FULL, "553": _T.PERMANENT_VALIDATION,
}  # fmt: skip
# 550 is "unavailable", for whatever reason: its words know better.
_VAGUE = frozenset({"550", "553"})
_NOT_GIVEN = "500"


def _code(look: Look) -> str | None:
    """The first three characters of ftplib's message; the last of aioftp's `received_codes`."""
    if "ftplib" in look.facts.roots:
        return look.text[:3]
    codes = look.read("received_codes") if "aioftp" in look.facts.roots else None
    return as_str(codes[-1]) if type(codes) is tuple and codes else None


def read(look: Look) -> Verdict | None:
    """The reply that ended the call."""
    code = _code(look)
    if code is None or not (code.isascii() and code.isdigit()):
        return None
    spoken = texts.verdict_of_text(look) if code in _VAGUE else None
    if spoken is not None and spoken.type.startswith("PERMANENT"):
        return spoken
    kind = _REPLIES.get(code) or (_T.PERMANENT_CODE_BUG if code >= _NOT_GIVEN else _T.TRANSIENT_NETWORK)
    return Verdict(type=kind, rule=f"ftp.{code}", detail=f"FTP reply {code}", effect=Effect.REJECTED)
