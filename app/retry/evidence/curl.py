"""libcurl's codes on the errors of pycurl and curl_cffi; https://curl.se/libcurl/c/libcurl-errors.html."""

from ..failure import Effect, FailureType
from ..look import Look, as_int
from ..verdict import Verdict
from . import texts

_T = FailureType
_ROWS: tuple[tuple[FailureType, Effect | None, str], ...] = (
    (_T.TRANSIENT_NETWORK, Effect.NOT_SENT, "5 6 7 35 45 97"),
    (_T.TRANSIENT_NETWORK, Effect.UNKNOWN, "16 18 52 55 56 92 95"),
    (_T.TRANSIENT_TIMEOUT, Effect.UNKNOWN, "12 28"),
    (_T.CONFIG_MISSING_SETTING, Effect.NOT_SENT, "47 51 53 54 58 59 60 66 77 82 83 90 91"),
    (_T.PERMANENT_AUTH, Effect.REJECTED, "9 67 69 94"),
    (_T.PERMANENT_NOT_FOUND, Effect.REJECTED, "37 78"),
    (_T.PERMANENT_VALIDATION, None, "26 33 36 61 63 65"),
    (_T.PERMANENT_CODE_BUG, None, "1 2 3 4 41 43 48 49"),
    (_T.SYSTEM_OUT_OF_MEMORY, None, "27"),
    (_T.SYSTEM_DISK_FULL, None, "70"),
    (_T.EXTERNAL_API_DOWN, Effect.UNKNOWN, "8"),
)
_CODES = {int(code): (kind, effect) for kind, effect, codes in _ROWS for code in codes.split()}
_HTTP_RETURNED_ERROR = 22


def read(look: Look) -> Verdict | None:
    """The number that `pycurl.error` has as its first argument and curl_cffi as its `code`."""
    if look.facts.roots.isdisjoint(("pycurl", "curl_cffi")):
        return None
    args = look.exc.args
    code = look.integer("code") or (as_int(args[0]) if args else None)
    if code == _HTTP_RETURNED_ERROR:
        return texts.read_text(look.text, look)
    if code not in _CODES or code is None:
        return None
    kind, effect = _CODES[code]
    return Verdict(type=kind, rule=f"curl.{code}", detail=f"libcurl error {code}", effect=effect)
