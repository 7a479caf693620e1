"""What `classify` promises beyond being right: totality, context, hints."""

import errno
import json
import smtplib
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.retry.classify import Context, classify, from_description
from app.retry.failure import Failure, FailureType, Hint, Remediation
from app.retry.look import TELLING

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Response:
    """What any HTTP client calls a response."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answered(status: int, **headers: str) -> Exception:
    """An error of an HTTP client that nobody has heard of."""
    error = RuntimeError("the request failed")
    error.response = Response(status, **headers)  # type: ignore[attr-defined]  # As libraries do.
    return error


def raised(exc: BaseException) -> BaseException:
    """The exception, with a traceback."""
    with pytest.raises(type(exc)) as caught:
        raise exc
    return caught.value


def sound(failure: Failure) -> None:
    """What holds for every failure."""
    assert failure.evidence
    assert 0 <= failure.confidence <= 1
    assert len(failure.message) <= 4000
    assert "\0" not in failure.message
    json.dumps([failure.message, failure.sentence, failure.exception_type], ensure_ascii=False).encode()


# --- total ---


class HostileError(Exception):
    """Everything about it raises, and not only an Exception."""

    def __str__(self) -> str:
        raise SystemExit(3)

    @property
    def response(self) -> Any:
        raise KeyboardInterrupt

    @property
    def __cause__(self) -> Any:  # type: ignore[override]  # Hostile.
        raise GeneratorExit


class BottomlessError(Exception):
    """Each attribute asks for another one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "_")


