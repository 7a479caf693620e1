import asyncio
import io
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import pytest
import structlog
from procrastinate import App, testing

from app import telemetry
from app.config import LogSettings
from app.monitoring import logs
from app.monitoring.lines import write
from app.retry.breaker.states import State, Transition
from app.retry.policy import DeadLetter, DeathCause, Snooze, SnoozeReason
from app.telemetry import Attempt, emit

from .samples import FAILURE, NOW, RETRY


def moved(before: State, after: State) -> telemetry.BreakerMoved:
    """A breaker's transition."""
    return telemetry.BreakerMoved(Transition("joke-api", 1, before, after, NOW, "5 of 5 calls failed"))


ATTEMPT = Attempt(
    task_name="mycompany.jobs.process_document",
    attempt=1,
    max_attempts=4,
    job_id=17,
    queue="documents",
    operation_type="document",
    correlation_id="order-5",
)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
FAILED = telemetry.AttemptFailed(ATTEMPT, duration_seconds=0.5, failure=FAILURE, decision=RETRY, reason="because")

Lines = Callable[[], list[dict[str, Any]]]
Configure = Callable[..., Lines]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configure logs as JSON into memory; the result reads the lines so far. Undone after the test."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    # A worker that another test ran has configured them too.
    root.handlers[:] = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]
    root.setLevel(logging.WARNING)

    def configured(**settings: Any) -> Lines:
        stream = io.StringIO()
        logs.configure_logs(LogSettings(**{"format": "json", **settings}), stream)
        return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]

    yield configured
    logs.stop_logs()
    root.handlers[:], level = before
    root.setLevel(level)


def sign_in(password: str) -> None:
    """Refuse whatever is given."""
    raise ValueError("wrong" if password else "empty")


def test_every_event_has_a_line():
    """No event is without its writer."""
    assert set(get_args(telemetry.Event)) == {kind for kind in write.registry if kind is not object}


def test_failed_attempt(configure: Configure):
    """A failed attempt says in words what failed and when it runs again, and carries the fields to search by."""
    lines = configure()
    emit(FAILED)
    (line,) = lines()
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() == timedelta()
    assert line == {
        "event": "Background task attempt 1/4 failed: process_document. Retrying in 2.0s",
        "level": "warning",
        "logger": "afresh",
        "correlation_id": "order-5",
        "job_id": 17,
        "task_name": "mycompany.jobs.process_document",
        "operation_type": "document",
        "attempt": 1,
        "max_attempts": 4,
        "error_type": "httpx.ConnectError",
        "error_message": "connection refused",
        "failure_type": "TRANSIENT_NETWORK",
        "retry_delay_seconds": 2.0,
        "reason": "because",
        "duration_seconds": 0.5,
    }


