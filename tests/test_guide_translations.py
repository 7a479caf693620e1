"""The guide's page about translations does what it shows, against a server on loopback that speaks chat completions."""

import re
from pathlib import Path

import pytest

from app.config import LlmSettings
from app.queue.submit import Submission, submit

from .api.process import running
from .application import run_waiting_jobs, serving, settings_for
from .tasks.receiver import Reply, receiver
from .tasks.test_translation import asked, refuses, says
from .test_guide import GUIDE, HERE, answer, calls

PAGE = "translations.md"
TEXT = (GUIDE / PAGE).read_text(encoding="utf-8")
SHOWN = {name: value.strip() for name, value in re.findall(r"^(LLM_\w+)=(.*?)(?:   .*)?$", TEXT, re.MULTILINE)}
HOST = "https://llm.example.com"


def settings_shown(host: str) -> LlmSettings:
    """The settings of the page, for another host."""
    return LlmSettings(
        base_url=SHOWN["LLM_BASE_URL"].replace(HOST, host),
        api_key=SHOWN["LLM_API_KEY"],
        reasoning=SHOWN["LLM_MODEL_REASONING"],
        non_reasoning=SHOWN["LLM_MODEL_NON_REASONING"],
    )


@pytest.mark.anyio
async def test_the_page(anyio_backend: str, database_url: str, tmp_path: Path):  # noqa: ARG001 - it makes the test async
    """Its settings are read, its calls are answered as they say, and each mode asks the models of its row."""
    with receiver() as llm:
        llm.will(*[says("Bonjour")] * 30)
        async with serving(settings_for(database_url, llm=settings_shown(llm.url))) as (queue, _):
            async with queue.connection() as conn:  # As on a fresh start: the first job is the worker's own.
                first = Submission(task_name="app.tasks.maintenance.retry_stalled_jobs", args={"timestamp": 0})
                await submit(conn, first)
            with running(tmp_path / "log", DATABASE_URL=database_url) as address:
                for call in calls(PAGE):
                    if call.url.endswith(("/result", "/llm")):
                        await run_waiting_jobs(queue)
                    assert await answer(call, {HERE: address}, tmp_path / "answer") == call.status, call
    models = [each["model"] for each in asked(llm)]
    words = {"reasoning": "thinker-2", "non-reasoning": "writer-2"}
    rows = {mode: tuple(words[each] for each in row.split(" | ")) for mode, row in rows_of_modes()}
    ran = ("hybrid", "reasoning", "non_reasoning", "hybrid", "hybrid", "non_reasoning")
    assert sorted(models) == sorted(model for mode in ran for model in rows[mode])


def rows_of_modes() -> list[tuple[str, str]]:
    """Each mode of the page's table, and its models."""
    return re.findall(r"^\| `(\w+)`[^|]* \| ((?:non-)?reasoning \| .*) \|$", TEXT, re.MULTILINE)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("shown", "reply"),
    [
        ("429", refuses(429, "rate_limit_exceeded", "Rate limit reached")),
        ("429 with `insufficient_quota`", refuses(429, "insufficient_quota", "You exceeded your current quota")),
        ("400, as", refuses(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens")),
        ("401", refuses(401, "invalid_api_key", "Incorrect API key")),
        ("5xx, or", refuses(503, None, "overloaded")),
        ("stops in", says("Bonj", finish_reason="length")),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_the_failures(anyio_backend: str, database_url: str, shown: str, reply: Reply):  # noqa: ARG001 - as above
    """What the page says of a failure is what comes of it."""
    row = next(line for line in TEXT.splitlines() if re.match(rf"\| {re.escape(shown)}[^|]*\|", line))
    _, failure, follows = (part.strip() for part in row.strip("|").split(" | "))
    with receiver() as llm:
        llm.will(reply)
        async with serving(settings_for(database_url, llm=settings_shown(llm.url))) as (queue, client):
            body = {"text": "Good morning", "target": "French"}
            number = (await client.post("/translations", json=body)).json()["translation_id"]
            await run_waiting_jobs(queue)
            job = (await client.get(f"/translations/{number}")).json()
    assert job["last_failure"]["failure_type"] == failure.strip("`")
    assert job["state"] == ("failed" if follows.startswith("none") else "retrying")
