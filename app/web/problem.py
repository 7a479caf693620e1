"""Errors as problem+json (RFC 9457): one table says what becomes of each typed error.

Never tells what only the server's log should hold: an error that is not in the table is "internal" and no more.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..queue.backpressure import RETRY_AFTER_SECONDS as QUEUE_FULL_SECONDS
from ..queue.backpressure import QueueFull
from ..queue.bulk import EmptyFilter, HasGrown, PreviewGone, UnknownBulk
from ..queue.catalog import InvalidArguments, UnknownTask
from ..queue.control import AlreadyPaused, NotConfirmed, NotPaused, UnknownJob, WrongState
from ..queue.letters import NotDeployed, UnknownLetter, WrongStatus
from ..queue.replay import AlreadyReplayed
from ..queue.submit import AlreadyQueued, KeyReused
from .errors import (
    BodyTooLarge,
    ForeignHost,
    ForeignOrigin,
    FormRefused,
    InvalidInput,
    InvalidItems,
    JobGone,
    KeyNeeded,
    MalformedBody,
    NoResult,
    NothingToChange,
    NotJson,
    NotMarked,
    NotOverHttp,
    NotStopped,
    RemoteAddress,
    RoleNeeded,
    TooManyJobs,
    TooManyWrongKeys,
    UnknownBatch,
    UnknownDependency,
    UnknownGroup,
    UnknownLimit,
    UnknownQueue,
    WrongKey,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
MOST_FAULTS = 100
"""Fields that one problem names; a batch of 10 000 can have more."""


class FieldFault(BaseModel):
    """One field of the request that is wrong."""

    field: str = Field(description="Dotted path into the body, or the parameter's name.", examples=["args.joke_id"])
    message: str = Field(examples=["Input should be a valid integer"])


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Names the kind of error, for programs.", examples=["urn:afresh:invalid-input"])
    title: str = Field(description="The kind of error, for people.", examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What is wrong with this request.", examples=["args.joke_id: missing"])
    errors: list[FieldFault] | None = Field(None, description="The fields that are wrong, where it is about fields.")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an error becomes: `type`, `status` and `title` of its problem, and what it adds to it."""

    type: str
    status: int
    title: str
    detail: Callable[[Any], str] = str
    members: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    headers: Mapping[str, str] | Callable[[Any], Mapping[str, str]] | None = None


def _faults(pairs: Mapping[str, str]) -> dict[str, Any]:
    return {"errors": [{"field": field, "message": message} for field, message in pairs.items()]}


def _summary(pairs: Mapping[str, str]) -> str:
    return "; ".join(f"{field}: {message}" for field, message in pairs.items())


def _argument_faults(error: InvalidArguments) -> dict[str, str]:
    return {f"args.{name}" if name else "args": fault for name, fault in error.faults.items()}


def _request_faults(error: RequestValidationError) -> dict[str, str]:
    """FastAPI's findings by field. Its messages are kept; its copy of the input is not, for it may be a secret."""
    faults = {}
    for found in error.errors()[:MOST_FAULTS]:
        where, *path = map(str, found["loc"])
        message = "unknown field" if found["type"] == "extra_forbidden" else found["msg"]
        faults[".".join(path) or where] = message.removeprefix("Value error, ")
    return faults


_CHALLENGE = 'Bearer realm="afresh"'
_INVALID = "The request is not valid"
_UNREACHABLE = Kind(
    "database-unreachable",
    503,
    "The database does not answer",
    detail=lambda _: "The database cannot be reached at the moment; try again.",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)

