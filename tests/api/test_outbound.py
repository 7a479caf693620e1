"""Mail and requests over HTTP: what is refused before a job exists, and how many one key may hand in."""

import base64
from typing import Any

import httpx
import pytest

from app.config import HttpSettings, SubmissionSettings

from ..application import Served, serving, settings_for

pytestmark = pytest.mark.anyio

MAIL: dict[str, Any] = {"to": ["zoe@example.com"], "subject": "Hi", "text": "there"}
CALL: dict[str, Any] = {"url": "https://api.example.com/hooks", "json": {"order": 7}}
BIG = base64.b64encode(bytes(400_000)).decode()


@pytest.mark.parametrize(
    ("args", "field", "told"),
    [
        ({}, "args.to", "missing"),
        ({**MAIL, "to": []}, "args.to", "at least 1"),
        ({**MAIL, "to": "zoe@example.com"}, "args.to", "valid array"),
        ({**MAIL, "to": ["zoe@example.com", "zoe"]}, "args.to.1", "not a mail address"),
        ({**MAIL, "bcc": ["zoe@example.com\r\nDATA"]}, "args.bcc.0", "no line breaks"),
        ({**MAIL, "subject": "Hi\r\nBcc: all@example.com"}, "args.subject", "line breaks"),
        ({**MAIL, "text": 5}, "args.text", "valid string"),
        ({**MAIL, "headers": {"Subject": "x"}}, "args.headers", "Subject is made of the other arguments"),
        ({**MAIL, "headers": {"X-A": "b\nBcc: c"}}, "args.headers", "X-A has line breaks"),
        ({**MAIL, "attachments": [{"name": "a", "content": "*"}]}, "args.attachments.0.content", "not base64"),
        ({**MAIL, "attachments": [{"name": "../a", "content": ""}]}, "args.attachments.0.name", "no slashes"),
        ({**MAIL, "attachments": [{"name": "a", "content": "", "content_type": "text/html; x=y"}]},
         "args.attachments.0.content_type", "such as application/pdf"),
        ({**MAIL, "attachments": [{"name": "a", "content": BIG}, {"name": "b", "content": BIG[:300_000]}]},
         "args.attachments", "625,000 bytes together; at most 600,000"),
        ({**MAIL, "subjekt": "x"}, "args.subjekt", "unknown argument"),
    ],
)  # fmt: skip
async def test_mails_refused(shared: Served, args: dict[str, Any], field: str, told: str):
    """A mail that could not be sent is refused with the field that is wrong, before there is a job."""
    await refused(shared[1], "send-email", args, field, told)


@pytest.mark.parametrize(
    ("args", "field", "told"),
    [
        ({}, "args.url", "missing"),
        ({"url": "api.example.com"}, "args.url", "such as https://"),
        ({"url": "ftp://api.example.com"}, "args.url", "such as https://"),
        ({"url": "https://user:secret@api.example.com"}, "args.url", "send credentials in a header"),
        ({"url": "https://api.example.com/\r\nX: y"}, "args.url", "no blanks"),
        ({"url": "https://api.example.com:99999/"}, "args.url", "such as https://"),
        ({**CALL, "method": "TRACE"}, "args.method", "'GET'"),
        ({**CALL, "headers": {"X-A": "b\r\nHost: c"}}, "args.headers", "the value of X-A"),
        ({**CALL, "headers": {"X A": "b"}}, "args.headers", "no name of a header"),
        ({**CALL, "headers": {"Host": "other"}}, "args.headers", "Host is not for a job to say"),
        ({**CALL, "headers": {"Webhook-Signature": "v1,x"}}, "args.headers", "not for a job to say"),
        ({**CALL, "headers": {"a": "1", "A": "2"}}, "args.headers", "occurs twice"),
        ({**CALL, "body": "x"}, "args.body", "only one of them"),
        ({**CALL, "timeout": 301}, "args.timeout", "300"),
        ({**CALL, "success": [99]}, "args.success.0", "200"),
        ({**CALL, "redirects": 11}, "args.redirects", "10"),
        ({**CALL, "idempotency_key": "a\nb"}, "args.idempotency_key", "printable"),
    ],
)  # fmt: skip
async def test_requests_refused(shared: Served, args: dict[str, Any], field: str, told: str):
    """A request that could not be sent is refused with the field that is wrong, before there is a job."""
    await refused(shared[1], "http-request", args, field, told)


