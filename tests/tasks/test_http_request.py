"""`http-request` as a job: submitted over HTTP, run by a worker, its answer kept."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.config import HttpSettings, Settings
from app.queue.submit import Submission, submit
from app.retry.failure import FailureType
from app.store import breakers
from app.tasks.http_request import http_request

from ..application import Served, run_waiting_jobs, serving, settings_for
from ..queue.dependencies import open_breaker
from .receiver import Receiver, Reply, receiver

pytestmark = pytest.mark.anyio

SECRET = base64.b64encode(b"a secret of enough bytes for it").decode()


@pytest.fixture
def host() -> Iterator[Receiver]:
    """The host that is called."""
    with receiver() as server:
        yield server


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Of a queue whose requests may go to 127.0.0.1, and are signed."""
    hosts = "127.0.0.1,localhost"
    http = HttpSettings(
        allowed_hosts=hosts, private_networks="127.0.0.1/32,::1/128", secrets=f"127.0.0.1=whsec_{SECRET}"
    )
    return settings_for(database_url, http=http)


async def done(served: Served, args: dict[str, Any], **body: Any) -> dict[str, Any]:
    """Submit a request, let a worker run what can run, and return the job."""
    queue, client = served
    answer = await client.post("/tasks/http-request", json={"args": args, **body})
    assert answer.status_code == 202, answer.text
    await run_waiting_jobs(queue)
    job: dict[str, Any] = (await client.get(f"/jobs/{answer.json()['job_id']}")).json()
    return job


async def test_delivery(served: Served, host: Receiver):
    """JSON is delivered, and the answer is the job's result."""
    host.will(Reply(201, {"Content-Type": "application/json", "Set-Cookie": "s=1"}, b'{"id": 5}'))
    job = await done(served, {"url": f"{host.url}/orders", "json": {"order": 7}})
    assert job["state"] == "succeeded"
    result = job["result"]
    assert (result["status"], result["body"], result["body_is_whole"]) == (201, '{"id": 5}', True)
    assert result["headers"]["content-type"] == "application/json"
    assert "set-cookie" not in result["headers"]
    (seen,) = host.requests
    assert (seen.method, seen.body) == ("POST", b'{"order":7}')
    assert seen.headers["Content-Type"] == "application/json"


async def test_text(served: Served, host: Receiver):
    """A body of text is sent as it is."""
    await done(served, {"url": host.url, "body": "Zoë", "method": "PUT"})
    assert (host.requests[0].method, host.requests[0].body.decode()) == ("PUT", "Zoë")
    assert host.requests[0].headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (Reply(headers={"Content-Type": "text/plain; charset=iso-8859-1"}, body=b"Zo\xeb"), {"body": "Zoë"}),
        (Reply(body=b"\x89PNG\xff"), {"body_base64": "iVBORw=="}),
        (Reply(body=b"a\0b"), {"body_base64": "YQBi"}),
        (Reply(headers={"Content-Type": "x; charset=zlib"}, body=b"ab"), {"body_base64": "YWI="}),
        (Reply(headers={"Content-Encoding": "gzip"}, body=b"ab"), {"body_base64": "YWI="}),
    ],
)
async def test_bodies(served: Served, host: Receiver, reply: Reply, kept: dict[str, str]):
    """Text is kept as text, and what is none in base64; nothing is unpacked."""
    host.will(reply)
    result = (await done(served, {"url": host.url}))["result"]
    if "body_base64" in kept and reply.body.startswith(b"\x89"):
        kept = {"body_base64": base64.b64encode(reply.body).decode()}
    assert {name: result[name] for name in ("body", "body_base64") if name in result} == kept


async def test_cut_within_a_character(served: Served, host: Receiver):
    """A long text is cut off between two of its characters."""
    host.will(Reply(body="é".encode() * 40_000))
    result = (await done(served, {"url": host.url, "success": [200]}))["result"]
    assert result["body"] == "é" * 32_768
    host.will(Reply(body=b"a" + "é".encode() * 40_000))
    result = (await done(served, {"url": host.url}))["result"]
    assert (result["body"], result["body_is_whole"]) == ("a" + "é" * 32_767, False)