def test_failure_without_a_retry(configure: Configure):
    """A failure that no retry follows has the same fields, so that a query by them finds it: the delay is null."""
    lines = configure()
    emit(replace(FAILED, decision=DeadLetter(DeathCause.PERMANENT, ())))
    (line,) = lines()
    assert line["event"] == "Background task attempt 1/4 failed: process_document. No retry: permanent"
    assert line["retry_delay_seconds"] is None
    assert line["error_type"] == "httpx.ConnectError"
    assert line["error_message"] == "connection refused"


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (telemetry.AttemptStarted(ATTEMPT), "debug", "Background task attempt 1/4 started: process_document"),
        (telemetry.AttemptSucceeded(ATTEMPT, 0.1), "debug", "Background task attempt 1/4 succeeded: process_document"),
        (
            telemetry.AttemptSucceeded(Attempt("tidy up v1.2", attempt=2), 0.1),
            "info",
            "Background task attempt 2 succeeded: tidy up v1.2",
        ),
        (
            telemetry.AttemptFailed(ATTEMPT, 0.1, FAILURE, DeadLetter(DeathCause.PERMANENT, ()), "because"),
            "warning",
            "Background task attempt 1/4 failed: process_document. No retry: permanent",
        ),
        (
            telemetry.AttemptSnoozed(
                ATTEMPT, 0.1, Snooze(NOW, timedelta(minutes=1), SnoozeReason.BUDGET, ()), "because"
            ),
            "info",
            "Background task attempt 1/4 snoozed: process_document. Waiting 60.0s at no cost: budget",
        ),
        (telemetry.AttemptAborted(ATTEMPT, 0.1), "info", "Background task attempt 1/4 aborted: process_document"),
        (
            telemetry.JobCoalesced(ATTEMPT),
            "info",
            "Background task coalesced: process_document. A waiting job with the same queueing lock does its work",
        ),
        (
            telemetry.JobReleased(ATTEMPT),
            "info",
            "Background task released: process_document. It goes back to its queue at no cost",
        ),
        (
            telemetry.JobBuried(ATTEMPT, DeathCause.RETRIES_SPENT, "3 retries spent"),
            "error",
            "Background task dead-lettered: process_document. 3 retries spent",
        ),
        (
            telemetry.JobRescued(ATTEMPT, rescues=1, lost_worker_id=3),
            "warning",
            "Background task rescued: process_document. Its worker was lost",
        ),
        (
            telemetry.OwnershipLost(ATTEMPT),
            "warning",
            "Background task discarded: process_document. Its job had been taken over meanwhile",
        ),
        (
            telemetry.EndRefused(ATTEMPT, "DataError: no"),
            "warning",
            "Background task end refused: process_document. It is tried again: DataError: no",
        ),
        (
            telemetry.ProgressRefused(ATTEMPT, "DataError: no"),
            "warning",
            "Background task progress refused: process_document. The report is dropped: DataError: no",
        ),
        (telemetry.JobsClaimed(50), "debug", "Claimed 50 jobs at once"),
        (telemetry.JobsSettled(3), "debug", "Wrote the ends of 3 runs at once"),
        (telemetry.WorkerStarted("w1", (), 10), "info", "Worker started on all queues"),
        (telemetry.WorkerStopped("w1"), "info", "Worker stopped"),
        (telemetry.WorkerOverloaded("w1", 91.0, 3.0), "warning", "Worker overloaded: it takes no more jobs"),
        (telemetry.WorkerRelieved("w1", 60.0, 3.0), "info", "Worker relieved: it takes jobs again"),
        (moved(State.CLOSED, State.OPEN), "warning", "Breaker of joke-api is open: 5 of 5 calls failed"),
        (moved(State.OPEN, State.HALF_OPEN), "info", "Breaker of joke-api is half-open: 5 of 5 calls failed"),
        (
            telemetry.HistoryPurged({"jobs": 1200, "dead_letters": 3}, 20.0, is_done=False),
            "info",
            "History purged: 1,200 jobs, 3 dead letters in 20.0s; more is left",
        ),
        (telemetry.HistoryPurged({}, 0.1, is_done=True), "debug", "History purged: nothing in 0.1s"),
        (
            telemetry.RetriesReported(NOW.date(), 100, 95, retries=20, share_ended_well=0.75, dead_letters=2),
            "info",
            "Retries of 2030-01-01: 20, 75% ended well; 95 of 100 jobs succeeded, 2 died",
        ),
        (telemetry.DatabaseLost("gone"), "error", "Database lost"),
        (telemetry.DatabaseBack(2.5), "info", "Database back after 2.5s"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_lines(configure: Configure, event: telemetry.Event, level: str, text: str):
    """Every event is told in one sentence, as loud as it matters."""
    lines = configure(level="DEBUG")
    emit(event)
    (line,) = lines()
    assert (line["level"], line["event"]) == (level, text)


def test_success_is_quiet(configure: Configure):
    """At the default level, jobs that succeed at once write nothing."""
    lines = configure()
    emit(telemetry.AttemptStarted(ATTEMPT))
    emit(telemetry.AttemptSucceeded(ATTEMPT, 0.1))
    assert lines() == []


def test_lines_of_a_task_carry_its_attempt(configure: Configure):
    """What a task logs while it runs, by `logging` or structlog, carries the attempt; nothing else does."""
    lines = configure()
    emit(telemetry.AttemptStarted(ATTEMPT))
    emit(telemetry.DatabaseBack(1.0))
    logging.getLogger("mycompany").info("page %d", 1)
    structlog.get_logger().info("page 2", task_name="mine")
    emit(telemetry.AttemptSucceeded(ATTEMPT, 0.1))
    logging.getLogger("mycompany").info("idle")
    database, first, second, third = lines()
    assert "job_id" not in database
    assert (first["event"], first["job_id"], first["correlation_id"]) == ("page 1", 17, "order-5")
    assert (second["job_id"], second["task_name"]) == (17, "mine")
    assert "job_id" not in third


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_arguments_stay_out(configure: Configure, level: str):
    """Neither the arguments nor the result of a job reach our logs through Procrastinate's lines."""
    stream_lines = configure(level=level)
    app = App(connector=testing.InMemoryConnector())

    @app.task(name="mail")
    async def mail(to: str) -> str:
        if to.startswith("nobody"):
            raise ValueError("no address")
        return f"sent ({to})"

    async def run() -> None:
        async with app.open_async():
            await mail.defer_async(to="somebody@example.com (home)\n) - Result: x")
            await mail.defer_async(to="nobody@example.com")
            await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)

    asyncio.run(run())
    written = json.dumps(stream_lines())
    assert "@example.com" not in written
    assert "mail[2]: job_error" in written
    assert ("mail[1]: job_success" in written) == (level == "DEBUG")


def test_tracebacks_have_no_locals(configure: Configure):
    """A traceback shows where it failed, not what the variables held; in both forms."""
    for form in ("json", "console"):
        stream = io.StringIO()
        configure()
        logs.configure_logs(LogSettings(format=form), stream)
        password = secrets.token_hex(8)
        try:
            sign_in(password)
        except ValueError:
            logging.getLogger("mycompany").exception("not signed in")
        assert "ValueError: wrong" in stream.getvalue()
        assert password not in stream.getvalue()


