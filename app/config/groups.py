"""The settings: their names, defaults and meaning. `.env.example` is rendered from this file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..retry.breaker.rules import Overrides
from ..retry.failure import FailureType
from ..retry.offpeak import PeakHours
from . import values
from .environment import Group, project_root, setting


def _from_root(path: str | Path) -> Path:
    try:
        return (project_root() / Path(path).expanduser()).resolve()
    except RuntimeError as error:  # It begins with ~ and a user whom nobody knows here, or goes round in links.
        raise ValueError("not a path") from error


class DatabaseSettings(Group):
    """Where the data lives."""

    url: values.PostgresAddress | None = setting(
        "DATABASE_URL", None, "The server to use. Unset: an embedded one, with its data in DATA_DIR.", secret=True
    )
    data_dir: Annotated[Path, BeforeValidator(_from_root), values.Expects("a path")] = setting(
        "DATA_DIR", ".afresh", "The embedded server's folder, relative to the folder of .env or pyproject.toml."
    )
    listen_url: values.PostgresAddress | None = setting(
        "LISTEN_DATABASE_URL", None, "A direct connection for LISTEN, where DATABASE_URL is a pgbouncer.", secret=True
    )
    embedded_version: values.PostgresVersion = setting(
        "EMBEDDED_POSTGRES", "18", "The major version of the embedded server."
    )


class ApiSettings(Group):
    """Where HTTP is served."""

    host: values.Host = setting("API_HOST", "127.0.0.1", "The address to bind.")
    port: values.Port = setting("API_PORT", "8000", "The port to bind; 0 takes any free one.")
    allowed_hosts: values.Names = setting(
        "ALLOWED_HOSTS", "", "Host names to answer to, besides those of the loopback address."
    )
    admin_key: values.ApiKey | None = setting(
        "ADMIN_API_KEY", None, "A key with the role admin, besides those of `afresh keys`.", secret=True
    )


class SubmissionSettings(Group):
    """What becomes of a job when it is handed in over HTTP."""

    max_queue_size: values.Count = setting(
        "MAX_QUEUE_SIZE", "0", "Ready jobs in a queue from which on it takes no more, with a 429; 0: no limit."
    )
    idempotency_ttl: values.PositiveDuration = setting(
        "IDEMPOTENCY_TTL", "24h", "How long an Idempotency-Key is remembered."
    )
    outbound_limit: values.Count = setting(
        "OUTBOUND_RATE_LIMIT",
        "600",
        "Jobs that one key may hand in in a minute, of each task that reaches out (such as send-email), in each "
        "API process; 0: no limit.",
    )
    task_types: values.TaskTypes = setting(
        "TASK_TYPES", "", "Your kinds of work, besides email, report, analytics and cleanup, which it can redefine."
    )


class WorkerSettings(Group):
    """What a worker runs, and how it lets go."""

    concurrency: values.PositiveCount = setting(
        "WORKER_CONCURRENCY", "10", "Jobs that one worker runs at the same time."
    )
    queues: values.Names = setting("WORKER_QUEUES", "", "Queues to take jobs from. Unset: all of them.")
    task_modules: values.Names = setting(
        "TASK_MODULES", "", "Your modules with tasks, such as mycompany.jobs,mycompany.reports."
    )
    shutdown_grace: values.Duration = setting(
        "SHUTDOWN_GRACE", "30s", "How long a stopping worker waits for its jobs before it puts them back."
    )
    stalled_after: values.PositiveDuration = setting(
        "STALLED_AFTER", "30s", "Silence after which a worker counts as lost and its jobs are rescued."
    )
    max_rescues: values.Count = setting(
        "MAX_RESCUES", "3", "Rescues of one job before it is dead-lettered as SYSTEM_WORKER_LOST."
    )
    unknown_task_grace: values.Duration = setting(
        "UNKNOWN_TASK_GRACE", "10m", "How long a job waits for a worker that knows its task."
    )
    max_memory_percent: values.Percent = setting(
        "MAX_MEMORY_PERCENT", "85", "Memory in use above which a worker takes no more jobs; 0: no limit."
    )
    max_cpu_percent: values.Percent = setting("MAX_CPU_PERCENT", "0", "The same of the CPUs; 0: no limit.")


class PolicyOverride(BaseModel):
    """What a person changed in the policy of one failure type. None: as it was."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    max_retries: values.Count | None = Field(None, description="Retries after the first attempt.")
    initial_delay: values.Duration | None = Field(None, description="The delay before the first retry.")
    backoff: values.BackoffName | None = Field(None, description="How the delay grows.")
    max_delay: values.Duration | None = Field(None, description="The longest delay.")
    breaker_failures: values.PositiveCount | None = Field(None, description="Failures that open the breaker.")
    breaker_seconds: values.PositiveDuration | None = Field(None, description="How long the breaker stays open.")