async def test_retries_are_the_same_message(served: Served, host: Receiver, conn: AsyncConnection):
    """Each try carries the same key and name; each is signed at its own time, over what it carries."""
    host.will(Reply(503), Reply(503))
    job = await done(served, {"url": host.url, "json": [1]}, max_retries=5)
    while job["state"] != "succeeded":
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
        await run_waiting_jobs(served[0])
        job = (await served[1].get(f"/jobs/{job['job_id']}")).json()
    assert job["attempts"] == 3
    assert len({seen.headers["Idempotency-Key"] for seen in host.requests}) == 1
    assert len({seen.headers["webhook-id"] for seen in host.requests}) == 1
    for seen in host.requests:
        content = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.{seen.body.decode()}"
        mac = hmac.digest(base64.b64decode(SECRET), content.encode(), hashlib.sha256)
        assert seen.headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


async def test_two_jobs_are_two_messages(served: Served, host: Receiver):
    """Two jobs with the same arguments are two messages; a job that says its key has that."""
    for key in ({}, {}, {"idempotency_key": "order-7"}):
        await done(served, {"url": host.url, **key})
    keys = [seen.headers["Idempotency-Key"] for seen in host.requests]
    assert keys[2] == "order-7"
    assert len(set(keys)) == 3


async def test_replay_is_the_same_message(served: Served, host: Receiver):
    """A message whose job died goes by its name again when it is replayed: the other side may have it already."""
    queue, client = served
    host.will(Reply(404))
    assert (await done(served, {"url": host.url}))["state"] == "failed"
    letter = (await client.get("/dead-letters")).json()["items"][0]["id"]
    for _ in range(2):
        host.will(Reply(404))
        assert (await client.post(f"/dead-letters/{letter}/replay", json={})).status_code == 202
        await run_waiting_jobs(queue)
    assert len(host.requests) == 3
    assert len({seen.headers["webhook-id"] for seen in host.requests}) == 1


async def test_dependency_is_the_host(served: Served, host: Receiver):
    """A job over HTTP relies on the host of its address; one that names a dependency, on that."""
    queue, client = served
    bodies = [
        {"args": {"url": f"{host.url}/a"}},
        {"args": {"url": "https://127.0.0.1:9/"}},
        {"args": {"url": host.url}, "dependency": "partner"},
    ]
    ids = [(await client.post("/tasks/http-request", json=body)).json()["job_id"] for body in bodies]
    batch = (await client.post("/tasks/http-request/batch", json={"jobs": bodies[:1]})).json()
    shown = [(await client.get(f"/jobs/{job_id}")).json()["dependency"] for job_id in (*ids, *batch["job_ids"])]
    assert shown == ["127.0.0.1", "127.0.0.1", "partner", "127.0.0.1"]
    assert queue.catalog.resolve("http-request").depends_on is None


async def test_isolated_host_is_not_called(served: Served, host: Receiver):
    """While the host's breaker lets nobody in, its jobs wait: no attempt is spent, and nobody is called."""
    _, client = served
    await client.post("/tasks/http-request", json={"args": {"url": host.url}})
    assert (await client.post("/dependencies/127.0.0.1/isolate", json={"reason": "they asked"})).status_code == 200
    job = await done(served, {"url": host.url})
    assert (job["state"], job["attempts"], job["waiting_for"]) == ("ready", 0, "dependency")
    assert not host.requests


async def test_from_python_too(served: Served, host: Receiver):
    """A job that is handed in from Python, in whichever way, relies on its host, and waits without a claim."""
    queue, client = served
    url = host.url
    async with queue.connection() as conn:
        await breakers.isolate(conn, "127.0.0.1", actor="test", reason="they asked")
        job_ids = [
            await submit(conn, Submission(task_name=http_request.name, queue="http", args={"url": url})),
            await http_request.defer_async(url=url),
            await http_request.configure(priority=9).defer_async(url=url),
            *await http_request.batch_defer_async({"url": url}, {"url": url}),
            await asyncio.to_thread(http_request.defer, url=url),
        ]
    await queue.dependencies.refresh()
    await run_waiting_jobs(queue)
    jobs = [(await client.get(f"/jobs/{job_id}")).json() for job_id in job_ids]
    waits = {(job["state"], job["dependency"], job["waiting_for"]) for job in jobs}
    assert (len(jobs), waits) == (6, {("ready", "127.0.0.1", "dependency")})
    assert not host.requests


