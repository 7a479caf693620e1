"""What each failure type means, what helps, and whether trying again can help. Data, no behaviour."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .failure import FailureType, Remediation

_T = FailureType
_R = Remediation


class Meaning(NamedTuple):
    """What an operator needs to know about a type.

    Attributes:
        sentence: What it means and what follows, lower case, without a full stop: it is put after the evidence.
        actions: What helps, the recommended action first.
        retryable: Whether trying again can help by itself.
    """

    sentence: str
    actions: tuple[Remediation, ...]
    retryable: bool


class Refinement(NamedTuple):
    """A finer cause within a type: its own words, and its own first action where that differs."""

    sentence: str
    action: Remediation | None = None


TAXONOMY: Mapping[FailureType, Meaning] = MappingProxyType(
    {
        _T.TRANSIENT_DATABASE: Meaning(
            "the database could not serve this now; a later try usually works",
            (_R.AUTO_RETRY, _R.ALERT_TEAM),
            retryable=True,
        ),
        _T.TRANSIENT_NETWORK: Meaning(
            "the connection failed on its way; a later try usually works",
            (_R.AUTO_RETRY, _R.CHECK_EXTERNAL),
            retryable=True,
        ),
        _T.TRANSIENT_RATE_LIMIT: Meaning(
            "the other side works and asks us to slow down", (_R.AUTO_RETRY, _R.SCALE_RESOURCES), retryable=True
        ),
        _T.TRANSIENT_TIMEOUT: Meaning(
            "no answer came in time; it may or may not have taken effect",
            (_R.AUTO_RETRY, _R.INVESTIGATE),
            retryable=True,
        ),
        _T.TRANSIENT_RESOURCE: Meaning(
            "something on our side is used up for the moment; less load relieves it",
            (_R.AUTO_RETRY, _R.SCALE_RESOURCES),
            retryable=True,
        ),
        _T.EXTERNAL_API_DOWN: Meaning(
            "the other service is down or failing; it passes when they recover",
            (_R.CHECK_EXTERNAL, _R.AUTO_RETRY),
            retryable=True,
        ),
        _T.PERMANENT_VALIDATION: Meaning(
            "the data was refused and will be refused again; correct it, then replay",
            (_R.FIX_DATA, _R.MANUAL_RETRY),
            retryable=False,
        ),
        _T.PERMANENT_NOT_FOUND: Meaning(
            "what the job needs does not exist; create it or correct the reference, then replay",
            (_R.FIX_DATA, _R.INVESTIGATE),
            retryable=False,
        ),
        _T.PERMANENT_CONFLICT: Meaning(
            "it contradicts what is already there; perhaps it was done before",
            (_R.INVESTIGATE, _R.MANUAL_RETRY),
            retryable=False,
        ),
        _T.PERMANENT_AUTH: Meaning(
            "we are not allowed to; mend the credentials or the permission, then replay",
            (_R.FIX_CONFIG, _R.ALERT_TEAM),
            retryable=False,
        ),
        _T.CONFIG_MISSING_SETTING: Meaning(
            "a setting is missing or wrong; correct it, then replay", (_R.FIX_CONFIG, _R.ALERT_TEAM), retryable=False
        ),
        _T.PERMANENT_CODE_BUG: Meaning(
            "the code is wrong, not the moment; it needs a change and a deploy",
            (_R.ALERT_TEAM, _R.INVESTIGATE),
            retryable=False,
        ),
        _T.SYSTEM_OUT_OF_MEMORY: Meaning(
            "memory ran out; fewer jobs at once or a larger machine",
            (_R.SCALE_RESOURCES, _R.INVESTIGATE),
            retryable=True,
        ),
        _T.SYSTEM_DISK_FULL: Meaning(
            "nothing more can be written there; free space first", (_R.SCALE_RESOURCES, _R.ALERT_TEAM), retryable=True
        ),
        _T.SYSTEM_WORKER_LOST: Meaning(
            "the process that ran it died; a job that does this again and again is a poison job",
            (_R.SCALE_RESOURCES, _R.INVESTIGATE),
            retryable=True,
        ),
        _T.UNKNOWN: Meaning(
            "no rule knows this error; it is tried again, and worth a rule",
            (_R.INVESTIGATE, _R.MANUAL_RETRY),
            retryable=True,
        ),
    }
)

REFINEMENTS: Mapping[str, Refinement] = MappingProxyType(
    {
        "billing": Refinement("the account has no money or quota left; waiting does not help", _R.ALERT_TEAM),
        "http_500": Refinement(
            "it broke on this request and may do so again; RETRY_HTTP_500=true has it retried", _R.CHECK_EXTERNAL
        ),
        "capacity": Refinement(
            "the server is at a limit of its own; fewer connections or a larger one relieve it", _R.SCALE_RESOURCES
        ),
        "gave_up": Refinement("it gave up after tries of its own, and does not say what it met", _R.INVESTIGATE),
        "io_error": Refinement("a device failed to read or write; look at it before it fails for good", _R.ALERT_TEAM),
        "final": Refinement("the library that raised it says that no retry mends it", _R.INVESTIGATE),
        "contention": Refinement("two transactions met; a quick second try usually works"),
        "corruption": Refinement("the storage itself is failing; stop and look before anything else", _R.ALERT_TEAM),
        "cancelled": Refinement("the run was stopped, by a shutdown or on request; the work was not judged"),
        "exit": Refinement("the process was asked to end; the work was not judged"),
        "user_request": Refinement("somebody cancelled the statement on purpose; ask before running it again"),
        "server_memory": Refinement("the server's memory ran out, not ours"),
        "certificate_expired": Refinement("their certificate has expired; they have to renew it", _R.CHECK_EXTERNAL),
        "certificate": Refinement("the certificate is not trusted; mend the trust store, the host name or the time"),
        "clock": Refinement("the clocks disagree; check the time of this machine", _R.INVESTIGATE),
        "suspect_oom": Refinement("it was killed from outside, most often because memory ran out"),
        "worker_lost": Refinement("the worker process died while running it"),
        "resolution": Refinement("the host name cannot be resolved; a DNS outage and a typing error look alike"),
        "recipients": Refinement("some recipients were refused for now; only those are worth another try"),
        "requested": Refinement("the task itself decided this"),
        "arguments": Refinement(
            "the job's arguments do not fit the task; correct them or deploy the matching code", _R.FIX_DATA
        ),
        "schema": Refinement("code and database schema do not match; a migration or a deploy is missing"),
        "foreign_key": Refinement("the row it refers to is not there, or not committed yet"),
    }
)
