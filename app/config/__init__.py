"""Settings in small frozen groups, read once at a composition root and passed on by group.

Must never be read from below: a function that needs a setting takes its group, or the value, as an argument.
"""

import difflib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..retry.failure import FailureType
from .delivery import HttpSettings, LlmSettings, MailSettings
from .environment import Group, SettingsError, near_misses, read_environment
from .groups import (
    NESTED,
    AlertSettings,
    ApiSettings,
    BreakerSettings,
    DatabaseSettings,
    DependencyOverride,
    JokeSettings,
    LogSettings,
    MetricsSettings,
    OffPeakSettings,
    PolicyOverride,
    RetentionSettings,
    RetrySettings,
    ScalingSettings,
    SubmissionSettings,
    WorkerSettings,
)
from .values import expectation

__all__ = [
    "AlertSettings",
    "ApiSettings",
    "BreakerSettings",
    "DatabaseSettings",
    "DependencyOverride",
    "HttpSettings",
    "JokeSettings",
    "LlmSettings",
    "LogSettings",
    "MailSettings",
    "MetricsSettings",
    "OffPeakSettings",
    "PolicyOverride",
    "RetentionSettings",
    "RetrySettings",
    "ScalingSettings",
    "Settings",
    "SettingsError",
    "SubmissionSettings",
    "WorkerSettings",
    "default_settings",
    "load_settings",
    "read_settings",
    "settings_that_are_set",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups. Compose with it, then pass each part only the group it needs."""

    database: DatabaseSettings
    api: ApiSettings
    submission: SubmissionSettings
    worker: WorkerSettings
    retry: RetrySettings
    breaker: BreakerSettings
    off_peak: OffPeakSettings
    joke: JokeSettings
    mail: MailSettings
    http: HttpSettings
    llm: LlmSettings
    alert: AlertSettings
    retention: RetentionSettings
    scaling: ScalingSettings
    log: LogSettings
    metrics: MetricsSettings


GROUPS: dict[str, type[Group]] = get_type_hints(Settings)
"""By the names that `Settings` has for them."""


def load_settings() -> Settings:
    """Read the settings, or print one line for each wrong one on standard error and exit with code 2.

    The exit is raised here because Procrastinate's command line and uvicorn import us: they would show any other
    exception as a traceback, or hide it behind "invalid load_app value".
    """
    try:
        settings, misspelt = read_settings(), near_misses(read_environment(), _names())
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is configured by what could not be read.
        raise SystemExit(2) from None
    for typed, meant in misspelt.items():
        print(f"{typed} is not read; did you mean {meant}?", file=sys.stderr)  # noqa: T201 - as above.
    return settings


def _names() -> set[str]:
    """Every setting's name, as people type it."""
    return {field.title or "" for group in GROUPS.values() for field in group.model_fields.values()}


def settings_that_are_set() -> set[str]:
    """The names of ours in the environment and in `.env`, as they are typed there.

    Raises:
        SettingsError: As `read_environment`.
    """
    known = _names()
    families = tuple(name for name in known if name.endswith("__"))
    return {name for name in read_environment() if name in known or name.startswith(families)}


def read_settings() -> Settings:
    """Read every group from the environment and `.env`.

    Raises:
        SettingsError: At least one value is wrong. All of them are named.
    """
    groups: dict[str, Any] = {}
    lines: list[str] = []
    for name, group in GROUPS.items():
        try:
            groups[name] = group()
        except ValidationError as error:
            lines.extend(_lines(group, error))
    if lines:
        raise SettingsError(*lines)
    settings = Settings(**groups)
    if lines := list(_contradictions(settings)):
        raise SettingsError(*lines)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """What settings of different groups, each in order, say against each other; defaults give way."""
    most, warned = settings.submission.max_queue_size, settings.alert.queue_size
    if 0 < most <= warned and "queue_size" in settings.alert.model_fields_set:
        yield _line(f"ALERT_QUEUE_SIZE={warned}", f"less than MAX_QUEUE_SIZE, {most}, which is critical")


def default_settings() -> Settings:
    """Every group by its defaults, whatever is set."""
    groups: dict[str, Any] = {}
    for name, group in GROUPS.items():
        groups[name] = group(**{field: info.default for field, info in group.model_fields.items()})
    return Settings(**groups)


def _lines(group: type[Group], error: ValidationError) -> Iterator[str]:
    """Write one line for each fault that pydantic found."""
    for details in error.errors(include_url=False):
        if not details["loc"]:  # A group's own word about several of its settings.
            yield from str(details["ctx"]["error"]).splitlines()
            continue
        field = group.model_fields[str(details["loc"][0])]
        name = field.title or ""
        if name.endswith("__"):
            yield _nested_line(name, details)
        else:
            shown = f"={_typed(name, details)!r}" if field.repr else ""
            yield _line(f"{name}{shown}", expectation(field))


def _typed(name: str, details: ErrorDetails) -> str:
    """Return what was typed: the whole value, before anything was made of it, or the pair of it that is wrong."""
    _, *key = details["loc"]
    if not key:
        return read_environment().get(name, str(details["input"]))
    return "=".join(map(str, [*key, details["input"]]))


def _nested_line(prefix: str, details: ErrorDetails) -> str:
    """Name the setting below POLICY__ or DEPENDENCY__ that is wrong: its failure type, its field or its value."""
    _, between, *rest = map(str, details["loc"])
    name = f"{prefix}{between}"
    if rest == ["[key]"]:
        return _line(name, f"a failure type after {prefix}{_closest(between, list(FailureType))}")
    fields = NESTED[prefix][0].model_fields
    name = "__".join([name, *rest]).upper()
    if details["type"] == "extra_forbidden":
        known = [field.upper() for field in fields]
        return _line(name, f"one of {', '.join(known)} at the end{_closest(rest[0].upper(), known)}")
    return _line(f"{name}={details['input']!r}", expectation(fields[rest[0]]))


def _closest(typed: str, known: list[str]) -> str:
    found = difflib.get_close_matches(typed, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _line(subject: str, expected: str) -> str:
    return f"{subject}: expected {expected}"