class RetrySettings(Group):
    """Whether and when a failed job runs again."""

    max_retries: values.Count = setting(
        "MAX_RETRIES", "5", "Retries after the first attempt. Set explicitly, it also bounds every failure type's own."
    )
    base_delay: values.Duration = setting("RETRY_BASE_DELAY", "2.0", "The delay before the first retry.")
    max_delay: values.Duration = setting("RETRY_MAX_DELAY", "300.0", "The longest delay before a retry.")
    backoff: values.BackoffName = setting("RETRY_BACKOFF", "exponential", "How the delay grows from retry to retry.")
    multiplier: values.Factor = setting("RETRY_MULTIPLIER", "2.0", "The growth of an exponential delay.")
    jitter: values.JitterName = setting(
        "RETRY_JITTER", "proportional", "How a delay is spread, so that jobs do not return together."
    )
    http_500: values.Switch = setting("RETRY_HTTP_500", "false", "Whether an HTTP 500 is worth a retry.")
    job_timeout: values.PositiveDuration = setting(
        "JOB_TIMEOUT", "300s", "How long an attempt may run where its task or job says nothing."
    )
    task_timeouts: values.Timeouts = setting("TASK_TIMEOUTS", "", "The same for single tasks.")
    max_wait: values.Duration = setting(
        "MAX_WAIT",
        "24h",
        "How long a job may wait for one reason without an attempt, before it is dead-lettered; for credentials that "
        "somebody has to mend it waits without end.",
    )
    failure_rules: values.FailureRules = setting(
        "FAILURE_RULES", "", "Failure types of your own exception classes; they win over the built-in rules."
    )
    policies: Mapping[FailureType, PolicyOverride] = setting(
        "POLICY__", {}, "Changes to the policy of a failure type, here of TRANSIENT_NETWORK; each type has these."
    )

    adaptive: values.Switch = setting(
        "ADAPTIVE_RETRY", "true", "Whether delays learn from earlier retries and heed the depth of the queue."
    )
    budget: values.Share = setting(
        "RETRY_BUDGET", "0.2", "Retries of a dependency that each call of it allows, in each process."
    )

    @property
    def max_retries_bound(self) -> int | None:
        """The upper bound of every type policy's retries: MAX_RETRIES where it is set explicitly."""
        return self.max_retries if "max_retries" in self.model_fields_set else None