class GenerousError(Exception):
    """It answers with itself for every attribute, and can be called."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: object) -> Any:
        return self


class LyingError(Exception):
    """Its attributes have the right names and the wrong types."""

    sqlstate = 40001
    response = "503"
    status_code = (503,)
    errno = "ENOSPC"
    errors: Any = 5
    recipients: Any = (("a", None),)
    code = object()


@pytest.mark.parametrize("kind", [HostileError, BottomlessError, GenerousError, LyingError])
def test_hostile_exceptions(kind: type[Exception]):
    """An exception that fights back is still classified."""
    failure = classify(raised(kind("x")))
    sound(failure)
    assert failure.type is FailureType.UNKNOWN
    assert failure.retryable


def test_cycle():
    """A chain that bites its own tail ends."""
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    sound(classify(first))


def test_long_chain():
    """Of a thousand causes the near ones are read."""
    exc: Exception = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    for _ in range(1000):
        outer = RuntimeError("again")
        outer.__cause__ = exc
        exc = outer
    sound(classify(exc))


def test_deep_groups():
    """A group nested a thousand deep is read to its leaf."""
    exc: Exception = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    for _ in range(1000):
        exc = ExceptionGroup("g", [exc])
    assert classify(exc).type is FailureType.TRANSIENT_NETWORK


def test_megabyte():
    """A message of a megabyte is cut to what can be stored."""
    failure = classify(raised(KeyError("\0x\ud800" * 400_000)))
    sound(failure)


def test_near_the_recursion_limit():
    """Even where hardly a call is left, an answer comes back."""

    def dive() -> Failure:
        try:
            return dive()
        except RecursionError as exc:
            return classify(exc)

    sound(dive())


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50), st.binary(max_size=50), st.dates(),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.builds(ValueError), st.sampled_from([200, 404, 429, 503, "40001", "08006", "503", 10**30, -(10**30), Exception]),
)  # fmt: skip
_ATTRIBUTES = st.dictionaries(
    st.sampled_from([*sorted(TELLING), "errno", "returncode", "stderr", "sqlite_errorname"]), _VALUES, max_size=6
)
_MODULES = st.sampled_from(
    ["x", "httpx", "redis", "pymongo", "pymysql", "smtplib", "google", "botocore", "kafka", "cimpl", "pyodbc", "pika"]
)
_BASES = st.sampled_from([Exception, ValueError, KeyError, OSError, TypeError, RuntimeError, BaseException])


@settings(max_examples=300)
@given(
    st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name and name.isprintable()),
    _MODULES, _BASES, st.lists(_VALUES, max_size=3), _ATTRIBUTES,
)  # fmt: skip
def test_total(name: str, module: str, base: type[BaseException], args: list[Any], attributes: dict[str, Any]):
    """Whatever the class, the arguments and the attributes: a sound failure."""
    exc = type(name, (base,), {"__module__": module})(*args)
    for attribute, value in attributes.items():
        try:
            setattr(exc, attribute, value)
        except (TypeError, AttributeError, ValueError):
            continue
    failure = classify(exc)
    sound(failure)
    assert failure.evidence[0].rule != "classifier.gave_up"


@settings(max_examples=200)
@given(st.text(max_size=300), st.one_of(st.none(), st.integers()), st.text(max_size=6), st.text(max_size=40))
def test_description_is_total(message: str, status: int | None, sqlstate: str, name: str):
    """So is the classification of a description."""
    sound(from_description(exception_type=name, message=message, status=status, sqlstate=sqlstate))


# --- purity ---


def test_imports_nothing_foreign():
    """The engine loads no third-party module and none that does I/O."""
    import subprocess

    script = (
        "import sys; before = set(sys.modules); import app.retry.classify;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(n for n in new if n not in sys.stdlib_module_names and n != 'app'),"
        " sorted(new & {'asyncio', 'socket', 'ssl', 'logging', 'hashlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[] []"


# --- HTTP, hints ---


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 500])
def test_statuses_that_are_not_retried(status: int):
    """These come back the same."""
    assert not classify(answered(status)).retryable


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_statuses_that_are_retried(status: int):
    """These pass."""
    assert classify(answered(status)).retryable


def test_http_500_by_setting():
    """HTTP 500 is retried where the setting says so, and keeps its type."""
    failure = classify(answered(500), Context(retry_http_500=True))
    assert (failure.type, failure.retryable) == (FailureType.EXTERNAL_API_DOWN, True)


def test_http_500_names_its_setting():
    """Where HTTP 500 is not retried, the sentence does not promise that it passes, and names what would retry it."""
    failure = classify(answered(500))
    assert (failure.type, failure.retryable) == (FailureType.EXTERNAL_API_DOWN, False)
    assert failure.sentence.endswith("may do so again; RETRY_HTTP_500=true has it retried.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "120"}, 120.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"Retry_After": "Mon, 04 May 2026 12:01:30 GMT"}, 90.0),
        ({"Retry_After": "Monday, 04-May-26 12:01:30 GMT"}, 90.0),
        ({"Retry_After": "Mon May  4 12:01:30 2026"}, 90.0),
        ({"Retry_After": "Mon, 04 May 2026 12:01:30 GMT", "Date": "Mon, 04 May 2026 12:01:00 GMT"}, 30.0),
        ({"Retry_After": "Mon, 04 May 2026 11:00:00 GMT"}, 0.0),
        ({"retry_after_ms": "1500", "Retry_After": "9"}, 1.5),
        ({"X_RateLimit_Reset": "1777896060"}, 60.0),
        ({"X_RateLimit_Reset": "45"}, 45.0),
    ],
)
def test_hints(headers: dict[str, str], seconds: float):
    """A server's word on when to come back is read in all its forms."""
    hint = classify(answered(429, **headers), Context(now=NOW)).hint
    assert hint is not None
    assert hint.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["-5", "nan", "inf", "soon", "1e400", "", "9" * 200, "Mon, 99 Zzz 2026 99:99:99 GMT"])
def test_nonsense_hints(value: str):
    """A hint that is no time is no hint."""
    assert classify(answered(429, Retry_After=value), Context(now=NOW)).hint is None


def test_date_without_a_clock():
    """Without the server's clock and without ours, a date says nothing."""
    assert classify(answered(429, Retry_After="Mon, 04 May 2026 12:01:30 GMT")).hint is None


@pytest.mark.parametrize("code", [421, 450, 451])
def test_mail_servers_are_given_time(code: int):
    """A mail server that greylists is not asked again within five minutes."""
    reply = smtplib.SMTPResponseException(code, "Try again later")
    refused = smtplib.SMTPRecipientsRefused({"a@example.org": (code, b"Try again later")})
    for failure in (classify(reply), classify(refused)):
        assert (failure.type, failure.retryable) == (FailureType.TRANSIENT_NETWORK, True)
        assert failure.hint == Hint(300.0, f"SMTP {code}")


@pytest.mark.parametrize("code", [452, 454, 550])
def test_other_replies_name_no_time(code: int):
    """A full mailbox or a failed login is left to the policy."""
    assert classify(smtplib.SMTPResponseException(code, "no")).hint is None


