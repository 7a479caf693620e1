"""Workers and APIs as real processes, and what their tasks have left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

QUICK = {
    "STALLED_AFTER": "2s",
    "SHUTDOWN_GRACE": "1s",
    "WORKER_CONCURRENCY": "4",
    "WORKER_QUEUES": "default",
    "TASK_MODULES": "tests.faults.jobs_under_test",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
}
"""Settings under which faults are noticed within seconds."""


class Process:
    """One process of ours; its standard error goes to a file. `within` is a command that runs another in its place."""

    def __init__(self, arguments: list[str], log: Path, *, within: Sequence[str] = (), **settings: str) -> None:
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [*within, sys.executable, *arguments],
                cwd=REPOSITORY,
                env=inherited | {"PYTHONPATH": str(REPOSITORY)} | QUICK | settings,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def text(self) -> str:
        """All it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def lines(self) -> Iterator[dict[str, Any]]:
        """Its log lines."""
        for line in self.text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def says(self, event: str) -> bool:
        """Whether a log line begins so."""
        return any(str(line["event"]).startswith(event) for line in self.lines())

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def ended(self, within: float = 40.0) -> int:
        """Wait for its end and return the exit code; negative: the signal that killed it."""
        return self._process.wait(within)

    def stop(self) -> int:
        """Ask for an orderly end, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait(10)


def worker(log: Path, *flags: str, within: Sequence[str] = (), **settings: str) -> Process:
    """Start a worker."""
    arguments = ["-m", "procrastinate", "--app=app.queue.app.app", "worker", *flags]
    return Process(arguments, log, within=within, **settings)


def afresh_worker(log: Path, *flags: str, within: Sequence[str] = (), **settings: str) -> Process:
    """Start a worker by our own command, which runs on uvloop."""
    return Process(["-m", "app", "worker", *flags], log, within=within, **settings)


def api(log: Path, port: int, *, within: Sequence[str] = (), **settings: str) -> Process:
    """Start the API."""
    arguments = ["-m", "uvicorn", "app.api.main:app", "--host=127.0.0.1", f"--port={port}"]
    return Process(arguments, log, within=within, **settings)


class Effects:
    """What tasks have done, by job."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()

    def _lines(self, what: str) -> list[int]:
        words = [line.split() for line in self.file.read_text(encoding="utf-8").splitlines()]
        return [int(line[0]) for line in words if line[1] == what]

    def count(self, job: int, what: str = "ran") -> int:
        """How often the job did this."""
        return self._lines(what).count(job)

    def counts(self, what: str = "ran") -> Counter[int]:
        """How often each job did this."""
        return Counter(self._lines(what))


class Gate:
    """Tasks wait before it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Let them through, for good."""
        self.path.touch()


def passed(seconds: float) -> Iterator[float]:
    """Yield until so many seconds have passed: for what lasts, such as an outage, rather than for what is awaited."""
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        yield now
        time.sleep(0.01)
