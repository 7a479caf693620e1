"""Bad input anywhere: a clear error that names the field, and nothing stored."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from app.web.limits import MAX_BATCH_BYTES, MAX_BODY_BYTES

from ..application import Served

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
async def nothing_is_stored(shared: Served) -> AsyncIterator[None]:
    """No request of this module leaves a job behind."""
    yield
    assert (await shared[1].get("/jobs")).json()["total"] == 0


@pytest.fixture
def client(shared: Served) -> httpx.AsyncClient:
    """A client of the module's server."""
    return shared[1]


def check_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem in a response, after a look at its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:afresh:")
    assert problem["title"]
    assert problem["detail"]
    return problem


def fields(problem: dict[str, Any]) -> set[str]:
    """The fields that a problem names."""
    return {fault["field"] for fault in problem["errors"]}


async def test_unknown_task(client: httpx.AsyncClient):
    """A task that does not exist is not found, and the nearest names are told."""
    problem = check_problem(await client.post("/tasks/fetch-jok"), 404)
    assert problem["close_matches"] == ["fetch-joke"]


@pytest.mark.parametrize("path", ["/tasks/%00", "/tasks/%ff", "/tasks/" + "x" * 3000, "/tasks/💥"])
async def test_odd_task_names(client: httpx.AsyncClient, path: str):
    """A name that cannot be a task's is one that does not exist."""
    check_problem(await client.post(path), 404)


async def test_internal_task(client: httpx.AsyncClient):
    """A task that is not for HTTP is refused."""
    check_problem(await client.post("/tasks/internal"), 403)
    check_problem(await client.post("/tasks/retry-stalled-jobs"), 403)


@pytest.mark.parametrize(
    ("task", "args", "named"),
    [
        ("add", {}, {"args.a"}),
        ("add", {"a": "1"}, {"args.a"}),
        ("add", {"a": True}, {"args.a"}),
        ("add", {"a": 1.5}, {"args.a"}),
        ("add", {"a": None}, {"args.a"}),
        ("add", {"a": 1, "c": 3}, {"args.c"}),
        ("add", {"b": "x", "c": 3}, {"args.a", "args.b", "args.c"}),
        ("greet", {"name": "x" * 21}, {"args.name"}),
        ("greet", {"name": "x", "tags": ["ok", 5]}, {"args.tags.1"}),
        ("fetch-joke", {"joke_id": "seven"}, {"args.joke_id"}),
        ("with-context", {"number": 1, "context": {}}, {"args.context"}),
    ],
)
async def test_arguments(client: httpx.AsyncClient, task: str, args: dict[str, Any], named: set[str]):
    """Arguments that do not fit the task are named, all of them."""
    problem = check_problem(await client.post(f"/tasks/{task}", json={"args": args}), 422)
    assert fields(problem) == named
    assert all(field in problem["detail"] for field in named)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 0),
        ("priority", 11),
        ("priority", "urgent"),
        ("priority", 5.5),
        ("priority", True),
        ("priority", "5"),
        ("args", []),
        ("args", None),
        ("queue", ""),
        ("queue", "q" * 41),
        ("queue", "ü" * 21),
        ("queue", 7),
        ("run_at", "2030-01-01T00:00:00"),
        ("run_at", "tomorrow"),
        ("run_at", 1_900_000_000),
        ("run_at", "9999-12-31T23:59:59-23:59"),
        ("run_at", "0001-01-01T00:00:00+23:59"),
        ("run_at", "3030-01-01T00:00:00Z"),
        ("run_in", "soon"),
        ("run_in", 0),
        ("run_in", -5),
        ("run_in", "1e400"),
        ("run_in", 1e300),
        ("run_in", True),
        ("run_in", ["5m"]),
        ("timeout", 0),
        ("timeout", "-1s"),
        ("timeout", "99999999d"),
        ("max_retries", -1),
        ("max_retries", 2**31),
        ("max_retries", "3"),
        ("max_retries", True),
        ("metadata", []),
        ("metadata", {"text": "x" * 16_400}),
        ("correlation_id", "x" * 256),
        ("correlation_id", ""),
        ("lock", "x" * 256),
        ("queueing_lock", {}),
        ("task_type", ""),
        ("unheard_of", 1),
    ],
)
async def test_fields(client: httpx.AsyncClient, field: str, value: object):
    """A field that is wrong is named, and so is one that does not exist."""
    problem = check_problem(await client.post("/tasks/fetch-joke", json={field: value}), 422)
    assert field in {name.partition(".")[0] for name in fields(problem)}


