"""The OpenAPI description: what FastAPI reads from the routes, and what stands before all of them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from ..queue.control import UnknownJob, WrongState
from ..web.errors import (
    BodyTooLarge,
    InvalidInput,
    JobGone,
    KeyNeeded,
    MalformedBody,
    NotJson,
    RoleNeeded,
    TooManyWrongKeys,
)
from ..web.limits import MAX_BODY_BYTES
from ..web.problem import MEDIA_TYPE, FieldFault, Problem, response_to

_BEFORE_ALL = (400, 401, 403, 413, 429, 503)
"""How a request is refused before its route is reached: for its host, key or size, or for want of a database."""

_BEFORE_CHANGES = (*_BEFORE_ALL, 415)

_REFUSALS: Mapping[str, Exception] = {
    "It is malformed, or for another host": MalformedBody("the body is not JSON: Expecting value: line 1 column 1"),
    "A key is needed": KeyNeeded(),
    "The key may not do this, or a page of another site asked for it": RoleNeeded("operator", "viewer"),
    "There is none": UnknownJob(7),
    "The present state does not let it": WrongState("job 7 has ended: it is succeeded", "succeeded"),
    "It is not kept any more": JobGone("job 7, which this Idempotency-Key stands for, is not kept any more"),
    "The body is too large": BodyTooLarge(MAX_BODY_BYTES),
    "A body must be JSON": NotJson("the Content-Type is text/plain; send application/json"),
    "A field is wrong; `errors` names each": InvalidInput("args.joke_id", "Input should be a valid integer"),
    "Too many wrong keys, or the queue is full": TooManyWrongKeys(6),
    "The database does not answer, or not in time": psycopg.OperationalError(),
}
"""What each status of a problem means, with one that has it."""

_HEADERS: Mapping[str, dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string"}},
}


def operation_id(route: APIRoute) -> str:
    """What clients made from the description call an operation: the name of its function."""
    return route.name


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, with the problem that every error is."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for method, operation in _operations(schema):
            before = _BEFORE_ALL if method == "get" else _BEFORE_CHANGES
            _refer_to_problems(operation["responses"], before if "security" in operation else ())
        components = schema.setdefault("components", {})
        components["responses"] = dict(map(_problem, _REFUSALS.items()))
        for model in (FieldFault, Problem):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            described.pop("$defs", None)
            components["schemas"][model.__name__] = described
        app.openapi_schema = schema
    return app.openapi_schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((method, operation) for path in schema["paths"].values() for method, operation in path.items())


def _refer_to_problems(answers: dict[str, Any], before: tuple[int, ...]) -> None:
    """Let each answer that is a problem and nothing else refer to the one description of its status."""
    for status in sorted({*answers, *map(str, before)}):
        answer = answers.pop(status, {})
        content = answer.get("content", {})
        if not answer or content.keys() == {MEDIA_TYPE}:
            answer = {"$ref": f"#/components/responses/{status}"}
        elif int(status) in before:
            content[MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}
        answers[status] = answer


def _problem(refusal: tuple[str, Exception]) -> tuple[str, dict[str, Any]]:
    meaning, error = refusal
    response = response_to(error)
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": json.loads(bytes(response.body))}
    headers = {name: described for name, described in _HEADERS.items() if name in response.headers}
    return str(response.status_code), {"description": meaning, "content": {MEDIA_TYPE: content}, "headers": headers}
