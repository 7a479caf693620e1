"""HTTP statuses on the errors of any client library, and what servers say beside the status."""

from typing import Any

from ..failure import Effect, FailureType
from ..look import Look, as_int, as_str
from ..verdict import Verdict
from . import hints, names

_T = FailureType

# 1.2 of RFC 9110 and the registry of statuses, and what proxies add (nginx 4xx, Cloudflare 52x, 530).
_STATUSES: tuple[tuple[FailureType, str], ...] = (
    (_T.PERMANENT_VALIDATION, "400 405 406 411 413 414 415 416 417 418 422 431 494"),
    (_T.PERMANENT_AUTH, "401 402 403 407 419 440 451 498 511"),
    (_T.PERMANENT_NOT_FOUND, "404 410"),
    (_T.TRANSIENT_NETWORK, "408 421 425 444 460"),
    (_T.PERMANENT_CONFLICT, "409 412 423 424 428"),
    (_T.TRANSIENT_RATE_LIMIT, "420 429"),
    (_T.PERMANENT_CODE_BUG, "426 501 505 506"),
    (_T.CONFIG_MISSING_SETTING, "495 496 497 525 526"),
    (_T.TRANSIENT_TIMEOUT, "499 598 599"),
    (_T.EXTERNAL_API_DOWN, "500 502 503 504 507 508 509 510 520 521 522 523 524 527 529 530"),
)  # fmt: skip
_KIND = {int(code): kind for kind, codes in _STATUSES for code in codes.split()}
_PHRASES = {
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 412: "Precondition Failed", 413: "Content Too Large",
    422: "Unprocessable Content", 425: "Too Early", 429: "Too Many Requests", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout", 529: "Overloaded",
}  # fmt: skip
_OUTCOME_UNKNOWN = frozenset({500, 502, 504, 520, 522, 524, 598, 599, 408, 499})
_INTERNAL_ERROR, _CLIENT, _SERVER, _END = 500, 400, 500, 600
_CLIENT_MADE = frozenset({598, 599})  # No server sends them: the class tells what the client met.
_SPEAKING = frozenset({400, 402, 403, 413, 429})

_ON_RESPONSE = ("status_code", "status", "status_int", "code")
_ON_ERROR = ("status_code", "http_status", "http_status_code", "status", "http_code", "statuscode", "code",
"error_code",
             "errcode", "response_code", "response_status", "http_error_code")  # fmt: skip
# Their numbers are their own, whatever they look like.
_NOT_HTTP = frozenset({
    "amqp", "pika", "aiormq", "aio_pika", "pymongo", "mysql", "pymysql", "MySQLdb", "asyncmy", "aiomysql",
    "mariadb", "sqlite3", "clickhouse_driver", "oracledb", "cx_Oracle", "pymssql", "pyodbc", "kafka", "confluent_kafka",
    "cassandra", "smtplib", "aiosmtplib", "grpc", "click", "typer", "subprocess", "zmq", "ldap", "ldap3",
})  # fmt: skip

# OpenAI's and its imitators' codes for an empty account: they come with status 429 and no wait mends them.
_BILLING = frozenset({
    "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "insufficient_balance",
    "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "billing_hard_limit_reached", "billing_error",
    "billing_not_active", "payment_required", "insufficient_credits", "insufficient_funds_on_account",
    "account_deactivated", "access_terminated",
})  # fmt: skip
_BILLING_TEXT = (
    "insufficient_quota", "credit balance is too low", "exceeded your current quota", "billing_hard_limit",
    "billing_not_active", "spend_limit", "insufficient_credits", "insufficient balance", "credit_balance_exhausted",
    "organization_usage_limit_exceeded",
)  # fmt: skip
_RATE_TEXT = (
    "rate limit", "rate_limit", "ratelimit", "rate-limit", "too many requests", "quotaexceeded", "quota exceeded",
    "throttl",
    "slow down", "slowdown", "dailylimitexceeded", "abuse detection",
)  # fmt: skip
_BODY_LIMIT = 4096
_TELLING = frozenset({
    _T.PERMANENT_AUTH, _T.TRANSIENT_RATE_LIMIT, _T.EXTERNAL_API_DOWN, _T.TRANSIENT_TIMEOUT, _T.PERMANENT_NOT_FOUND,
    _T.PERMANENT_CONFLICT,
})  # fmt: skip


def read(look: Look) -> Verdict | None:
    """Status, the body's own code, headers; None when no client error or server error status is seen."""
    status, response = status_of(look)
    if status is None or (status in _CLIENT_MADE and names.verdict_of_class(look.facts) is not None):
        return None
    headers = _headers(look, response)
    said = _said(look, response) if status in _SPEAKING else ""
    hint = hints.from_headers(look, headers, status) or hints.from_attributes(look)
    verdict = _symbolic(status, look) or verdict_of_status(
        status, look, said=said, told_to_wait=_told_to_wait(look, headers, said)
    )
    return hints.applied(verdict, hint, hints.should_retry(look, headers))


