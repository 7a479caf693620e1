"""Lines of ours are written past `logging` while nobody else listens to it, and through it as soon as anybody does."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from app import telemetry
from app.config import LogSettings
from app.monitoring import logs, sink
from app.retry.policy import DeadLetter, DeathCause, Snooze, SnoozeReason
from app.telemetry import Attempt, emit

from .samples import FAILURE, NOW, RETRY

ATTEMPT = Attempt("jobs.parse", 1, 4, 17, "documents", "document", "order-5 Bearer s3cr3tt0ken")
FAILED = telemetry.AttemptFailed(ATTEMPT, 0.5, FAILURE._replace(message="token=hunter2 · refused"), RETRY, "because")
EVENTS = (
    telemetry.AttemptStarted(ATTEMPT),
    FAILED,
    telemetry.AttemptFailed(ATTEMPT, 0.5, FAILURE, DeadLetter(DeathCause.PERMANENT, ()), "password=hunter2"),
    telemetry.AttemptSnoozed(ATTEMPT, 0.1, Snooze(NOW, RETRY.delay, SnoozeReason.BUDGET, ()), "because", FAILURE),
    telemetry.AttemptSucceeded(ATTEMPT._replace(job_id=None, attempt=2), 0.1),
    telemetry.AttemptAborted(ATTEMPT, 0.1),
    telemetry.JobBuried(ATTEMPT, DeathCause.RETRIES_SPENT, "pwd=hunter2"),
    telemetry.JobRescued(ATTEMPT, 1, 3),
)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """What `configure` changes is as before after the test."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield
    logs.stop_logs()
    root.handlers[:], level = before
    root.setLevel(level)


def configure(stream: TextIO, form: str = "json") -> logging.Handler:
    """Configure logs where nobody else listens, as in a worker that has just begun; pytest does."""
    logging.getLogger().handlers.clear()
    logs.configure_logs(LogSettings(format=form, level="DEBUG"), stream)
    (handler,) = logging.getLogger().handlers
    return handler


class Hearing(logging.Handler):
    """Somebody else's handler."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember what was logged."""
        self.heard.append(record)


def test_no_record_is_made(monkeypatch: pytest.MonkeyPatch):
    """While nobody else listens, a line of ours costs no record of `logging`, which is most of what a line costs."""
    records: list[str] = []
    monkeypatch.setattr(sink.gate, "makeRecord", lambda *args, **_: records.append(args[0]))
    stream = io.StringIO()
    configure(stream)
    emit(FAILED)
    assert len(stream.getvalue().splitlines()) == 1
    assert records == []


def hear_on_the_root(heard: Hearing, _: pytest.MonkeyPatch) -> None:
    """Listen to all loggers, as most do."""
    logging.getLogger().addHandler(heard)


def hear_on_ours(heard: Hearing, _: pytest.MonkeyPatch) -> None:
    """Listen to our logger alone."""
    sink.gate.addHandler(heard)


def hear_by_a_filter(heard: Hearing, _: pytest.MonkeyPatch) -> None:
    """Look at what our handler writes."""

    def look(record: logging.LogRecord) -> bool:
        heard.emit(record)
        return True

    logging.getLogger().handlers[0].addFilter(look)


def hear_by_a_patch(heard: Hearing, patch: pytest.MonkeyPatch) -> None:
    """Replace a method of `logging`, as services that collect errors do."""
    own = logging.Logger.callHandlers

    def call(logger: logging.Logger, record: logging.LogRecord) -> None:
        heard.emit(record)
        own(logger, record)

    patch.setattr(logging.Logger, "callHandlers", call)


@pytest.mark.parametrize("form", ["json", "console"])
def test_both_ways_write_the_same(tmp_path: Path, form: str):
    """A line is the same, with the same things masked, whichever way it went, onto a file or into memory."""
    written = []
    for name in ("short", "long"):
        with (tmp_path / name).open("w", encoding="utf-8") as stream:
            configure(stream, form)
            if name == "long":
                logging.getLogger().addHandler(Hearing())
            for event in EVENTS:
                emit(event)
        written.append((tmp_path / name).read_text(encoding="utf-8"))
    memory = io.StringIO()
    configure(memory, form)
    for event in EVENTS:
        emit(event)
    short, long, in_memory = (TIMESTAMP.sub("", text) for text in (*written, memory.getvalue()))
    assert short == long == in_memory
    assert len(short.splitlines()) == len(EVENTS)
    assert "hunter2" not in short
    assert "s3cr3tt0ken" not in short


@pytest.mark.parametrize("listen", [hear_on_the_root, hear_on_ours, hear_by_a_filter, hear_by_a_patch])
def test_others_hear_every_line(listen: Callable[[Hearing, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch):
    """Whoever begins to listen to `logging`, and however, hears our lines from then on, which are written as before."""
    stream, heard = io.StringIO(), Hearing()
    configure(stream)
    emit(FAILED)
    assert heard.heard == []
    listen(heard, monkeypatch)
    try:
        emit(FAILED)
    finally:
        sink.gate.removeHandler(heard)
    (record,) = heard.heard
    assert (record.name, record.levelname) == ("afresh", "WARNING")
    first, second = (TIMESTAMP.sub("", line) for line in stream.getvalue().splitlines())
    assert first == second


def test_quietened(monkeypatch: pytest.MonkeyPatch):
    """Whoever turns our logger or the handler down gets no line of ours."""
    stream = io.StringIO()
    handler = configure(stream)
    monkeypatch.setattr(sink.gate, "propagate", False)
    emit(FAILED)
    monkeypatch.undo()
    handler.setLevel(logging.ERROR)
    emit(FAILED)
    assert stream.getvalue() == ""


def test_in_the_order_of_writing(tmp_path: Path):
    """A line comes after what was written to the stream before it, by `print` or by other loggers."""
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        configure(stream)
        print("by hand", file=stream)
        emit(FAILED)
        logging.getLogger("mycompany").warning("done")
        emit(FAILED)
    by_hand, *lines = path.read_text(encoding="utf-8").splitlines()
    assert by_hand == "by hand"
    assert [json.loads(line)["logger"] for line in lines] == ["afresh", "mycompany", "afresh"]


def test_other_encodings(tmp_path: Path):
    """A stream that is not in UTF-8 gets lines in its own encoding."""
    path = tmp_path / "log"
    with path.open("w", encoding="latin-1") as stream:
        configure(stream)
        emit(FAILED)
    assert json.loads(path.read_text(encoding="latin-1"))["error_message"] == "token=[redacted] · refused"


def test_a_line_that_cannot_be_written(capsys: pytest.CaptureFixture[str]):
    """A stream that takes nothing is told of as `logging` tells it, without a secret; whoever emits does not notice."""
    stream = io.StringIO()
    configure(stream)
    stream.close()
    emit(FAILED)
    told = capsys.readouterr().err
    assert "--- Logging error ---" in told
    assert "hunter2" not in told