def test_console(configure: Configure):
    """On the console a line is readable without colours where there is no terminal, and says nothing of unknowns."""
    configure()
    stream = io.StringIO()
    logs.configure_logs(LogSettings(format="console"), stream)
    emit(telemetry.AttemptFailed(Attempt("tidy", attempt=1, max_attempts=2), 0.1, FAILURE, RETRY, "because"))
    written = stream.getvalue()
    assert "[warning  ] Background task attempt 1/2 failed: tidy. Retrying in 2.0s" in written
    assert "\x1b" not in written
    assert "job_id" not in written


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_short_way_writes_the_same(configure: Configure, form: str):
    """A line of ours is what structlog would have made of it, with the same things masked."""
    configure()
    stream = io.StringIO()
    logs.configure_logs(LogSettings(format=form), stream)
    (handler,) = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    formatter = handler.formatter
    assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
    records: list[logging.LogRecord] = []

    def remember(record: logging.LogRecord) -> bool:
        records.append(record)
        return True

    handler.addFilter(remember)
    emit(replace(FAILED, failure=FAILURE._replace(message="token=hunter2 refused"), reason="Bearer s3cr3tt0ken"))
    structlog.stdlib.get_logger("afresh").error("failed", error=ValueError("pwd=hunter2"), token=b"hunter2")
    plain = "".join(structlog.stdlib.ProcessorFormatter.format(formatter, each) + "\n" for each in records)
    assert "hunter2" not in plain
    assert TIMESTAMP.sub("", stream.getvalue()) == TIMESTAMP.sub("", plain)


def test_configured_twice(configure: Configure):
    """Configuring again replaces the first configuration: one line per event."""
    configure()
    lines = configure()
    emit(FAILED)
    assert len(lines()) == 1


def test_level_of_the_command_line(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    """Procrastinate's own `--log-level` stands where LOG_LEVEL is not set, and yields where it is."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    root = logging.getLogger()
    handler = logging.StreamHandler(io.StringIO())  # As logging.basicConfig of its command line leaves it.
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    configure()
    assert root.level == logging.DEBUG
    configure(level="ERROR")
    assert root.level == logging.ERROR


def test_level_is_of_every_library(configure: Configure):
    """Below LOG_LEVEL no library says anything either: psycopg gives its logger a level of its own."""
    lines = configure(level="CRITICAL")
    for name in ("psycopg.pool", "procrastinate.worker", "httpx", "uvicorn.error", "mycompany"):
        logging.getLogger(name).warning("hm")
    assert lines() == []


def test_secrets(configure: Configure):
    """No line holds a secret: not in its text, its fields, an exception or a traceback, whoever writes it."""
    lines = configure()
    fields = {"password": "hunter2", "user": "ada"}
    structlog.stdlib.get_logger("mycompany").info("connecting to redis://:hunter2@h", **fields)
    log = logging.getLogger("mycompany")
    log.warning("token=%s", "hunter2")
    error = ValueError("refused: password=hunter2")
    structlog.stdlib.get_logger("mycompany").error("failed", error=error)
    try:
        raise error
    except ValueError:
        log.exception("failed")
    assert len(lines()) == 4
    assert "hunter2" not in str(lines())
    assert lines()[0]["user"] == "ada"


@dataclass
class Account:
    """An object of somebody's, as their tasks log it."""

    user: str
    password: str


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_in_objects(configure: Configure, form: Literal["json", "console"]):
    """Nor does a line that is given objects to tell, however deep; times and numbers stay as they are."""
    configure()
    stream, account = io.StringIO(), Account("ada", "hunter2")
    itself: list[Any] = [{"token=hunter2"}]
    itself.append(itself)
    logs.configure_logs(LogSettings(format=form, level="INFO"), stream)
    structlog.stdlib.get_logger("mycompany").info(
        "paid", account=account, accounts=({"of": account},), raw=b"password=hunter2", itself=itself, at=NOW, n=1.5
    )
    assert "hunter2" not in stream.getvalue()
    assert "user='ada', password='[redacted]'" in stream.getvalue()
    assert (f'"at":"{NOW.isoformat()}","n":1.5' if form == "json" else "n=1.5") in stream.getvalue()


def test_secrets_on_the_console(configure: Configure):
    """Nor does a line for people, with its traceback."""
    configure()
    stream = io.StringIO()
    logs.configure_logs(LogSettings(format="console"), stream)
    try:
        raise ValueError("refused: password=hunter2")  # noqa: TRY301 - its traceback is what is logged.
    except ValueError:
        logging.getLogger("mycompany").exception("failed")
    assert "hunter2" not in stream.getvalue()
    assert "password=[redacted]" in stream.getvalue()