TABLE: Mapping[type[Exception], Kind] = {
    UnknownTask: Kind("unknown-task", 404, "No such task", members=lambda error: {"close_matches": error.close}),
    UnknownJob: Kind("unknown-job", 404, "No such job"),
    NoResult: Kind(
        "no-result",
        409,
        "The job has no result",
        members=lambda error: {"state": error.state, "failure_type": error.failure_type},
    ),
    UnknownBatch: Kind("unknown-batch", 404, "No such batch"),
    UnknownGroup: Kind("unknown-group", 404, "No such failure group"),
    NotMarked: Kind("not-marked", 409, "There is nothing to take back"),
    NotStopped: Kind("not-stopped", 409, "Monitoring is not stopped"),
    UnknownDependency: Kind("unknown-dependency", 404, "No such dependency"),
    NothingToChange: Kind("nothing-to-change", 409, "The breaker is not in a state for this"),
    UnknownLimit: Kind("unknown-limit", 404, "No such limit"),
    UnknownQueue: Kind("unknown-queue", 404, "No such queue"),
    WrongState: Kind(
        "wrong-state", 409, "The job is not in a state for this", members=lambda error: {"state": error.state}
    ),
    UnknownLetter: Kind("unknown-dead-letter", 404, "No such dead letter"),
    WrongStatus: Kind(
        "wrong-status",
        409,
        "The dead letter has another status",
        members=lambda error: {"letter_status": error.status},
    ),
    UnknownBulk: Kind("unknown-bulk-action", 404, "No such bulk action"),
    PreviewGone: Kind("gone", 410, "This preview is not there any more"),
    HasGrown: Kind(
        "preview-again",
        409,
        "Many more letters match now",
        members=lambda error: {"previewed": error.previewed, "count": error.count},
    ),
    EmptyFilter: Kind("invalid-input", 422, _INVALID, members=lambda error: _faults({"filter": str(error)})),
    NotDeployed: Kind(
        "task-not-deployed", 409, "Its task is not here", members=lambda error: {"task_name": error.task_name}
    ),
    AlreadyReplayed: Kind(
        "already-replayed", 409, "Another job runs in its place", members=lambda error: {"job_id": error.replay_id}
    ),
    NotConfirmed: Kind("not-confirmed", 409, "Confirm how many jobs", members=lambda error: {"count": error.count}),
    AlreadyPaused: Kind(
        "already-paused",
        409,
        "The queue is paused already",
        members=lambda error: {"paused_by": error.held_by, "paused_at": error.held_at, "reason": error.reason},
    ),
    NotPaused: Kind("not-paused", 409, "The queue is not paused"),
    InvalidArguments: Kind(
        "invalid-arguments",
        422,
        "The arguments do not fit the task",
        detail=lambda error: _summary(_argument_faults(error)),
        members=lambda error: _faults(_argument_faults(error)),
    ),
    InvalidItems: Kind(
        "invalid-arguments",
        422,
        "The arguments do not fit the task",
        members=lambda error: _faults(error.faults),
    ),
    RequestValidationError: Kind(
        "invalid-input",
        422,
        _INVALID,
        detail=lambda error: _summary(_request_faults(error)),
        members=lambda error: _faults(_request_faults(error)),
    ),
    InvalidInput: Kind("invalid-input", 422, _INVALID, members=lambda error: _faults({error.field: error.fault})),
    MalformedBody: Kind("malformed-body", 400, "The body is not JSON"),
    NotJson: Kind("not-json", 415, "A body must be JSON"),
    BodyTooLarge: Kind("body-too-large", 413, "The body is too large"),
    AlreadyQueued: Kind(
        "already-queued",
        409,
        "A job with this queueing lock waits already",
        members=lambda error: (
            {"queueing_lock": error.queueing_lock, "job_id": error.job_id}
            | ({} if error.index is None else {"index": error.index})
        ),
    ),
    KeyReused: Kind("idempotency-key-reused", 422, "This Idempotency-Key stands for another request"),
    JobGone: Kind("gone", 410, "This is not kept any more"),
    QueueFull: Kind(
        "queue-full",
        429,
        "The queue is full",
        members=lambda error: {"queue": error.queue, "limit": error.limit},
        headers={"Retry-After": str(QUEUE_FULL_SECONDS)},
    ),
    KeyNeeded: Kind("key-needed", 401, "A key is needed", headers={"WWW-Authenticate": _CHALLENGE}),
    WrongKey: Kind(
        "wrong-key", 401, "The key is not valid", headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
    ),
    RoleNeeded: Kind("role-needed", 403, "The key may not do this", members=lambda error: {"role": error.role}),
    TooManyWrongKeys: Kind(
        "too-many-wrong-keys",
        429,
        "Too many wrong keys",
        headers=lambda error: {"Retry-After": str(math.ceil(error.seconds))},
    ),
    TooManyJobs: Kind(
        "too-many-jobs",
        429,
        "This key has handed in too many jobs",
        headers=lambda error: {"Retry-After": str(math.ceil(error.seconds))},
    ),
    NotOverHttp: Kind(
        "not-over-http", 403, "Only an admin's key can defer this task", members=lambda _: {"role": "admin"}
    ),
    ForeignHost: Kind("foreign-host", 400, "This is not a host name of this server"),
    ForeignOrigin: Kind("foreign-origin", 403, "A request from another site cannot change anything here"),
    FormRefused: Kind("form-refused", 403, "The form is not valid any more"),
    RemoteAddress: Kind("remote-address", 403, "Only this machine is served"),
    ClientDisconnect: Kind("disconnected", 400, "The body did not arrive whole"),
    psycopg.errors.QueryCanceled: Kind(
        "too-slow",
        503,
        "The database takes too long for this",
        detail=lambda _: "It was given up, for it kept the database too busy; ask for less, or try again.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    ),
    psycopg.OperationalError: _UNREACHABLE,
    psycopg.InterfaceError: _UNREACHABLE,
}
_INTERNAL = Kind("internal", 500, "Something went wrong here", detail=lambda _: "The server's log has the details.")


def install(app: FastAPI) -> None:
    """Let every error of `app` leave it as problem+json."""
    for error_type in (*TABLE, HTTPException, Exception):
        app.add_exception_handler(error_type, _handle)


async def _handle(_: Request, error: Exception) -> JSONResponse:
    return response_to(error)


def response_to(error: Exception) -> JSONResponse:
    """Return what the caller gets to read about `error`."""
    kind = _kind_of(error)
    content = {
        "type": f"urn:afresh:{kind.type}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail(error),
        **kind.members(error),
    }
    headers = kind.headers(error) if callable(kind.headers) else kind.headers
    return JSONResponse(content, kind.status, dict(headers or {}), media_type=MEDIA_TYPE)


def status_of(error: Exception) -> int:
    """The status of what the caller gets to read about `error`."""
    return _kind_of(error).status


def _kind_of(error: Exception) -> Kind:
    if isinstance(error, HTTPException) and not isinstance(error, BodyTooLarge):
        return _plain(error)
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), _INTERNAL)


def _plain(error: HTTPException) -> Kind:
    """What the framework itself refuses: no such page, no such method."""
    phrase = HTTPStatus(error.status_code).phrase
    name = phrase.lower().replace(" ", "-")
    return Kind(name, error.status_code, phrase, detail=lambda _: str(error.detail), headers=error.headers)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