async def test_what_cannot_be_called_has_no_host(served: Served):
    """Arguments without an address are handed in from Python all the same, and refused by the task."""
    job_id = await http_request.defer_async(url=["not", "an address"])
    await run_waiting_jobs(served[0])
    job = (await served[1].get(f"/jobs/{job_id}")).json()
    assert (job["dependency"], job["last_failure"]["failure_type"]) == (None, "PERMANENT_VALIDATION")


async def test_by_sql_too(served: Served, host: Receiver, conn: AsyncConnection):
    """A job that came by SQL, without a word about its host, meets the host's breaker while it runs."""
    queue, client = served
    await breakers.isolate(conn, "127.0.0.1", actor="test", reason="they asked")
    await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
        "VALUES ('http', %s, jsonb_build_object('url', %s::text))",
        [http_request.name, host.url],
    )
    await queue.dependencies.refresh()
    await run_waiting_jobs(queue)
    job = (await client.get("/jobs/1")).json()
    assert (job["state"], job["attempts"], len(host.requests)) == ("retrying", 0, 0)


async def test_each_host_by_itself(served: Served, host: Receiver, conn: AsyncConnection):
    """A host's failures are its own: where they open its breaker its jobs wait, and those of another host go on."""
    queue, client = served
    host.will(Reply(503))
    await done(served, {"url": host.url})
    suspects = {each["name"] for each in (await client.get("/dependencies")).json() if each["suspect"]}
    assert suspects == {"127.0.0.1"}
    await open_breaker(conn, "127.0.0.1", kind=FailureType.EXTERNAL_API_DOWN)
    await queue.dependencies.refresh()
    waits = await done(served, {"url": host.url})
    assert (waits["state"], waits["attempts"], waits["waiting_for"]) == ("ready", 0, "dependency")
    goes_on = await done(served, {"url": f"http://localhost:{host.port}/"})
    assert (goes_on["state"], goes_on["dependency"], len(host.requests)) == ("succeeded", "localhost", 2)


async def test_a_redirect_meets_the_breaker_there(served: Served, host: Receiver):
    """A redirect leads to no host whose breaker lets nobody in: the job waits, and costs no attempt."""
    _, client = served
    await client.post("/tasks/http-request", json={"args": {"url": f"http://localhost:{host.port}/"}, "run_in": "1h"})
    assert (await client.post("/dependencies/localhost/isolate", json={"reason": "they asked"})).status_code == 200
    host.will(Reply(307, {"Location": f"http://localhost:{host.port}/"}))
    job = await done(served, {"url": host.url})
    assert (job["state"], job["attempts"], len(host.requests)) == ("retrying", 0, 1)
    host.will(Reply(307, {"Location": f"http://localhost:{host.port}/"}))
    job = await done(served, {"url": host.url}, dependency="partner")
    assert (job["state"], job["result"]["answered_by"], len(host.requests)) == ("succeeded", "localhost", 3)


async def test_failures_after_a_redirect_are_those_of_the_host_there(served: Served, host: Receiver):
    """Who sends on is well; whom it is sent to, and who fails, is suspected."""
    there = {"Location": f"http://localhost:{host.port}/"}
    host.will(Reply(307, there), Reply(503))
    job = await done(served, {"url": host.url})
    assert (job["state"], job["last_failure"]["failure_type"]) == ("retrying", "EXTERNAL_API_DOWN")
    suspects = {each["name"] for each in (await served[1].get("/dependencies")).json() if each["suspect"]}
    assert suspects == {"localhost"}


@pytest.mark.parametrize(
    ("success", "status", "state"),
    [([404], 404, "succeeded"), ([404, 410], 410, "succeeded"), ([201], 200, "failed"), (None, 204, "succeeded")],
)
async def test_what_counts_as_success(served: Served, host: Receiver, success: Any, status: int, state: str):
    """The job says which statuses count; else those of 200 to 299."""
    host.will(Reply(status, body=b""))
    job = await done(served, {"url": host.url} | ({"success": success} if success else {}))
    assert job["state"] == state
    assert state == "failed" or job["result"]["status"] == status


async def test_timeout(served: Served, host: Receiver):
    """The job says how long it may take; the failure names the host and that time."""
    host.will(Reply(seconds=3))
    job = await done(served, {"url": f"{host.url}/slow", "timeout": 0.4}, max_retries=0)
    assert job["last_failure"]["failure_type"] == "TRANSIENT_TIMEOUT"
    assert job["last_failure"]["message"].startswith(f"POST {host.url}/slow")


