"""FTP replies (RFC 959, 4.2), which ftplib puts at the beginning of the message."""

from ..failure import Effect, FailureType
from ..look import Look
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


def read(look: Look) -> Verdict | None:
    """The reply of an `ftplib.error_temp` or `error_perm`."""
    if "ftplib" not in look.facts.roots:
        return None
    code = look.text[:3]
    if not (code.isascii() and code.isdigit()):
        return None
    spoken = texts.verdict_of_text(look) if code in _VAGUE else None
    if spoken is not None and spoken.type.startswith("PERMANENT"):
        return spoken
    kind = _REPLIES.get(code) or (_T.PERMANENT_CODE_BUG if code >= _NOT_GIVEN else _T.TRANSIENT_NETWORK)
    return Verdict(type=kind, rule=f"ftp.{code}", detail=f"FTP reply {code}", effect=Effect.REJECTED)
