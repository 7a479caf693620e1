"""`translate` as a job, against a server on loopback that speaks chat completions, and fails as such servers do."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from app.config import LlmSettings, Settings

from ..application import Served, run_waiting_jobs, serving, settings_for
from .receiver import Receiver, Reply, receiver

pytestmark = pytest.mark.anyio

ARGS = {"text": "Good morning", "target": "French", "source": "English"}


def says(text: str, tokens: int = 10, **choice: Any) -> Reply:
    """An answer with a text."""
    said = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"} | choice
    return replies({"object": "chat.completion", "choices": [said], "usage": {"total_tokens": tokens}})


def replies(content: Any, status: int = 200, **headers: str) -> Reply:
    """An answer of JSON."""
    return Reply(status, {"Content-Type": "application/json"} | headers, json.dumps(content).encode())


def refuses(status: int, code: str | None, message: str, **headers: str) -> Reply:
    """An error as OpenAI's servers have it."""
    return replies({"error": {"message": message, "type": code, "param": None, "code": code}}, status, **headers)


@pytest.fixture
def llm() -> Iterator[Receiver]:
    """The server of the language models."""
    with receiver() as server:
        yield server


@pytest.fixture
def settings(database_url: str, llm: Receiver) -> Settings:
    """Of a queue that knows the server and two models."""
    known = LlmSettings(base_url=f"{llm.url}/v1", api_key="key-1", reasoning="thinker", non_reasoning="writer")
    return settings_for(database_url, llm=known)


