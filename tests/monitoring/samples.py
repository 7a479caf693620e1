"""A failure and what follows it, for tests of what is told about them."""

from datetime import UTC, datetime, timedelta

from app.retry.failure import Evidence, Failure, FailureType, Remediation
from app.retry.policy import Retry

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FAILURE = Failure(
    type=FailureType.TRANSIENT_NETWORK,
    confidence=0.97,
    evidence=(Evidence(rule="type.httpx", exception="httpx.ConnectError", depth=0, detail="refused"),),
    remediation=Remediation.AUTO_RETRY,
    sentence="The network failed.",
    retryable=True,
    fingerprint="0123456789abcdef",
    exception_type="httpx.ConnectError",
    message="connection refused",
)
RETRY = Retry(at=NOW, delay=timedelta(seconds=2), explanation=())
