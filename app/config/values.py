"""What a person may type into a setting. Every type carries the sentence that says what it expects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Annotated, Literal, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, AllowInfNan, BeforeValidator, InstanceOf
from pydantic.fields import FieldInfo

from ..retry.failure import FailureType

LONGEST = timedelta(days=36_500)  # A later moment may not fit into a datetime.

SHORTEST_KEY = 8

LONGEST_QUEUE = 40
"""Bytes of the name of a queue that a job is put into.

Procrastinate announces the job on a channel that is called by it behind a prefix of 23; Postgres refuses a longer name
than 63, and the job with it.
"""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Expects:
    """What to type, as an error line and `.env.example` say it."""

    text: str


def expectation(field: FieldInfo) -> str:
    """Say what `field` expects, from the notes of its type."""
    for annotation in (field, *get_args(field.annotation)):
        notes = annotation.metadata if isinstance(annotation, FieldInfo) else getattr(annotation, "__metadata__", ())
        for note in notes:
            if isinstance(note, Expects):
                return note.text
    for annotation in (field.annotation, *get_args(field.annotation)):
        if get_origin(annotation) is Literal:
            return "one of " + ", ".join(map(str, get_args(annotation)))
    raise TypeError(f"the setting {field.title} does not say what it expects")


def parse_duration(value: object) -> object:
    """Turn ``300``, ``2.5``, ``300s``, ``5m``, ``2h`` or ``7d`` into a timedelta; a bare number means seconds.

    Raises:
        ValueError: The text has another form, or the duration is longer than `LONGEST`.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("not a duration")
    number, unit = match.groups()
    try:
        duration = timedelta(**{_UNITS[unit or "s"]: float(number)})
    except OverflowError as error:
        raise ValueError("longer than a century") from error
    if duration > LONGEST:
        raise ValueError("longer than a century")
    return duration


def fit_queue(name: str) -> str:
    """Return the name of a queue that a job can be put into.

    Raises:
        ValueError: It is longer than `LONGEST_QUEUE`.
    """
    if len(name.encode()) > LONGEST_QUEUE:
        raise ValueError(f"at most {LONGEST_QUEUE} bytes")
    return name


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _split_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = {}
    for item in value.split(","):
        if not item.strip():
            continue
        name, equals, content = (part.strip() for part in item.partition("="))
        if not (name and equals and content) or name in pairs:
            raise ValueError("not a list of pairs")
        pairs[name] = content
    return pairs


@dataclass(frozen=True, slots=True)
class TaskType:
    """What a kind of work brings where its job says nothing."""

    priority: int
    queue: str


TASK_TYPES: Mapping[str, TaskType] = {
    "email": TaskType(3, "email"),
    "report": TaskType(5, "reports"),
    "analytics": TaskType(2, "analytics"),
    "cleanup": TaskType(1, "cleanup"),
}
"""The kinds of work that everybody has."""

_LOWEST_PRIORITY, _HIGHEST_PRIORITY = 1, 10


def _task_types(value: object) -> object:
    pairs = _split_pairs(value)
    if not isinstance(value, str) or not isinstance(pairs, dict):
        return value
    return {name: _task_type(content) for name, content in pairs.items()}


def _task_type(text: str) -> TaskType:
    priority, colon, queue = (part.strip() for part in text.partition(":"))
    if not (colon and queue and priority.isascii() and priority.isdecimal()):
        raise ValueError("not a priority and a queue")
    if not _LOWEST_PRIORITY <= int(priority) <= _HIGHEST_PRIORITY:
        raise ValueError("not a priority")
    return TaskType(int(priority), fit_queue(queue))


_BETWEEN_ADDRESSES = re.compile(r"[\s,]+(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")  # A comma can be part of one.


def _addresses(value: object) -> object:
    if not isinstance(value, str):
        return value
    addresses = tuple(_BETWEEN_ADDRESSES.split(value.strip())) if value.strip() else ()
    if not all(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S", address) for address in addresses):
        raise ValueError("not addresses")
    return addresses


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) else value


_HOURS = re.compile(r"(\d{1,2})\s*-\s*(\d{1,2})", re.ASCII)


def _hours(value: object) -> object:
    """Two hours of a day that differ; the last one may be 24."""
    if not isinstance(value, str):
        return value
    match = _HOURS.fullmatch(value.strip())
    if match is None:
        raise ValueError("not two hours")
    start, end = map(int, match.groups())
    if not (start < 24 and 1 <= end <= 24 and start != end):  # noqa: PLR2004  Hours of a day.
        raise ValueError("no hours of a day")
    return start, end