class DependencyOverride(BaseModel):
    """What a person changed about the breaker of one dependency. None: as it was."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    breaker_failures: values.PositiveCount | None = Field(None, description="Failures that open the breaker.")
    breaker_seconds: values.PositiveDuration | None = Field(None, description="How long it stays open at first.")
    breaker_failure_ratio: values.Ratio | None = Field(None, description="Least share of calls that fail.")
    breaker_half_open_max_calls: values.PositiveCount | None = Field(None, description="Most probes at the same time.")
    breaker_window: values.PositiveDuration | None = Field(None, description="How far back calls count.")
    breaker_quiet: values.PositiveDuration | None = Field(
        None, description="How long its ramp is quiet before it ends."
    )
    breaker_early_probe: values.Switch | None = Field(
        None, description="Whether a job looks during its break whether it is back."
    )

    @property
    def overrides(self) -> Overrides:
        """As the breaker takes them."""
        return Overrides(
            failures=self.breaker_failures,
            break_duration=self.breaker_seconds,
            ratio=self.breaker_failure_ratio,
            half_open_max_calls=self.breaker_half_open_max_calls,
            window=self.breaker_window,
            quiet=self.breaker_quiet,
            early_probe=self.breaker_early_probe,
        )


class BreakerSettings(Group):
    """When a dependency is not called."""

    failures: values.PositiveCount = setting(
        "BREAKER_FAILURES",
        "5",
        "Failures that open a breaker. Set explicitly, it rules over every failure type's own, but for holds, which "
        "count jobs (POLICY__PERMANENT_AUTH__BREAKER_FAILURES).",
    )
    seconds: values.PositiveDuration = setting(
        "BREAKER_SECONDS", "60s", "How long it stays open at first. Set explicitly, it rules as BREAKER_FAILURES does."
    )
    half_open_max_calls: values.PositiveCount = setting(
        "BREAKER_HALF_OPEN_MAX_CALLS", "3", "Most probes at the same time, over all workers."
    )
    window: values.PositiveDuration = setting("BREAKER_WINDOW", "60s", "How far back calls count.")
    quiet: values.PositiveDuration = setting(
        "BREAKER_QUIET", "60s", "How long a ramp must not have been the limit before it ends."
    )
    early_probe: values.Switch = setting(
        "BREAKER_EARLY_PROBE",
        "true",
        "Whether one job now and then looks during a break whether the dependency is back.",
    )
    failure_ratio: values.Ratio = setting(
        "BREAKER_FAILURE_RATIO", "0.5", "Least share of calls that fail. Set explicitly, it rules as well."
    )
    dependencies: Mapping[str, DependencyOverride] = setting(
        "DEPENDENCY__", {}, "The same for one dependency, here for joke-api."
    )

    def overrides_of(self, dependency: str) -> Overrides:
        """What settings say about the breaker of this dependency: its own before those for all."""
        explicit = self.model_fields_set
        for_all = Overrides(
            failures=self.failures if "failures" in explicit else None,
            break_duration=self.seconds if "seconds" in explicit else None,
            ratio=self.failure_ratio if "failure_ratio" in explicit else None,
            half_open_max_calls=self.half_open_max_calls,
            window=self.window,
            quiet=self.quiet,
            early_probe=self.early_probe,
        )
        own = self.dependencies.get(re.sub(r"[^A-Z0-9]+", "_", dependency.upper()))
        return for_all if own is None else own.overrides.over(for_all)


class OffPeakSettings(Group):
    """When work that can wait is done."""

    hours: values.Hours = setting("PEAK_HOURS", "9-18", "The dear hours of a day, in TIMEZONE.")
    zone: values.Zone = setting("TIMEZONE", "UTC", "By which clock.")
    cost_per_hour: values.Amount = setting(
        "PEAK_COST_PER_HOUR", "0", "What an hour of work costs more in them, in your currency."
    )

    @property
    def peak(self) -> PeakHours:
        """The dear hours, as a decision takes them."""
        return PeakHours(*self.hours, self.zone)


class AlertSettings(Group):
    """When somebody is told that something is wrong, and where."""

    urls: values.AlertAddresses = setting("ALERT_URLS", "", "Where alerts are sent. Unset: nowhere.", secret=True)
    window: values.Minutes = setting("ALERT_WINDOW", "5m", "The time over which rates are taken.")
    after: values.Duration = setting("ALERT_AFTER", "1m", "How long a condition must hold before an alert opens.")
    resolve_after: values.Duration = setting(
        "ALERT_RESOLVE_AFTER", "5m", "How long it must be over before the alert is resolved."
    )
    least_attempts: values.PositiveCount = setting(
        "ALERT_LEAST_ATTEMPTS", "20", "Attempts, jobs or submissions below which no rate is judged."
    )
    error_percent: values.Percent = setting(
        "ALERT_ERROR_PERCENT", "10", "Share of attempts that fail, as a warning; 0 here and below: off."
    )
    error_critical_percent: values.Percent = setting("ALERT_ERROR_CRITICAL_PERCENT", "20", "The same, as critical.")
    success_percent: values.Percent = setting(
        "ALERT_SUCCESS_PERCENT", "90", "Share of jobs that end with success, below which it is a warning."
    )
    dead_letters: values.Count = setting("ALERT_DEAD_LETTERS", "20", "Pending dead letters, as a warning.")
    dead_letters_critical: values.Count = setting("ALERT_DEAD_LETTERS_CRITICAL", "50", "The same, as critical.")
    duplicate_percent: values.Percent = setting(
        "ALERT_DUPLICATE_PERCENT", "5", "Share of submissions that are repeats, as a warning."
    )
    queue_size: values.Count = setting(
        "ALERT_QUEUE_SIZE", "50", "Ready jobs in a queue, as a warning; MAX_QUEUE_SIZE is critical."
    )
    failure_growth: values.Growth = setting(
        "ALERT_FAILURE_GROWTH", "2", "A task's failure rate in times of its own of the past week, as a warning."
    )
    max_disk_percent: values.Percent = setting(
        "MAX_DISK_PERCENT", "90", "Disk in use, as critical; memory is judged by MAX_MEMORY_PERCENT."
    )

    @model_validator(mode="after")
    def _warns_first(self) -> Self:
        """A warning that would come after what is critical is a mistake of somebody's."""
        fields = type(self).model_fields
        lines = []
        for warning, critical in (
            ("error_percent", "error_critical_percent"),
            ("dead_letters", "dead_letters_critical"),
        ):
            low, high = getattr(self, warning), getattr(self, critical)
            if 0 < high < low:
                lines.append(f"{fields[warning].title}={low:g}: expected at most {fields[critical].title}, {high:g}")
        if lines:
            raise ValueError("\n".join(lines))
        return self