async def done(served: Served, args: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    """Submit a translation, let a worker run what can run, and return the job."""
    answer = await served[1].post("/tasks/translate", json={"args": ARGS | (args or {}), **body})
    assert answer.status_code == 202, answer.text
    await run_waiting_jobs(served[0])
    return await shown(served, answer.json()["job_id"])


async def shown(served: Served, job_id: int) -> dict[str, Any]:
    """The job as it is now."""
    job: dict[str, Any] = (await served[1].get(f"/jobs/{job_id}")).json()
    return job


def asked(llm: Receiver) -> list[dict[str, Any]]:
    """What the models were asked."""
    return [json.loads(request.body) for request in llm.requests]


async def test_three_steps(served: Served, llm: Receiver):
    """Draft, review and revision are asked for one after the other, each with what was made before."""
    llm.will(says("Bon matin", 5), says("Say bonjour.", 7), says("Bonjour", 9))
    job = await done(served)
    assert job["state"] == "succeeded"
    assert job["result"] == {
        "text": "Bonjour",
        "draft": "Bon matin",
        "review": "Say bonjour.",
        "mode": "hybrid",
        "models": {"draft": "writer", "review": "thinker", "revision": "writer"},
        "tokens": 21,
    }
    assert (job["progress"], job["dependency"], job["queue"]) == (1.0, "llm", "translations")
    draft, review, revision = (each["messages"][1]["content"] for each in asked(llm))
    assert draft == "Good morning"
    assert "Good morning" in review
    assert "Bon matin" in review
    assert "Say bonjour." in revision
    for request in llm.requests:
        assert (request.path, request.headers["Authorization"]) == ("/v1/chat/completions", "Bearer key-1")
    assert [each["stream"] for each in asked(llm)] == [False] * 3


@pytest.mark.parametrize(
    ("mode", "models"),
    [
        ("reasoning", ["thinker", "thinker", "thinker"]),
        ("non_reasoning", ["writer", "writer", "writer"]),
        ("hybrid", ["writer", "thinker", "writer"]),
    ],
)
async def test_modes(served: Served, llm: Receiver, mode: str, models: list[str]):
    """Each mode has its models; the hybrid one thinks about the review."""
    llm.will(says("a"), says("b"), says("c"))
    assert (await done(served, {"mode": mode}))["result"]["mode"] == mode
    assert [each["model"] for each in asked(llm)] == models


async def test_failure_in_the_third_step(served: Served, llm: Receiver, conn: AsyncConnection):
    """Where the third step fails, the next attempt repeats only the third."""
    llm.will(says("Bon matin"), says("Say bonjour."), refuses(503, None, "overloaded"), says("Bonjour"))
    job = await done(served)
    assert (job["state"], [each["name"] for each in job["checkpoints"]]) == ("retrying", ["draft", "review"])
    assert job["progress"] == pytest.approx(2 / 3)
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    await run_waiting_jobs(served[0])
    job = await shown(served, job["job_id"])
    assert (job["state"], job["attempts"], job["checkpoints"]) == ("succeeded", 2, [])
    assert (job["result"]["draft"], job["result"]["text"], job["result"]["tokens"]) == ("Bon matin", "Bonjour", 30)
    assert len(llm.requests) == 4
    assert llm.requests[2].body == llm.requests[3].body


@pytest.mark.parametrize(
    ("reply", "failure_type", "state"),
    [
        (refuses(429, "rate_limit_exceeded", "Rate limit reached"), "TRANSIENT_RATE_LIMIT", "retrying"),
        (refuses(429, "insufficient_quota", "You exceeded your current quota"), "PERMANENT_AUTH", "failed"),
        (refuses(400, "context_length_exceeded", "The maximum is 8192 tokens"), "PERMANENT_VALIDATION", "failed"),
        (refuses(401, "invalid_api_key", "Incorrect API key"), "PERMANENT_AUTH", "failed"),
        (refuses(404, "model_not_found", "There is no such model"), "PERMANENT_NOT_FOUND", "failed"),
        (Reply(502, body=b"<html>bad gateway"), "EXTERNAL_API_DOWN", "retrying"),
        (Reply(body=b'{"choices": [{"mess'), "EXTERNAL_API_DOWN", "retrying"),
        (replies({"choices": []}), "EXTERNAL_API_DOWN", "retrying"),
        (replies([1]), "EXTERNAL_API_DOWN", "retrying"),
        (says(" \n"), "EXTERNAL_API_DOWN", "retrying"),
        (says("Bonj", finish_reason="length"), "PERMANENT_VALIDATION", "failed"),
        (says("", message={"content": None, "refusal": "I cannot"}), "PERMANENT_VALIDATION", "failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_failures(served: Served, llm: Receiver, reply: Reply, failure_type: str, state: str):
    """Each way in which such a server fails is known for what it is, and retried only where that may help."""
    llm.will(reply)
    job = await done(served)
    assert (job["last_failure"]["failure_type"], job["state"]) == (failure_type, state), job["last_failure"]
    assert "key-1" not in job["last_failure"]["message"]


async def test_retry_after(served: Served, llm: Receiver):
    """The wait that a rate limit names is kept."""
    llm.will(refuses(429, "rate_limit_exceeded", "Rate limit reached", **{"Retry-After": "120"}))
    job = await done(served)
    failed, again = (datetime.fromisoformat(at) for at in (job["last_failure"]["failed_at"], job["scheduled_at"]))
    assert again - failed >= timedelta(seconds=115)


@pytest.mark.parametrize(
    ("known", "missing"),
    [
        ({}, "LLM_MODEL_NON_REASONING"),
        ({"non_reasoning": "writer"}, "LLM_MODEL_REASONING"),
        ({"non_reasoning": "writer", "reasoning": "thinker"}, "LLM_BASE_URL"),
    ],
)
async def test_settings_missing(database_url: str, known: dict[str, Any], missing: str):
    """A missing setting is named, with what to write; nothing is retried."""
    async with serving(settings_for(database_url, llm=LlmSettings(**known))) as served:
        job = await done(served)
    failure = job["last_failure"]
    assert (failure["failure_type"], job["state"]) == ("CONFIG_MISSING_SETTING", "failed")
    assert failure["message"].startswith(f"{missing} is not set: write it into .env, such as {missing}=")


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"text": " \n"}, "text"),
        ({"text": "a" * 12_001}, "text"),
        ({"target": "x\ny"}, "target"),
        ({"mode": "x"}, "mode"),
    ],
)
async def test_arguments(served: Served, args: dict[str, Any], field: str):
    """What cannot be translated is refused before it is a job."""
    answer = await served[1].post("/tasks/translate", json={"args": ARGS | args})
    assert answer.status_code == 422
    assert field in answer.text