async def test_a_text_too_long(client: httpx.AsyncClient):
    """What is wrong with a text is said of characters."""
    problem = check_problem(await client.post("/tasks/fetch-joke", json={"lock": "x" * 256}), 422)
    assert problem["errors"] == [{"field": "lock", "message": "String should have at most 255 characters"}]


async def test_arguments_beside_args(client: httpx.AsyncClient):
    """Who forgets `args` reads that this is where arguments go."""
    problem = check_problem(await client.post("/tasks/fetch-joke", json={"joke_id": 42}), 422)
    wanted = {"field": "joke_id", "message": "unknown field; what the task is called with goes into args"}
    assert problem["errors"] == [wanted]
    batch = check_problem(await client.post("/tasks/fetch-joke/batch", json={"jobs": [{}, {"joke_id": 42}]}), 422)
    assert batch["errors"] == [wanted | {"field": "jobs.1.joke_id"}]


@pytest.mark.parametrize("where", ["args", "metadata"])
async def test_masked_values(client: httpx.AsyncClient, where: str):
    """What was masked when it was shown is no value: copied from there, it is refused by name."""
    body = {where: {"logins": [{"name": "zoe"}, {"name": "max", "password": "[redacted]"}]}}
    response = await client.post("/tasks/accept-anything", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == where
    assert response.json()["errors"][0]["message"].startswith("logins.1.password is masked")
    batch = await client.post("/tasks/accept-anything/batch", json={"jobs": [{}, body]})
    assert (batch.status_code, batch.json()["errors"][0]["field"]) == (422, f"jobs.1.{where}")
    nameless = await client.post("/tasks/accept-anything", json={where: {"": "[redacted]"}})
    assert nameless.json()["errors"][0]["message"].startswith("is masked")


async def test_two_times(client: httpx.AsyncClient):
    """A job cannot run both at a time and after a while."""
    body = {"run_at": "2030-01-01T00:00:00Z", "run_in": "5m"}
    assert "run_at" in check_problem(await client.post("/tasks/fetch-joke", json=body), 422)["detail"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"{'a': 1}", b'{"args": NaN}', b'{"args": -Infinity}', b"[1,]", b"nul"]
)
async def test_malformed(client: httpx.AsyncClient, body: bytes):
    """What is not JSON is refused as such."""
    check_problem(await client.post("/tasks/fetch-joke", content=body, headers=JSON), 400)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"true"])
async def test_not_an_object(client: httpx.AsyncClient, body: bytes):
    """JSON that is no object is refused."""
    check_problem(await client.post("/tasks/fetch-joke", content=body, headers=JSON), 422)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b'"\\u0000"', "args.x"),
        (b'{"deep": ["\\u0000"]}', "args.x.deep.0"),
        (b'"\\ud800"', "args.x"),
        (b'{"\\ud800": 1}', "args.x"),
        (b"1e999", "args.x"),
        (b"18446744073709551616", "args.x"),
        (b"-9223372036854775809", "args.x"),
    ],
)
async def test_what_postgres_cannot_keep(client: httpx.AsyncClient, value: bytes, field: str):
    """Text with a NUL or half a surrogate pair and numbers out of range are refused by name."""
    body = b'{"args": {"x": ' + value + b"}}"
    problem = check_problem(await client.post("/tasks/accept-anything", content=body, headers=JSON), 422)
    assert fields(problem) == {field}


@pytest.mark.parametrize("depth", [40, 900, 100_000])
async def test_depth(client: httpx.AsyncClient, depth: int):
    """A body that is nested too deep is refused, however deep."""
    body = b'{"args": {"x": ' + b"[" * depth + b"]" * depth + b"}}"
    check_problem(await client.post("/tasks/accept-anything", content=body, headers=JSON), 422)


def too_much() -> Iterator[bytes]:
    """A body beyond the limit, in pieces."""
    for _ in range(MAX_BODY_BYTES // 50_000 + 2):
        yield b" " * 50_000


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/tasks/fetch-joke", MAX_BODY_BYTES + 1),
        ("/tasks/fetch-joke", 10**9),
        ("/tasks/fetch-joke/batch", MAX_BATCH_BYTES + 1),
        ("/tasks/fetch-joke/batch", 10**9),
        ("/jobs/1/cancel", 10**9),
    ],
)
async def test_size_announced(client: httpx.AsyncClient, path: str, size: int):
    """A body whose length is said to be too large is refused before it is read."""
    headers = JSON | {"content-length": str(size)}
    check_problem(await client.post(path, content=b"{}", headers=headers), 413)