@pytest.mark.parametrize("more", [{"redirects": 0}, {}])
async def test_a_redirect_that_counts_as_success(served: Served, host: Receiver, more: dict[str, Any]):
    """Where a job counts a redirect as success, that is its answer, and it is not followed."""
    host.will(Reply(307, {"Location": "/new"}))
    job = await done(served, {"url": host.url, "success": [307]} | more)
    assert (job["state"], job["result"]["status"], job["result"]["redirects"]) == ("succeeded", 307, 0)
    assert len(host.requests) == 1


async def test_a_redirect_that_is_not_followed(served: Served, host: Receiver):
    """A job that follows none, and counts none as success, fails for good."""
    host.will(Reply(307, {"Location": "/new"}))
    job = await done(served, {"url": host.url, "redirects": 0})
    assert (job["state"], job["attempts"], len(host.requests)) == ("failed", 1, 1)


async def test_own_dependency_wins(served: Served, host: Receiver):
    """A job that names what it relies on is held by that alone, not by the host as well."""
    assert (await served[1].post("/dependencies/127.0.0.1/isolate", json={"reason": "they asked"})).status_code == 200
    job = await done(served, {"url": host.url}, dependency="partner")
    assert (job["state"], len(host.requests)) == ("succeeded", 1)


async def test_from_python_arguments_are_checked(served: Served, host: Receiver):
    """Arguments that nobody has checked are checked by the task, and refused for good, without a word of them."""
    queue, client = served
    async with queue.connection() as conn:
        args = {"url": host.url, "headers": {"X": "se\r\ncret"}}
        job_id = await submit(conn, Submission(task_name=http_request.name, queue="http", args=args))
    await run_waiting_jobs(queue)
    job = (await client.get(f"/jobs/{job_id}")).json()
    assert (job["state"], job["last_failure"]["failure_type"]) == ("failed", "PERMANENT_VALIDATION")
    assert "cret" not in job["last_failure"]["message"]
    assert not host.requests


async def test_replay_to_another_host(served: Served, host: Receiver):
    """A replay whose address is changed relies on the new host."""
    _, client = served
    host.will(Reply(404))
    await done(served, {"url": host.url})
    letter = (await client.get("/dead-letters")).json()["items"][0]["id"]
    changed = {"args": {"url": "http://127.0.0.1.:9/"}}
    job_id = (await client.post(f"/dead-letters/{letter}/replay", json=changed)).json()["job_id"]
    assert (await client.get(f"/jobs/{job_id}")).json()["dependency"] == "127.0.0.1"


async def test_without_allowed_hosts(database_url: str, host: Receiver):
    """Where no host is allowed a job ends as CONFIG_MISSING_SETTING, and the failure says what to set."""
    async with serving(settings_for(database_url)) as served:
        job = await done(served, {"url": host.url})
        assert job["last_failure"]["failure_type"] == "CONFIG_MISSING_SETTING"
        assert "HTTP_ALLOWED_HOSTS is not set: write it into .env" in job["last_failure"]["message"]
        assert not host.requests


async def test_secrets_are_nowhere(served: Served, host: Receiver, conn: AsyncConnection):
    """What signs is stored nowhere and shown nowhere, and a job's own credentials are masked wherever it is shown."""
    host.will(Reply(404, body=b"no"))
    args = {"url": host.url, "headers": {"Authorization": "Bearer open-sesame-0123"}}
    job = await done(served, args)
    assert "sesame" not in str(job)
    attempts = (await served[1].get(f"/jobs/{job['job_id']}/attempts")).text
    assert "sesame" not in attempts
    rows = await (
        await conn.execute("SELECT a::text FROM afresh.attempt a UNION ALL SELECT j::text FROM afresh.job_option j")
    ).fetchall()
    assert not [row for row in rows if "sesame" in row[0] or SECRET in row[0]]
    assert SECRET not in repr(served[0].settings.http)


@pytest.mark.parametrize("networks", ["", "10.0.0.0/8", "127.0.0.2/32"])
async def test_where_private_networks_are(database_url: str, host: Receiver, networks: str):
    """An allowed host at an address that is not public is not called, unless its network is named."""
    http = HttpSettings(allowed_hosts="127.0.0.1", private_networks=networks)
    async with serving(settings_for(database_url, http=http)) as served:
        job = await done(served, {"url": host.url})
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert "HTTP_PRIVATE_NETWORKS" in job["last_failure"]["message"]
    assert not host.requests
