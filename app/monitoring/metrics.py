"""What one process counts, as Prometheus reads it: a subscriber of telemetry, and a look at what the workers run.

A success costs a look into a dict and four additions; four counters of the library would take a twentieth of a worker's
throughput. Must never block, and never grow with what clients make up: labels.py says what a label may be.
"""

import threading
from bisect import bisect_left
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import telemetry
from ..retry.failure import FailureType
from ..retry.policy import DeathCause, Retry
from ..store.samples import BOUNDS
from ..telemetry import Attempt
from .labels import OTHER, UNTYPED, Names
from .surroundings import Surroundings

if TYPE_CHECKING:
    from ..queue.app import Afresh

BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Upper bounds of the sizes of groups."""

DECISIONS = ("retry", "dead_letter")
"""What follows a failure that costs an attempt."""

LABELS = ("task_name", "operation_type")

_BOUNDS = (*map(str, BOUNDS), "+Inf")


class Tally:
    """The attempts of one task, and one kind of work."""

    __slots__ = ("aborted", "active", "buckets", "failed", "retries", "seconds", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.aborted = 0
        self.retries = 0
        self.active = 0  # Of code that is not queued. How many jobs run, the workers know.
        self.failed: dict[str, int] = {}
        self.seconds = 0.0
        self.buckets = [0] * len(_BOUNDS)


class Rare:
    """What is counted too seldom for the library's own counters to cost anything."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"afresh_{name}", text, labels, registry=registry)

        def sizes(name: str, text: str) -> Histogram:
            return Histogram(f"afresh_{name}", text, buckets=BATCHES, registry=registry)

        self.snoozes = counter(
            "snoozes", "Runs that ended at no cost in attempts, to go on later.", LABELS[0], "reason"
        )
        self.buried = counter("jobs_buried", "Jobs that became dead letters.", LABELS[0], "cause")
        self.rescues = counter("rescues", "Jobs of lost workers that were taken over.", LABELS[0])
        self.ownership_lost = counter("ownership_lost", "Late results of jobs that others had taken over.", LABELS[0])
        self.transitions = counter("breaker_transitions", "Breakers that changed their state.", "dependency", "state")
        self.claims = sizes("claim_batch_size", "Jobs taken by one claim that found any.")
        self.settlements = sizes("settle_batch_size", "Ends of runs written as one group.")
        self.submissions = counter("submissions", "Jobs that requests to this process made.")
        self.repeats = counter("idempotent_repeats", "Jobs that a known Idempotency-Key kept from being made again.")
        self.outages = counter("database_outages", "Times that the database stopped answering.")
        self.database_up = Gauge("afresh_database_up", "Whether the database answers.", registry=registry)
        self.database_up.set(1)
        self.overloaded = Gauge(
            "afresh_worker_overloaded",
            "Whether a worker here takes no jobs because its machine is full.",
            registry=registry,
        )


