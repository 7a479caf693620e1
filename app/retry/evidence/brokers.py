"""Message brokers: AMQP reply codes, and Kafka's own word on what is retriable."""

from ..failure import Effect, FailureType
from ..look import Look, as_int
from ..verdict import Strength, Verdict
from . import names
from .known import KNOWN

_T = FailureType
_AMQP_LIBRARIES = frozenset({"amqp", "pika", "aiormq", "aio_pika", "pamqp"})

# AMQP 0-9-1, 1.2 "Constants"; they look like HTTP's statuses and are not.
_REPLIES: dict[int, tuple[FailureType, str]] = {
    311: (_T.PERMANENT_VALIDATION, "content too large"), 312: (_T.PERMANENT_NOT_FOUND, "no route"),
    313: (_T.TRANSIENT_RESOURCE, "no consumers"), 320: (_T.TRANSIENT_NETWORK, "connection forced"),
    402: (_T.CONFIG_MISSING_SETTING, "invalid path"), 403: (_T.PERMANENT_AUTH, "access refused"),
    404: (_T.PERMANENT_NOT_FOUND, "not found"), 405: (_T.PERMANENT_CONFLICT, "resource locked"),
    406: (_T.PERMANENT_CONFLICT, "precondition failed"), 501: (_T.PERMANENT_CODE_BUG, "frame error"),
    502: (_T.PERMANENT_CODE_BUG, "syntax error"), 503: (_T.PERMANENT_CODE_BUG, "command invalid"),
    504: (_T.PERMANENT_CODE_BUG, "channel error"), 505: (_T.PERMANENT_CODE_BUG, "unexpected frame"),
    506: (_T.TRANSIENT_RESOURCE, "resource error"), 530: (_T.PERMANENT_AUTH, "not allowed"),
    540: (_T.PERMANENT_CODE_BUG, "not implemented"), 541: (_T.EXTERNAL_API_DOWN, "internal error"),
}  # fmt: skip

# Replies begin with the name: "RESOURCE_LOCKED - cannot obtain exclusive access".
_NAMED_REPLIES = {name.upper().replace(" ", "_"): code for code, (_, name) in _REPLIES.items()}

# https://kafka.apache.org/protocol#protocol_error_codes, and librdkafka's local codes (negative)
_KAFKA: dict[int, FailureType] = {
    2: _T.PERMANENT_VALIDATION, 3: _T.PERMANENT_NOT_FOUND, 5: _T.TRANSIENT_NETWORK, 6: _T.TRANSIENT_NETWORK,
    7: _T.TRANSIENT_TIMEOUT, 8: _T.TRANSIENT_NETWORK, 10: _T.PERMANENT_VALIDATION, 13: _T.TRANSIENT_NETWORK,
    14: _T.TRANSIENT_NETWORK, 15: _T.TRANSIENT_NETWORK, 16: _T.TRANSIENT_NETWORK, 17: _T.PERMANENT_VALIDATION,
    18: _T.PERMANENT_VALIDATION, 19: _T.TRANSIENT_NETWORK, 20: _T.TRANSIENT_NETWORK, 22: _T.TRANSIENT_NETWORK,
    25: _T.TRANSIENT_NETWORK, 27: _T.TRANSIENT_NETWORK, 29: _T.PERMANENT_AUTH, 30: _T.PERMANENT_AUTH,
    31: _T.PERMANENT_AUTH, 35: _T.PERMANENT_CODE_BUG, 36: _T.PERMANENT_CONFLICT, 37: _T.PERMANENT_VALIDATION,
    38: _T.PERMANENT_VALIDATION, 40: _T.CONFIG_MISSING_SETTING, 53: _T.PERMANENT_AUTH, 56: _T.UNKNOWN,
    58: _T.PERMANENT_AUTH, 87: _T.PERMANENT_VALIDATION, 89: _T.TRANSIENT_RATE_LIMIT,
    -185: _T.TRANSIENT_TIMEOUT, -184: _T.TRANSIENT_RESOURCE, -187: _T.TRANSIENT_NETWORK, -195: _T.TRANSIENT_NETWORK,
    -193: _T.TRANSIENT_NETWORK, -192: _T.TRANSIENT_TIMEOUT, -188: _T.PERMANENT_NOT_FOUND, -186: _T.PERMANENT_CODE_BUG,
    -169: _T.PERMANENT_AUTH, -181: _T.CONFIG_MISSING_SETTING, -180: _T.TRANSIENT_NETWORK, -196: _T.UNKNOWN,
}  # fmt: skip


def read(look: Look) -> Verdict | None:
    """AMQP's reply code or Kafka's error."""
    roots = look.facts.roots
    if not _AMQP_LIBRARIES.isdisjoint(roots):
        return _amqp(look)
    if "kafka" in roots or "aiokafka" in roots:
        return _kafka(look)
    return _confluent(look) if "cimpl" in roots or "confluent_kafka" in roots else None


def _amqp(look: Look) -> Verdict | None:
    code = look.integer("reply_code") or look.integer("code") or _NAMED_REPLIES.get(look.text[:40].partition(" ")[0])
    if code not in _REPLIES or code is None:
        return None
    kind, name = _REPLIES[code]
    said = look.text[:500].lower()
    if code == 530 and "vhost" in said:  # noqa: PLR2004 - not allowed
        kind = _T.CONFIG_MISSING_SETTING
    return Verdict(
        type=kind, rule=f"amqp.{code}", detail=f"AMQP {code} {name}", effect=Effect.REJECTED, confidence=0.97
    )


def _kafka(look: Look) -> Verdict | None:
    known = names.verdict_of_class(look.facts)
    specific = (
        known is not None and known.rule == f"class.{look.facts.keys[0]}" and known.strength is not Strength.CARRIER
    )
    if specific:
        return known
    kind = _KAFKA.get(look.integer("errno") or 0)
    if kind is not None:
        return Verdict(type=kind, rule=f"kafka.{look.read('errno')}", detail=look.facts.name)
    retriable = look.read("retriable")
    if known is None:
        known = KNOWN["kafka.KafkaConnectionError"] if retriable is True else None
    return known if known is None else known._replace(retryable=retriable if type(retriable) is bool else None)


def _confluent(look: Look) -> Verdict | None:
    """`KafkaException(KafkaError)`: code() is a number, retriable() its own verdict."""
    error = look.exc.args[0] if look.exc.args else None
    code = as_int(look.call(look.read("code", of=error))) if error is not None else None
    kind = None if code is None else _KAFKA.get(code)
    if kind is None:
        return None
    return Verdict(type=kind, rule=f"kafka.{code}", detail=f"Kafka error {code}")