def _symbolic(status: int, look: Look) -> Verdict | None:
    """400 and 402 are buckets: a code such as ``invalid_grant`` or ``card_declined`` says what is in them."""
    if status not in (400, 402):
        return None
    for name in ("code", "error", "error_code"):
        code = look.string(name)
        verdict = names.verdict_of_code("code", code) if code and len(code) <= 64 and " " not in code else None  # noqa: PLR2004 - longer is a sentence
        if verdict is not None and (verdict.type in _TELLING or "declined" in verdict.rule):
            return verdict
    return None


def status_of(look: Look) -> tuple[int | None, Any]:
    """The status of 300 to 599 this error carries, and the response it was read from."""
    if not _NOT_HTTP.isdisjoint(look.facts.roots):
        return None, None
    response = look.read("response")
    if response is None:
        response = look.read("resp")
    if response is not None and type(response) is not dict:
        for name in _ON_RESPONSE:
            status = _as_status(look.read(name, of=response))
            if status is not None:
                return status, response
    for name in _ON_ERROR:
        status = _as_status(look.read(name))
        if status is not None:
            return status, response
    meta = look.read("meta")
    return (None if meta is None else _as_status(look.read("status", of=meta))), meta if response is None else response


def _as_status(value: Any) -> int | None:
    if value is None:
        return None
    number = as_int(value)
    if number is None:
        text = as_str(value)
        number = int(text) if text is not None and len(text) == 3 and text.isascii() and text.isdigit() else None  # noqa: PLR2004 - digits of a status
    return number if number is not None and 300 <= number < _END else None  # noqa: PLR2004 - 3xx begins


def verdict_of_status(status: int, look: Look, *, said: str = "", told_to_wait: bool = False) -> Verdict:
    """The verdict of a status; `said`: the body, lower case; `told_to_wait`: a rate limit's headers."""
    kind, reason = _kind(status), None
    detail = f"HTTP {status} {_PHRASES.get(status, '')}".rstrip()
    if status == 402 or (status in _SPEAKING and any(part in said for part in _BILLING_TEXT)):  # noqa: PLR2004 - Payment Required
        kind, reason, told_to_wait = _T.PERMANENT_AUTH, "billing", False
    if told_to_wait and status in (403, 413):
        kind, detail = (_T.TRANSIENT_RATE_LIMIT, f"{detail} with a rate limit")
    rule = f"http.{status}" if reason is None else f"http.{status}.{reason}"
    if status == _INTERNAL_ERROR and not look.around.retry_http_500:
        reason = "http_500"
    return Verdict(
        type=kind,
        rule=rule,
        detail=detail,
        reason=reason,
        retryable=look.around.retry_http_500 if status == _INTERNAL_ERROR else None,
        effect=Effect.UNKNOWN if status in _OUTCOME_UNKNOWN else Effect.REJECTED,
    )


def _kind(status: int) -> FailureType:
    kind = _KIND.get(status)
    if kind is not None:
        return kind
    if status >= _SERVER:
        return _T.EXTERNAL_API_DOWN
    return _T.PERMANENT_VALIDATION if status >= _CLIENT else _T.CONFIG_MISSING_SETTING


def _headers(look: Look, response: Any) -> Any:
    headers = None if response is None else look.read("headers", of=response)
    return look.read("headers") if headers is None else headers


def _said(look: Look, response: Any) -> str:
    """Codes and text beside the status, lower case; only what is already in memory."""
    parts = [look.text[:1000]]
    parts += [text for name in ("code", "type", "error_code", "reason") if (text := look.string(name))]
    body = look.read("body")
    if type(body) is dict:
        parts += _strings(body)
    loaded = look.read("__dict__", of=response) if response is not None else None
    if type(loaded) is dict:
        content = as_str(loaded.get("_content"))
        parts.append(content[:_BODY_LIMIT] if content else "")
    return " ".join(parts).lower()


def _strings(body: dict[Any, Any]) -> list[str]:
    nested = body.get("error")
    values = [*body.values(), *(nested.values() if type(nested) is dict else ())][:20]
    return [text[:200] for value in values if (text := as_str(value))]


def _told_to_wait(look: Look, headers: Any, said: str) -> bool:
    if any(part in said for part in _RATE_TEXT):
        return True
    if headers is None:
        return False
    if hints.header(look, headers, "x-ratelimit-remaining") == "0":
        return True
    return hints.header(look, headers, "retry-after") is not None


def verdict_of_billing_code(code: str) -> Verdict | None:
    """For codes seen without a status, as in a stream."""
    if code not in _BILLING:
        return None
    return Verdict(type=_T.PERMANENT_AUTH, rule=f"code.{code}", detail=f"error code {code}", reason="billing")