class Metrics(Collector):
    """What this process counts.

    Attributes:
        registry: All that is served at /metrics: ours, and what else this process counts in the library's own.
        names: What labels say.
        rare: What is set from elsewhere, too.
    """

    def __init__(self, app: "Afresh") -> None:
        # A second series beside each counter, which nothing here reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # The library does not annotate it.
        self.registry = CollectorRegistry()
        self.names = Names(app)
        self.rare = Rare(self.registry)
        self._app = app
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str | None], Tally] = {}
        self._by_labels: dict[tuple[str, str], Tally] = {}
        self._failures: dict[tuple[FailureType, bool], int] = dict.fromkeys(product(FailureType, (True, False)), 0)
        self._handlers = self._handlers_by_event()
        self.registry.register(self)
        self.registry.register(Surroundings(app, self.names))
        self.registry.register(_Everything())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count what happens meanwhile.

        Tasks that are known begin at zero: of a series that begins at one, Prometheus sees no increase.
        """
        for name in self.names.tasks():
            self._by_labels.setdefault((name, self.names.kind_of(name) or UNTYPED), Tally())
            for counter in (self.rare.rescues, self.rare.ownership_lost):
                counter.labels(name)
            for cause in DeathCause:
                self.rare.buried.labels(name, cause.value)
        for dependency in self.names.dependencies():
            self.names.dependency(dependency)
        unsubscribe = telemetry.subscribe(self.hear)
        try:
            yield
        finally:
            unsubscribe()

    def hear(self, event: telemetry.Event) -> None:
        """Count one event. May be called from any thread."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _handlers_by_event(self) -> dict[type, Callable[[Any], None]]:
        rare = self.rare
        return {
            telemetry.AttemptStarted: self._started,
            telemetry.AttemptSucceeded: self._succeeded,
            telemetry.AttemptFailed: self._failed,
            telemetry.AttemptAborted: self._aborted,
            telemetry.AttemptSnoozed: self._snoozed,
            telemetry.JobBuried: lambda event: self._count(rare.buried, event.attempt, event.cause.value),
            telemetry.JobRescued: lambda event: self._count(rare.rescues, event.attempt),
            telemetry.OwnershipLost: lambda event: self._count(rare.ownership_lost, event.attempt),
            telemetry.JobsClaimed: lambda event: rare.claims.observe(event.count),
            telemetry.JobsSettled: lambda event: rare.settlements.observe(event.count),
            telemetry.JobsSubmitted: lambda event: rare.submissions.inc(event.count),
            telemetry.SubmissionRepeated: lambda event: rare.repeats.inc(event.count),
            telemetry.BreakerMoved: self._moved,
            telemetry.DatabaseLost: self._lost,
            telemetry.DatabaseBack: lambda _: rare.database_up.set(1),
            telemetry.WorkerOverloaded: lambda _: rare.overloaded.set(1),
            telemetry.WorkerRelieved: lambda _: rare.overloaded.set(0),
        }

    def _started(self, event: telemetry.AttemptStarted) -> None:
        attempt = event.attempt
        if attempt.job_id is None and attempt.track_metrics:
            tally = self._tally(attempt)
            with self._lock:
                tally.active += 1

    def _succeeded(self, event: telemetry.AttemptSucceeded) -> None:
        attempt, seconds = event.attempt, event.duration_seconds
        if not attempt.track_metrics:
            return
        tally = self._tallies.get((attempt.task_name, attempt.operation_type)) or self._tally(attempt)
        with self._lock:
            tally.succeeded += 1
            tally.seconds += seconds
            tally.buckets[bisect_left(BOUNDS, seconds)] += 1
            if attempt.job_id is None:
                tally.active -= 1

    def _failed(self, event: telemetry.AttemptFailed) -> None:
        attempt, seconds = event.attempt, event.duration_seconds
        if not attempt.track_metrics:
            return
        tally = self._tallies.get((attempt.task_name, attempt.operation_type)) or self._tally(attempt)
        retried = isinstance(event.decision, Retry)
        error_type = self.names.error_type(event.failure.exception_type)
        with self._lock:
            tally.failed[error_type] = tally.failed.get(error_type, 0) + 1
            tally.retries += retried
            tally.seconds += seconds
            tally.buckets[bisect_left(BOUNDS, seconds)] += 1
            tally.active -= attempt.job_id is None
            self._failures[event.failure.type, retried] += 1

    def _aborted(self, event: telemetry.AttemptAborted) -> None:
        attempt = event.attempt
        if attempt.track_metrics:
            tally = self._tally(attempt)
            with self._lock:
                tally.aborted += 1
                tally.active -= attempt.job_id is None

    def _snoozed(self, event: telemetry.AttemptSnoozed) -> None:
        attempt = event.attempt
        if attempt.track_metrics:
            tally = self._tally(attempt)
            with self._lock:
                tally.active -= attempt.job_id is None
            self._count(self.rare.snoozes, attempt, event.decision.reason.value)

    def _tally(self, attempt: Attempt) -> Tally:
        key = (attempt.task_name, attempt.operation_type)
        tally = self._tallies.get(key)
        if tally is None:
            labels = self.names.of(attempt)
            tally = self._by_labels.setdefault(labels, Tally())
            if OTHER not in labels:  # Else the keys would be what clients make up.
                self._tallies[key] = tally
        return tally

    def _count(self, counter: Counter, attempt: Attempt, *labels: str) -> None:
        counter.labels(self.names.of(attempt)[0], *labels).inc()

    def _moved(self, event: telemetry.BreakerMoved) -> None:
        moved = event.transition
        self.rare.transitions.labels(self.names.dependency(moved.name), moved.after.value).inc()

    def _lost(self, _: telemetry.DatabaseLost) -> None:
        self.rare.database_up.set(0)
        self.rare.outages.inc()

    # As Prometheus reads it

    def rendered(self, accept: str | None) -> tuple[str, bytes]:
        """All of the registry in the form that is asked for: its media type, and the text."""
        encode, media_type = choose_encoder(accept or "")
        return media_type, encode(self.registry)

    def collect(self) -> Iterable[Metric]:
        """Yield what is counted here now. May be called from any thread."""
        tallies = sorted(self._by_labels.items())
        total = CounterMetricFamily("background_tasks", "Attempts that ran to an end.", labels=LABELS)
        success = CounterMetricFamily("background_tasks_success", "Attempts that succeeded.", labels=LABELS)
        failed = CounterMetricFamily(
            "background_tasks_failed", "Attempts that failed, by exception.", labels=[*LABELS, "error_type"]
        )
        retries = CounterMetricFamily("background_task_retries", "Retries that were decided.", labels=LABELS)
        durations = HistogramMetricFamily(
            "background_task_duration_seconds", "How long attempts took that succeeded or failed.", labels=LABELS
        )
        with self._lock:
            for labels, tally in tallies:
                total.add_metric(labels, tally.succeeded + tally.aborted + sum(tally.failed.values()))
                success.add_metric(labels, tally.succeeded)
                retries.add_metric(labels, tally.retries)
                buckets = list(zip(_BOUNDS, accumulate(tally.buckets), strict=True))
                durations.add_metric(labels, buckets, tally.seconds)
                for error_type, count in tally.failed.items():
                    failed.add_metric([*labels, error_type], count)
            followed = self._failures.copy()
        yield from (total, success, failed, retries, durations, _followed(followed))
        yield from (self._active(tallies), self._budgets())

    def _active(self, tallies: Iterable[tuple[tuple[str, str], Tally]]) -> Metric:
        """What runs now. Counted where it runs: a count of beginnings and ends would drift with each end unheard."""
        running = Multiset({labels: tally.active for labels, tally in tallies})
        for of_a_worker in list(self._app.running.values()):
            for claimed in list(of_a_worker.values()):
                name = claimed.job.task_name
                if self.names.counted(name):
                    kind = claimed.task_type or self.names.kind_of(name)
                    running[self.names.task(name), self.names.kind(kind)] += 1
        family = GaugeMetricFamily("background_tasks_active", "Attempts that run now.", labels=LABELS)
        for labels, count in sorted(running.items()):
            family.add_metric(labels, count)
        return family

    def _budgets(self) -> Metric:
        """Those of dependencies that are not told apart are told as the least of them."""
        left: dict[str, float] = {}
        for dependency, tokens in self._app.dependencies.budgets().items():
            label = self.names.dependency(dependency)
            left[label] = min(tokens, left.get(label, tokens))
        family = GaugeMetricFamily(
            "afresh_retry_budget_tokens",
            "Retries that a dependency is owed by this process; below 1 they are put off.",
            labels=["dependency"],
        )
        for label, tokens in sorted(left.items()):
            family.add_metric([label], tokens)
        return family


def _followed(failures: dict[tuple[FailureType, bool], int]) -> Metric:
    text = "Failures, by their type and what followed."
    family = CounterMetricFamily("afresh_failures", text, labels=["failure_type", "decision"])
    for (failure_type, retried), count in failures.items():
        family.add_metric([failure_type.value, DECISIONS[not retried]], count)
    return family


class _Everything(Collector):
    """What the process counts elsewhere: of itself, and in its users' tasks."""

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()
