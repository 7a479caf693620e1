"""gRPC status codes, on errors of grpc, grpc.aio, grpclib and google-api-core."""

from typing import Any

from ..failure import Effect, FailureType
from ..look import Look, as_str
from ..verdict import Verdict
from . import hints

_T = FailureType
_PUSHBACK = "grpc-retry-pushback-ms"
_MANY = 50

# https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
_CODES: dict[str, tuple[FailureType, Effect | None]] = {
    "UNAVAILABLE": (_T.EXTERNAL_API_DOWN, Effect.UNKNOWN),
    "ABORTED": (_T.TRANSIENT_DATABASE, Effect.REJECTED),
    "RESOURCE_EXHAUSTED": (_T.TRANSIENT_RATE_LIMIT, Effect.REJECTED),
    "DEADLINE_EXCEEDED": (_T.TRANSIENT_TIMEOUT, Effect.UNKNOWN),
    "INTERNAL": (_T.EXTERNAL_API_DOWN, Effect.UNKNOWN),
    "UNKNOWN": (_T.EXTERNAL_API_DOWN, Effect.UNKNOWN),
    "CANCELLED": (_T.TRANSIENT_NETWORK, Effect.UNKNOWN),
    "FAILED_PRECONDITION": (_T.PERMANENT_CONFLICT, Effect.REJECTED),
    "INVALID_ARGUMENT": (_T.PERMANENT_VALIDATION, Effect.REJECTED),
    "OUT_OF_RANGE": (_T.PERMANENT_VALIDATION, Effect.REJECTED),
    "NOT_FOUND": (_T.PERMANENT_NOT_FOUND, Effect.REJECTED),
    "ALREADY_EXISTS": (_T.PERMANENT_CONFLICT, Effect.REJECTED),
    "PERMISSION_DENIED": (_T.PERMANENT_AUTH, Effect.REJECTED),
    "UNAUTHENTICATED": (_T.PERMANENT_AUTH, Effect.REJECTED),
    "UNIMPLEMENTED": (_T.PERMANENT_CODE_BUG, Effect.REJECTED),
    "DATA_LOSS": (_T.UNKNOWN, None),
}
_ROAD = (
    "failed to connect",
    "connection refused",
    "connection reset",
    "name resolution",
    "dns resolution",
    "socket closed",
)


def read(look: Look) -> Verdict | None:
    """A code that is, or returns, a member of gRPC's StatusCode."""
    name = _code_name(look)
    return None if name is None else verdict_of_code(name, look)


def _code_name(look: Look) -> str | None:
    code = look.read("code")
    if callable(code):
        code = look.call(code) if callable(look.read("details")) else None
    for value in (code, look.read("grpc_status_code"), look.read("status")):
        if value is None:
            continue
        name = as_str(look.read("name", of=value))
        if name in _CODES and not _is_http(look, value):
            return name
    return None


def _is_http(look: Look, value: Any) -> bool:
    """`http.HTTPStatus.NOT_FOUND` has gRPC's name and is none of its members."""
    return issubclass(type(value), int) and 100 <= (look.attempt(int, value) or 0) < 600  # noqa: PLR2004 - HTTP's range


def verdict_of_code(name: str, look: Look) -> Verdict:
    """The verdict of a code, refined by the details where a code means two things."""
    kind, effect = _CODES[name]
    reason: str | None = None
    said = (as_str(look.call(look.read("details"))) or look.text)[:1000].lower()
    if name == "UNAVAILABLE" and any(part in said for part in _ROAD):
        kind, effect = _T.TRANSIENT_NETWORK, Effect.NOT_SENT
    elif name == "RESOURCE_EXHAUSTED" and ("billing" in said or "quotafailure" in said):
        kind, reason = _T.PERMANENT_AUTH, "billing"
    elif name == "RESOURCE_EXHAUSTED" and ("no space left" in said or "disk" in said):
        kind = _T.SYSTEM_DISK_FULL
    elif name == "DATA_LOSS":
        reason = "corruption"
    verdict = Verdict(
        type=kind,
        rule=f"grpc.{name}",
        detail=f"gRPC {name}",
        effect=effect,
        reason=reason,
        retryable=False if reason == "corruption" else None,
        if_repeated=_T.PERMANENT_CONFLICT if name == "ABORTED" else None,
    )
    return _with_pushback(look, verdict)


def _with_pushback(look: Look, verdict: Verdict) -> Verdict:
    """The A6 proposal: milliseconds; a negative or unreadable value means do not retry."""
    metadata = look.call(look.read("trailing_metadata"))
    for pair in list(metadata)[:_MANY] if issubclass(type(metadata), tuple | list) else ():
        if issubclass(type(pair), tuple) and len(pair) == 2 and as_str(pair[0]) == _PUSHBACK:  # noqa: PLR2004 - key and value
            text = as_str(pair[1]) or ""
            if not text.isdecimal() or len(text) > 12:  # noqa: PLR2004 - beyond any wait
                return hints.applied(verdict, None, wanted=False)
            return hints.applied(verdict, hints.seconds_hint(int(text) / 1000, _PUSHBACK), wanted=None)
    return verdict
