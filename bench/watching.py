"""What it costs to be watched: metrics, and logs as JSON, against the same worker with nobody listening."""

import gc
import logging
import os
import socket
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time_ns
from typing import Literal

import psycopg

from app.config import LogSettings, load_settings
from app.monitoring import logs
from app.monitoring.metrics import Metrics
from app.queue.app import create
from app.redact import known_harmless
from app.retry.classify import classify
from app.retry.policy import Retry
from app.telemetry import Attempt, AttemptFailed, AttemptStarted, AttemptSucceeded, emit

from . import load
from .bench import Bench
from .contenders import result, started
from .row import Row, ratio
from .speed import ended, newest

EVENTS = 50_000
ROUNDS = 5
MOST_US = 2.0
SCRAPE_SECONDS = 1.0
"""Between two scrapes; usual are fifteen."""

CONCURRENCY = 50
TASKS = {"noop": ("no-op", 12_000), "mixed": ("mixed", 9_000), "fail": ("failing", 4_000)}
"""What is run: as the table calls it, and jobs per second, roughly, that a run is sized by.

A no-op job writes no line at INFO, a failing one writes one; of the mixed ones every tenth fails.
"""

LEVELS = {"WARNING": 0.95, "INFO": 0.8}
"""What is to be kept of the throughput where lines from this level on are written."""


def rows(bench: Bench) -> Iterator[Row]:
    """The cost of a success in µs, and what is kept of the throughput."""
    yield _of_a_success()
    yield from _of_a_failure()
    bench.server.template("ours", ours=True)
    speed: dict[tuple[str, str], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in bench.rounds("being watched"):
        for task, (_, per_second) in TASKS.items():
            levels = ["off", *LEVELS]
            # Who is first in a round finds the machine another than who is last.
            for level in levels if number % 2 else reversed(levels):
                count = int(per_second * bench.scale.seconds)
                throughput, cpu_ms = _measure(bench, task, count, level)
                speed[task, level].append(throughput)
                cpu[task, level].append(cpu_ms)
    for task, (name, _) in TASKS.items():
        for level, required in LEVELS.items():
            yield ratio(
                f"{name} jobs/s kept with metrics and JSON logs at {level}",
                speed[task, level],
                speed[task, "off"],
                required=required,
                of="jobs/s",
            )
            name_of_cpu = f"CPU of the worker per {name} job, with metrics and JSON logs at {level}, against none"
            yield ratio(name_of_cpu, cpu[task, level], cpu[task, "off"], of="ms")


def _of_a_success() -> Row:
    metrics, attempt = _listener()

    def succeed() -> None:
        emit(AttemptStarted(attempt))
        emit(AttemptSucceeded(attempt, 0.001))

    return _more("metrics: more time for a success", succeed, metrics.listening, required=MOST_US)


def _of_a_failure() -> Iterator[Row]:
    metrics, attempt = _listener()
    failure = classify(ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 80)"))
    decision = Retry(at=datetime.now(UTC), delay=timedelta(seconds=2), explanation=())
    failed = AttemptFailed(
        attempt, 0.001, failure, decision, known_harmless("as it was decided · ±10 % jitter → 2.1 s")
    )

    def fail() -> None:
        emit(AttemptStarted(attempt))
        emit(failed)

    yield _more("metrics: more time for a failure", fail, metrics.listening)
    line = "logs: more time for a failure, with its line"
    yield _more(f"{line} in JSON", fail, partial(_logging, "json"))
    yield _more(f"{line} for people", fail, partial(_logging, "console"))


def _listener() -> tuple[Metrics, Attempt]:
    app = create(load_settings())
    return Metrics(app), Attempt(next(iter(app.tasks)), 1, 4, 1, "default")


@contextmanager
def _logging(form: Literal["json", "console"]) -> Iterator[None]:
    """Write lines to nowhere, as a worker with nobody else's handlers does."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logs.configure_logs(LogSettings(format=form, level="INFO"), nowhere)
        try:
            yield
        finally:
            logs.stop_logs()
            root.handlers[:] = before
            root.setLevel(level)


def _more(
    name: str,
    act: Callable[[], None],
    listening: Callable[[], AbstractContextManager[None]],
    required: float | None = None,
) -> Row:
    without, listened = [], []
    for _ in range(ROUNDS):
        without.append(_microseconds(act))
        with listening():
            listened.append(_microseconds(act))
    more = [after - before for before, after in zip(without, listened, strict=True)]
    return Row(
        name=name,
        value=median(more),
        unit="µs",
        lowest=min(more),
        highest=max(more),
        required=required,
        smaller_is_better=True,
        note=f"{median(without):.2f} → {median(listened):.2f} µs",
    )


def _microseconds(act: Callable[[], None]) -> float:
    gc.disable()
    begun = process_time_ns()
    for _ in range(EVENTS):
        act()
    taken = process_time_ns() - begun
    gc.enable()
    return taken / EVENTS / 1_000


def _measure(bench: Bench, task: str, count: int, level: str) -> tuple[float, float]:
    """Jobs per second, and CPU milliseconds per job."""
    port = _free_port()
    watched = {"LOG_FORMAT": "json", "LOG_LEVEL": level, "WORKER_METRICS_PORT": str(port)}
    environment = {"BENCH_UNWATCHED": "1"} if level == "off" else watched
    with bench.server.database("ours") as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        before = newest(conn)
        if task == "mixed":
            load.mixed(conn, count)
        else:
            load.ready(conn, count, task=task)
        with (
            started("ours", "work", conninfo, environment, concurrency=CONCURRENCY) as process,
            nullcontext() if level == "off" else _scraping(port),
        ):
            measured = result(process)
        speed, ends = ended(conn, before, count)
    return speed, measured["cpu"] * 1000 / ends


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _scraping(port: int) -> Iterator[None]:
    """Read /metrics every second, as Prometheus does, from when it is there until it is gone."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(SCRAPE_SECONDS):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