def _zone(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return UTC if value == "UTC" else ZoneInfo(value)  # UTC is known on machines without a zone database, too.
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("no time zone of that name is known here") from error


def _postgres_address(value: str) -> str:
    """Accept both of libpq's forms, an address and ``host=… dbname=…``."""
    scheme, separator, _ = value.partition("://")
    if (scheme in {"postgresql", "postgres"}) if separator else ("=" in value):
        return value
    raise ValueError("not a PostgreSQL address")


def _api_key(value: str) -> str:
    if len(value) >= SHORTEST_KEY and value.isascii() and value.isprintable() and " " not in value:
        return value
    raise ValueError("not a key")


def _http_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:  # Looked at, a wrong port is raised.
        return value.rstrip("/")
    raise ValueError("not an HTTP address")


def _growth(value: float) -> float:
    if value == 0 or value > 1:
        return value
    raise ValueError("no growth")


def _minutes(value: timedelta) -> timedelta:
    minute, day = timedelta(minutes=1), timedelta(days=1)
    if minute <= value <= day and not value % minute:
        return value
    raise ValueError("not whole minutes of a day")


DURATION_FORM = "seconds, or 30s, 5m, 2h, 7d"
"""How a duration is typed."""

Switch = Annotated[bool, Expects("true or false")]
Count = Annotated[int, Ge(0), Expects("a whole number, 0 or more")]
PositiveCount = Annotated[int, Ge(1), Expects("a whole number, 1 or more")]
Port = Annotated[int, Ge(0), Le(65_535), Expects("a port number, 0 to 65535")]
Factor = Annotated[float, Ge(1), AllowInfNan(allow_inf_nan=False), Expects("a number, 1 or more")]
Ratio = Annotated[float, Gt(0), Le(1), Expects("a number above 0, up to 1")]
Share = Annotated[float, Ge(0), Le(1), Expects("a number from 0 to 1")]
Percent = Annotated[float, Ge(0), Le(100), Expects("a number from 0 to 100")]
Amount = Annotated[float, Ge(0), AllowInfNan(allow_inf_nan=False), Expects("a number, 0 or more")]
Growth = Annotated[
    float, AfterValidator(_growth), AllowInfNan(allow_inf_nan=False), Expects("a number above 1, or 0 for off")
]
Minutes = Annotated[
    timedelta, BeforeValidator(parse_duration), AfterValidator(_minutes), Expects("whole minutes, from 1m to 24h")
]
Hours = Annotated[tuple[int, int], BeforeValidator(_hours), Expects("two hours of a day, such as 9-18 or 22-6")]
Zone = Annotated[InstanceOf[tzinfo], BeforeValidator(_zone), Expects("a time zone, such as Europe/Berlin")]
Host = Annotated[str, Expects("a host name or an IP address")]
Duration = Annotated[
    timedelta, BeforeValidator(parse_duration), Ge(timedelta()), Expects(f"a duration: {DURATION_FORM}")
]
PositiveDuration = Annotated[
    timedelta, BeforeValidator(parse_duration), Gt(timedelta()), Expects(f"a duration above 0: {DURATION_FORM}")
]
Names = Annotated[tuple[str, ...], BeforeValidator(_split), Expects("names separated by commas")]
AlertAddresses = Annotated[
    tuple[str, ...],
    BeforeValidator(_addresses),
    Expects("Apprise addresses separated by commas, such as mailtos://… or slack://…"),
]
Timeouts = Annotated[
    Mapping[str, PositiveDuration],
    BeforeValidator(_split_pairs),
    Expects("task=duration pairs separated by commas, such as fetch-joke=30s,send-email=1m"),
]
FailureRules = Annotated[
    Mapping[str, FailureType],
    BeforeValidator(_split_pairs),
    Expects("class=type pairs separated by commas, such as mycompany.errors.Busy=TRANSIENT_RESOURCE"),
]
TaskTypes = Annotated[
    Mapping[str, TaskType],
    BeforeValidator(_task_types),
    Expects(
        "name=priority:queue separated by commas, such as invoice=4:invoices; priorities are 1 to 10, and a queue's "
        f"name has {LONGEST_QUEUE} bytes at most"
    ),
]
PostgresAddress = Annotated[
    str, AfterValidator(_postgres_address), Expects("a PostgreSQL address such as postgresql://user@host/name")
]
HttpAddress = Annotated[str, AfterValidator(_http_address), Expects("an HTTP address such as https://api.example.com")]
ApiKey = Annotated[
    str, AfterValidator(_api_key), Expects(f"{SHORTEST_KEY} or more printable ASCII characters without spaces")
]
PostgresVersion = Annotated[Literal[16, 18], BeforeValidator(_whole)]
BackoffName = Literal["exponential", "linear", "fibonacci", "fixed", "immediate"]
JitterName = Literal["none", "proportional", "equal", "full", "decorrelated"]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
LogFormat = Literal["console", "json"]
