"""What it costs to be watched: metrics, and logs as JSON, against the same worker with nobody listening."""

import gc
import socket
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from statistics import median
from time import perf_counter_ns

import psycopg

from app.config import load_settings
from app.monitoring.metrics import Metrics
from app.queue.app import create
from app.telemetry import Attempt, AttemptStarted, AttemptSucceeded, emit

from . import load
from .bench import Bench
from .contenders import result, started
from .row import Row, ratio
from .speed import ENDS

EVENTS = 50_000
ROUNDS = 5
MOST_US = 2.0
SCRAPE_SECONDS = 1.0
"""Between two scrapes; usual are fifteen."""

CONCURRENCY = 50
NOOPS, FAILURES = 12_000, 4_000
"""Jobs per second, roughly, that a run is sized by."""

LEVELS = {"WARNING": 0.95, "INFO": 0.8}
"""What is to be kept of the throughput where lines from this level on are written."""


def rows(bench: Bench) -> Iterator[Row]:
    """The cost of a success in µs, and what is kept of the throughput."""
    yield _of_a_success()
    bench.server.template("ours", ours=True)
    speed: dict[tuple[str, str], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in bench.rounds("being watched"):
        for task, per_second in (("noop", NOOPS), ("fail", FAILURES)):
            levels = ["off", *LEVELS]
            # Who is first in a round finds the machine another than who is last.
            for level in levels if number % 2 else reversed(levels):
                count = int(per_second * bench.scale.seconds)
                throughput, cpu_ms = _measure(bench, task, count, level)
                speed[task, level].append(throughput)
                cpu[task, level].append(cpu_ms)
    for task, name in (("noop", "no-op"), ("fail", "failing")):
        for level, required in LEVELS.items():
            yield ratio(
                f"{name} jobs/s kept with metrics and JSON logs at {level}",
                speed[task, level],
                speed[task, "off"],
                required=required if task == "noop" else None,
                of="jobs/s",
            )
            name_of_cpu = f"CPU of the worker per {name} job, with metrics and JSON logs at {level}, against none"
            yield ratio(name_of_cpu, cpu[task, level], cpu[task, "off"], of="ms")


def _of_a_success() -> Row:
    app = create(load_settings())
    metrics = Metrics(app)
    name = next(iter(app.tasks))
    attempt = Attempt(name, 1, 4, 1, "default")

    def succeed() -> None:
        emit(AttemptStarted(attempt))
        emit(AttemptSucceeded(attempt, 0.001))

    without, listened = [], []
    for _ in range(ROUNDS):
        without.append(_microseconds(succeed))
        with metrics.listening():
            listened.append(_microseconds(succeed))
    more = [after - before for before, after in zip(without, listened, strict=True)]
    return Row(
        name="metrics: more time for a success",
        value=median(more),
        unit="µs",
        lowest=min(more),
        highest=max(more),
        required=MOST_US,
        smaller_is_better=True,
        note=f"{median(without):.2f} → {median(listened):.2f} µs",
    )


def _microseconds(act: Callable[[], None]) -> float:
    gc.disable()
    begun = perf_counter_ns()
    for _ in range(EVENTS):
        act()
    taken = perf_counter_ns() - begun
    gc.enable()
    return taken / EVENTS / 1_000


def _measure(bench: Bench, task: str, count: int, level: str) -> tuple[float, float]:
    """Jobs per second, and CPU milliseconds per job."""
    port = _free_port()
    watched = {"LOG_FORMAT": "json", "LOG_LEVEL": level, "WORKER_METRICS_PORT": str(port)}
    environment = {"BENCH_UNWATCHED": "1"} if level == "off" else watched
    with bench.server.database("ours") as conninfo, psycopg.connect(conninfo, autocommit=True) as conn:
        before = conn.execute("SELECT max(id) FROM procrastinate_jobs").fetchone()
        load.ready(conn, count, task=task)
        with (
            started("ours", "work", conninfo, environment, concurrency=CONCURRENCY) as process,
            nullcontext() if level == "off" else _scraping(port),
        ):
            measured = result(process)
        ended, seconds = conn.execute(ENDS, before).fetchone() or (0, 0)
    if ended != count:
        raise RuntimeError(f"{task}, {level}: {count} jobs were put in and {ended} ended")
    return ended / float(seconds), measured["cpu"] * 1000 / ended


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
