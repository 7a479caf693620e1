"""The words in which clients say priority, time and names, and what each accepts."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema

from ..config.values import LONGEST, LONGEST_QUEUE, fit_queue, parse_duration
from .paging import BIGGEST_ID

PRIORITIES = {"low": 3, "normal": 5, "high": 8, "critical": 10}
MAX_METADATA_BYTES = 16_384
LONGEST_TEXT = 200
"""Characters of what is searched for."""


def _named_priority(value: object) -> object:
    if isinstance(value, str):
        if value not in PRIORITIES:
            raise ValueError(f"a whole number from 1 to 10, or one of {', '.join(PRIORITIES)}")
        return PRIORITIES[value]
    return value


def _duration(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a duration: seconds, or 30s, 5m, 2h, 7d")  # noqa: TRY004 - pydantic reports only ValueError.
    try:
        duration = parse_duration(str(value))
    except ValueError as error:
        raise ValueError("a duration: seconds, or 30s, 5m, 2h, 7d; at most a century") from error
    if duration == timedelta():
        raise ValueError("a duration above 0")
    return duration


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a time in ISO 8601, such as 2030-01-31T12:00:00Z")  # noqa: TRY004 - as above.
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a time needs its offset from UTC, such as Z or +02:00")
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time that no calendar has") from error
    if moment > datetime.now(UTC) + LONGEST:
        raise ValueError("a time within a century")
    return moment


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("contains a NUL character")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"larger than {MAX_METADATA_BYTES:,} bytes")
    return value


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Priority = Annotated[
    int,
    BeforeValidator(_named_priority),
    Strict(),
    Field(ge=1, le=10),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"enum": list(PRIORITIES)}]}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}], "examples": ["5m"]}),
]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time that a client gives."""
Time = Annotated[
    datetime,
    PlainSerializer(_in_utc, return_type=datetime),  # Who names the type has it written without a look at it.
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00Z"]}),
]
"""A time that we give: ISO 8601 in UTC."""
Text = Annotated[str, Strict(), Field(min_length=1, max_length=255), AfterValidator(_storable)]
QueueName = Annotated[str, Strict(), Field(min_length=1, max_length=128), AfterValidator(_storable)]
JobQueue = Annotated[
    str, Strict(), Field(min_length=1, max_length=LONGEST_QUEUE), AfterValidator(_storable), AfterValidator(fit_queue)
]
"""The queue that a job is put into."""
SearchText = Annotated[str, Strict(), Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_storable)]
Metadata = Annotated[dict[str, Any], AfterValidator(_small)]
JobId = Annotated[int, Field(ge=1, le=BIGGEST_ID)]
State = Literal["ready", "scheduled", "retrying", "running", "succeeded", "failed", "cancelled", "aborted"]
LetterStatus = Literal["pending", "retrying", "resolved", "abandoned"]
Cause = Literal["retries_spent", "permanent", "unknown_task", "broken_strategy", "worker_lost", "waited_too_long"]
Status = Literal["todo", "doing", "succeeded", "failed", "cancelled", "aborted"]

LOCATION: dict[str, Any] = {"Location": {"description": "Where to follow it.", "schema": {"type": "string"}}}
"""A header of answers, as OpenAPI describes it."""
