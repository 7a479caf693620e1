"""What a failure is: its type, the evidence for it, and what an operator can do about it.

An exception is classified once, by `classify`, into a `Failure`; everything after that reads the `Failure`:

    TRANSIENT_   DATABASE · NETWORK · RATE_LIMIT · TIMEOUT · RESOURCE    it passes by itself
    EXTERNAL_    API_DOWN                                                it passes when others mend it
    PERMANENT_   VALIDATION · NOT_FOUND · CONFLICT · AUTH · CODE_BUG     the same call fails again
    CONFIG_      MISSING_SETTING                                         it passes when we set something
    SYSTEM_      OUT_OF_MEMORY · DISK_FULL · WORKER_LOST                 the machine, not the call
    UNKNOWN                                                              tried again, and worth a rule
"""

from enum import StrEnum
from typing import NamedTuple


class FailureType(StrEnum):
    """The sixteen types. `SYSTEM_WORKER_LOST` is given by rescue, the others by `classify`."""

    TRANSIENT_DATABASE = "TRANSIENT_DATABASE"
    TRANSIENT_NETWORK = "TRANSIENT_NETWORK"
    TRANSIENT_RATE_LIMIT = "TRANSIENT_RATE_LIMIT"
    TRANSIENT_TIMEOUT = "TRANSIENT_TIMEOUT"
    TRANSIENT_RESOURCE = "TRANSIENT_RESOURCE"
    EXTERNAL_API_DOWN = "EXTERNAL_API_DOWN"
    PERMANENT_VALIDATION = "PERMANENT_VALIDATION"
    PERMANENT_NOT_FOUND = "PERMANENT_NOT_FOUND"
    PERMANENT_CONFLICT = "PERMANENT_CONFLICT"
    PERMANENT_AUTH = "PERMANENT_AUTH"
    CONFIG_MISSING_SETTING = "CONFIG_MISSING_SETTING"
    PERMANENT_CODE_BUG = "PERMANENT_CODE_BUG"
    SYSTEM_OUT_OF_MEMORY = "SYSTEM_OUT_OF_MEMORY"
    SYSTEM_DISK_FULL = "SYSTEM_DISK_FULL"
    SYSTEM_WORKER_LOST = "SYSTEM_WORKER_LOST"
    UNKNOWN = "UNKNOWN"


class Remediation(StrEnum):
    """What helps. The first action of a type's list is the one recommended."""

    AUTO_RETRY = "AUTO_RETRY"
    MANUAL_RETRY = "MANUAL_RETRY"
    FIX_DATA = "FIX_DATA"
    FIX_CONFIG = "FIX_CONFIG"
    CHECK_EXTERNAL = "CHECK_EXTERNAL"
    SCALE_RESOURCES = "SCALE_RESOURCES"
    ALERT_TEAM = "ALERT_TEAM"
    INVESTIGATE = "INVESTIGATE"


class Effect(StrEnum):
    """Whether the failed call may have had its effect on the other side."""

    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


class Evidence(NamedTuple):
    """One observation that led to the verdict.

    Attributes:
        rule: Stable id of the rule that matched, such as ``sqlstate.40001`` or ``http.503``.
        exception: Qualified name of the exception that was looked at, such as ``httpx.ConnectError``.
        depth: Its place in the chain of causes; 0 is the exception that was raised.
        detail: What was seen, in a few words.
    """

    rule: str
    exception: str
    depth: int
    detail: str


class Hint(NamedTuple):
    """A server's own word on when to come back.

    Attributes:
        seconds: From the moment of the failure; finite and not negative.
        source: Where it was said, such as ``Retry-After``.
    """

    seconds: float
    source: str


class Failure(NamedTuple):
    """A classified error.

    Attributes:
        type: One of the sixteen.
        confidence: 0 to 1.
        evidence: What led to it, the decisive observation first; never empty.
        remediation: The recommended action.
        sentence: One plain sentence for the operator.
        retryable: Whether trying again can help by itself, before any policy is asked.
        fingerprint: 16 hex digits, equal for failures with one cause; stable when lines move.
        exception_type: Qualified name of the raised exception.
        message: Its text, at most 4,000 characters, free of NUL.
        hint: When the server said to come back, if it did.
        effect: Whether the call may have taken effect, where that is known.
        reason: A finer cause within the type, such as ``billing``, ``contention`` or ``worker_lost``.
    """

    type: FailureType
    confidence: float
    evidence: tuple[Evidence, ...]
    remediation: Remediation
    sentence: str
    retryable: bool
    fingerprint: str
    exception_type: str
    message: str
    hint: Hint | None = None
    effect: Effect | None = None
    reason: str | None = None