NESTED: Mapping[str, tuple[type[BaseModel], str]] = {
    "POLICY__": (PolicyOverride, "TRANSIENT_NETWORK"),
    "DEPENDENCY__": (DependencyOverride, "JOKE_API"),
}
"""What follows a name that stands for many, and an example of what comes between."""


class JokeSettings(Group):
    """The example task."""

    base_url: values.HttpAddress = setting(
        "API_BASE_URL", "https://official-joke-api.appspot.com", "The joke API that fetch-joke calls."
    )
    schedule: values.Switch = setting("JOKE_SCHEDULE", "false", "Whether a joke is fetched every two minutes.")


class RetentionSettings(Group):
    """How long what is over is kept. What is still needed stays in any case."""

    succeeded: values.PositiveDuration = setting(
        "RETENTION_SUCCEEDED", "7d", "How long jobs that succeeded are kept, with their events and results."
    )
    failed: values.PositiveDuration = setting(
        "RETENTION_FAILED", "30d", "The same of those that ended otherwise, and of dead letters that are settled."
    )
    attempts: values.PositiveDuration = setting(
        "RETENTION_ATTEMPTS", "30d", "How long attempts and reported progress are kept, also of jobs that are not."
    )
    samples: values.PositiveDuration = setting(
        "RETENTION_SAMPLES",
        "90d",
        "How long samples, failures by the hour, transitions of breakers and alerts that are over are kept.",
    )
    audit: values.PositiveDuration = setting(
        "RETENTION_AUDIT", "365d", "How long the audit is kept, and failure groups that were not met again."
    )
    most_succeeded: values.Count = setting(
        "RETENTION_SUCCEEDED_COUNT", "0", "Jobs that succeeded, of which no more are kept; 0: no limit."
    )
    most_failed: values.Count = setting(
        "RETENTION_FAILED_COUNT", "0", "The same of failed, of cancelled and of aborted jobs, each; 0: no limit."
    )


class ScalingSettings(Group):
    """What the number of wanted workers is reckoned with."""

    drain: values.PositiveDuration = setting(
        "AUTOSCALING_DRAIN",
        "60s",
        "Within which time a backlog should be done; else more workers are wanted.",
    )


class LogSettings(Group):
    """What is written to standard error."""

    level: values.LogLevel = setting("LOG_LEVEL", "INFO", "The least severe lines to write.")
    format: values.LogFormat = setting("LOG_FORMAT", "console", "Lines for people, or one JSON object each.")


class MetricsSettings(Group):
    """What Prometheus reads."""

    worker_port: values.Port | None = setting(
        "WORKER_METRICS_PORT", None, "Where a worker serves /metrics; 0 takes any free port. Unset: nowhere."
    )
    host: values.Host = setting("METRICS_HOST", "127.0.0.1", "The address that a worker binds for it.")
    token: values.ApiKey | None = setting(
        "METRICS_TOKEN", None, "What opens /metrics, and nothing else, besides the keys of the API.", secret=True
    )