async def refused(client: httpx.AsyncClient, task: str, args: dict[str, Any], field: str, told: str) -> None:
    """Submit, and look at the refusal."""
    answer = await client.post(f"/tasks/{task}", json={"args": args})
    assert answer.status_code == 422, answer.text
    (fault,) = [each for each in answer.json()["errors"] if each["field"] == field]
    assert told in fault["message"]
    assert "secret" not in answer.text


async def test_host_not_allowed(database_url: str):
    """Where this server knows which hosts are allowed, a request to another one is refused at once."""
    settings = settings_for(database_url, http=HttpSettings(allowed_hosts=("api.example.com",)))
    async with serving(settings) as (_, client):
        assert (await client.post("/tasks/http-request", json={"args": CALL})).status_code == 202
        await refused(client, "http-request", {"url": "http://10.0.0.1/"}, "args.url", "HTTP_ALLOWED_HOSTS")
        jobs = {"jobs": [{"args": CALL}, {"args": {"url": "http://10.0.0.1/"}}]}
        answer = await client.post("/tasks/http-request/batch", json=jobs)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "jobs.1.args.url")


@pytest.mark.parametrize(("slug", "queue", "priority"), [("send-email", "email", 3), ("http-request", "http", 5)])
async def test_tasks(shared: Served, slug: str, queue: str, priority: int):
    """Both can be looked up with the schema of their arguments, and be deferred over HTTP."""
    task = (await shared[1].get(f"/tasks/{slug}")).json()
    assert (task["queue"], task["priority"], task["http"]) == (queue, priority, True)
    assert task["arguments"]["additionalProperties"] is False
    assert set(task["arguments"]["required"]) == ({"to", "subject", "text"} if slug == "send-email" else {"url"})


async def test_limit(database_url: str):
    """A key that hands in too many mails is told when to come back; what was refused or repeated does not count."""
    settings = settings_for(database_url, submission=SubmissionSettings(outbound_limit=3))
    async with serving(settings) as (_, client):
        first = await client.post("/tasks/send-email", json={"args": MAIL}, headers={"Idempotency-Key": "a"})
        again = await client.post("/tasks/send-email", json={"args": MAIL}, headers={"Idempotency-Key": "a"})
        assert first.json()["job_id"] == again.json()["job_id"]
        assert (await client.post("/tasks/send-email", json={"args": {}})).status_code == 422
        assert (await client.post("/tasks/send-email/batch", json={"jobs": [{"args": MAIL}] * 2})).status_code == 202
        answer = await client.post("/tasks/send-email", json={"args": MAIL})
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:afresh:too-many-jobs")
        assert 1 <= int(answer.headers["Retry-After"]) <= 20
        answer = await client.post("/tasks/send-email/batch", json={"jobs": [{"args": MAIL}]})
        assert answer.status_code == 429
        again = await client.post("/tasks/send-email", json={"args": MAIL}, headers={"Idempotency-Key": "a"})
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert (await client.post("/tasks/http-request", json={"args": CALL})).status_code == 202
        assert (await client.post("/tasks/fetch-joke")).status_code == 202


async def test_reports_that_are_mailed(database_url: str):
    """Of reports, only those that are mailed count against the limit; the others reach nobody."""
    settings = settings_for(database_url, submission=SubmissionSettings(outbound_limit=1))
    mailed = {"args": {"mail_to": ["boss@example.com"]}}
    async with serving(settings) as (_, client):
        assert (await client.post("/tasks/generate-report", json=mailed)).status_code == 202
        assert (await client.post("/tasks/generate-report", json=mailed)).status_code == 429
        assert (await client.post("/tasks/generate-report", json={})).status_code == 202
        both = {"jobs": [{}, mailed]}
        assert (await client.post("/tasks/generate-report/batch", json=both)).status_code == 429
        assert (await client.post("/tasks/generate-report/batch", json={"jobs": [{}, {}]})).status_code == 202