class Ambiguous:
    """As a data frame, it is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")


def test_a_response_without_a_truth_value():
    """Whatever hangs on an error as its response, the error is read."""
    error = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    error.response = Ambiguous()  # type: ignore[attr-defined]  # As libraries do.
    assert classify(error).type is FailureType.TRANSIENT_NETWORK


def test_group_waits_for_the_longest_hint():
    """Of a group's hints the longest counts."""
    group = ExceptionGroup("both", [answered(429, Retry_After="5"), answered(429, Retry_After="50")])
    hint = classify(group).hint
    assert hint is not None
    assert hint.seconds == 50


def test_billing_alerts():
    """No money left: nobody is told to wait."""
    failure = from_description(exception_type="openai.RateLimitError", status=429, message="insufficient_quota")
    assert (failure.type, failure.reason) == (FailureType.PERMANENT_AUTH, "billing")
    assert failure.remediation is Remediation.ALERT_TEAM


@pytest.mark.parametrize("code", ["53300", "53000", "53400"])
def test_a_server_at_its_limit(code: str):
    """Where a database is at a limit of its own, trying again is not all that helps."""
    failure = from_description(sqlstate=code)
    assert (failure.type, failure.remediation) == (FailureType.TRANSIENT_DATABASE, Remediation.SCALE_RESOURCES)


def test_io_errors_alert():
    """A device that fails is nobody's rule to know, and somebody's to look at before the retries are spent."""
    failure = classify(OSError(errno.EIO, "Input/output error"))
    assert (failure.type, failure.remediation) == (FailureType.UNKNOWN, Remediation.ALERT_TEAM)
    assert failure.retryable


# --- context ---


def test_repetition_raises_confidence_in_the_permanent():
    """A permanent failure that comes again is the surer for it, by a tenth and then a fifth, and never quite sure."""
    exc = PermissionError("no")
    once = classify(exc)
    again = [classify(exc, Context(previous=(once.fingerprint,) * times)).confidence for times in (1, 2, 9)]
    assert again == [round(min(0.99, once.confidence * more), 3) for more in (1.1, 1.2, 1.2)]
    assert again[0] > once.confidence


def test_only_the_same_failure_counts():
    """Earlier failures of another kind move nothing."""
    exc = ConnectionResetError(errno.ECONNRESET, "reset")
    assert classify(exc, Context(previous=("0" * 16,) * 5)) == classify(exc)


def test_repetition_lowers_confidence_in_the_transient():
    """A third identical failure is less likely transient, by at most a fifth."""
    exc = ConnectionResetError(errno.ECONNRESET, "reset")
    once = classify(exc)
    thrice = classify(exc, Context(previous=(once.fingerprint,) * 2))
    assert thrice.confidence == round(once.confidence * 0.8, 3)
    assert thrice.type is once.type


def test_unresolvable_names_become_a_setting():
    """From the third time on, a name that cannot be resolved is taken for a typing error."""
    import socket

    exc = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    once = classify(exc)
    assert once.type is FailureType.TRANSIENT_NETWORK
    thrice = classify(exc, Context(previous=(once.fingerprint,) * 2))
    assert (thrice.type, thrice.retryable) == (FailureType.CONFIG_MISSING_SETTING, False)


def test_arguments_that_do_not_fit_the_task():
    """A TypeError of the call of the task itself is bad data, not a bug."""
    exc = TypeError("send_invoice() missing 1 required positional argument: 'order_id'")
    assert classify(exc, Context(task_name="shop.send_invoice")).type is FailureType.PERMANENT_VALIDATION
    assert classify(exc, Context(task_name="shop.other")).type is FailureType.PERMANENT_CODE_BUG


def test_description_and_object_agree():
    """A description is judged by the engine that judges the object."""
    described = from_description(exception_type="ConnectionRefusedError", message="refused")
    assert described.type is classify(ConnectionRefusedError("refused")).type
    assert from_description(sqlstate="40P01").type is FailureType.TRANSIENT_DATABASE
    assert from_description(status=404).type is FailureType.PERMANENT_NOT_FOUND
    assert from_description(exception_type="_duckdb.OperationalError").type is FailureType.TRANSIENT_DATABASE