@pytest.mark.parametrize(("path", "times"), [("/tasks/fetch-joke", 1), ("/tasks/fetch-joke/batch", 16)])
async def test_size_streamed(client: httpx.AsyncClient, path: str, times: int):
    """A body without a length is read up to the limit, and refused there."""

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(times):
            for piece in too_much():
                yield piece

    check_problem(await client.post(path, content=stream(), headers=JSON), 413)


ACTIONS = ["/tasks/fetch-joke/batch", "/jobs/1/cancel", "/jobs/1/retry", "/jobs/1/reschedule", "/queues/q/pause"]
ACTIONS += [f"/failures/groups/f/{verb}" for verb in ("resolve", "reopen", "mute", "unmute")]


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b'"x"', 422), (b'{"reason": "\\u0000"}', 422), (b"[" * 5000 + b"]" * 5000, 422)],
)
async def test_hostile_bodies(client: httpx.AsyncClient, path: str, body: bytes, status: int):
    """What is not JSON, too deep or not storable is refused wherever a body is taken."""
    check_problem(await client.post(path, content=body, headers=JSON), status)


@pytest.mark.parametrize("path", ACTIONS)
async def test_foreign_actions(client: httpx.AsyncClient, path: str):
    """A page of another site can do nothing to jobs and queues."""
    check_problem(await client.post(path, headers={"origin": "https://evil.example"}), 403)
    check_problem(await client.delete("/queues/q/jobs?confirm=0", headers={"origin": "https://evil.example"}), 403)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_media_type(client: httpx.AsyncClient, media_type: str):
    """A body that does not say that it is JSON is refused, though it may be: a foreign page could have sent it."""
    body = json.dumps({"args": {}}).encode()
    response = await client.post("/tasks/fetch-joke", content=body, headers={"content-type": media_type})
    check_problem(response, 415)


@pytest.mark.parametrize("value", ["x" * 256, ""])
async def test_correlation_header(client: httpx.AsyncClient, value: str):
    """A correlation id in the header has the limits of the one in the body."""
    problem = check_problem(await client.post("/tasks/fetch-joke", headers={"x-correlation-id": value}), 422)
    assert fields(problem) == {"x-correlation-id"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:8001"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://localhost", "sec-fetch-site": "cross-site"}, 403),
        ({"host": "evil.example"}, 400),
    ],
)
async def test_foreign_pages(client: httpx.AsyncClient, headers: dict[str, str], status: int):
    """A page of another site can make no job."""
    check_problem(await client.post("/tasks/fetch-joke", headers=headers), status)


@pytest.mark.parametrize("path", ["/jobs/999999", "/jobs/999999/attempts", "/jobs/9223372036854775807"])
async def test_unknown_job(client: httpx.AsyncClient, path: str):
    """A job that does not exist is not found."""
    check_problem(await client.get(path), 404)


@pytest.mark.parametrize("job_id", ["0", "-1", "9223372036854775808", "1" * 5000, "one", "1.5", "%00", "null"])
async def test_impossible_job(client: httpx.AsyncClient, job_id: str):
    """An id that no job can have is not valid."""
    assert fields(check_problem(await client.get(f"/jobs/{job_id}"), 422)) == {"job_id"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "asleep"),
        ("status", "aborting"),
        ("limit", "0"),
        ("limit", "1001"),
        ("offset", "-1"),
        ("offset", "99999999999"),
        ("cursor", "abc"),
        ("cursor", "٣"),
        ("cursor", "9" * 20),
        ("queue", "\0"),
        ("task", "\0"),
        ("task", "x" * 129),
        ("order", "random"),
    ],
)
async def test_filters(client: httpx.AsyncClient, name: str, value: str):
    """A filter that is wrong is named, and so is one that does not exist."""
    assert fields(check_problem(await client.get("/jobs", params={name: value}), 422)) == {name}


async def test_unknown_page(client: httpx.AsyncClient):
    """Addresses and methods that do not exist are problems too."""
    check_problem(await client.get("/nothing/here"), 404)
    response = await client.delete("/jobs/1")
    check_problem(response, 405)
    assert response.headers["allow"] == "GET"
