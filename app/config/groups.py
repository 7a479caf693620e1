"""The settings: their names, defaults and meaning. `.env.example` is rendered from this file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..retry.failure import FailureType
from . import values
from .environment import Group, project_root, setting


def _from_root(path: str | Path) -> Path:
    return (project_root() / Path(path).expanduser()).resolve()


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
        "MAX_WAIT", "24h", "How long a job may wait for one reason without an attempt, before it is dead-lettered."
    )
    failure_rules: values.FailureRules = setting(
        "FAILURE_RULES", "", "Failure types of your own exception classes; they win over the built-in rules."
    )
    policies: Mapping[FailureType, PolicyOverride] = setting(
        "POLICY__", {}, "Changes to the policy of a failure type, here of TRANSIENT_NETWORK; each type has these."
    )

    @property
    def max_retries_bound(self) -> int | None:
        """The upper bound of every type policy's retries: MAX_RETRIES where it is set explicitly."""
        return self.max_retries if "max_retries" in self.model_fields_set else None


class JokeSettings(Group):
    """The example task."""

    base_url: values.HttpAddress = setting(
        "API_BASE_URL", "https://official-joke-api.appspot.com", "The joke API that fetch-joke calls."
    )
    schedule: values.Switch = setting("JOKE_SCHEDULE", "false", "Whether a joke is fetched every two minutes.")


class LogSettings(Group):
    """What is written to standard error."""

    level: values.LogLevel = setting("LOG_LEVEL", "INFO", "The least severe lines to write.")
    format: values.LogFormat = setting("LOG_FORMAT", "console", "Lines for people, or one JSON object each.")
