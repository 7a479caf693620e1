"""`/translations`: submitting, comparing, following, retrying and cancelling."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.config import LlmSettings, Settings
from app.tasks.translation import NAME

from ..application import Served, run_waiting_jobs, settings_for
from ..eventually import eventually
from ..tasks.receiver import Receiver, Reply, receiver
from ..tasks.test_translation import asked, refuses, says

pytestmark = pytest.mark.anyio

BODY = {"text": "Good morning", "target": "French"}


@pytest.fixture
def llm() -> Iterator[Receiver]:
    """The server of the language models."""
    with receiver() as server:
        yield server


@pytest.fixture
def settings(database_url: str, llm: Receiver) -> Settings:
    """Of a queue that knows the server and two models."""
    known = LlmSettings(base_url=llm.url, reasoning="thinker", non_reasoning="writer")
    return settings_for(database_url, llm=known)


async def submit(client: httpx.AsyncClient, path: str = "", **body: Any) -> dict[str, Any]:
    """Submit and return the answer."""
    answer = await client.post(f"/translations{path}", json=body or BODY)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_translation(served: Served, llm: Receiver):
    """It is followed where `Location` says, and its result is the text with its draft and review."""
    queue, client = served
    answer = await client.post("/translations", json=BODY | {"mode": "non_reasoning"})
    assert (answer.status_code, answer.json()["state"]) == (202, "ready")
    where = answer.headers["Location"]
    before = await client.get(f"{where}/result")
    assert (before.status_code, before.json()["state"]) == (409, "ready")
    llm.will(says("Bon matin"), says("Say bonjour."), says("Bonjour"))
    await run_waiting_jobs(queue)
    shown = (await client.get(where)).json()
    assert (shown["state"], shown["mode"], shown["target"], shown["progress"]) == (
        "succeeded",
        "non_reasoning",
        "French",
        1.0,
    )
    result = (await client.get(f"{where}/result")).json()
    assert (result["text"], result["draft"], result["review"]) == ("Bonjour", "Bon matin", "Say bonjour.")
    assert result["models"] == dict.fromkeys(("draft", "review", "revision"), "writer")


async def test_same_key(served: Served):
    """A key stands for one translation; the repeat is answered with it."""
    answers = [await served[1].post("/translations", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    first, second = (answer.json()["translation_id"] for answer in answers)
    assert first == second
    assert answers[1].headers["Idempotent-Replayed"] == "true"


async def test_compare(served: Served, llm: Receiver):
    """One text is translated in every mode, and each result tells which models made it."""
    queue, client = served
    made = await submit(client, "/compare", **BODY)
    assert set(made["translations"]) == {"reasoning", "non_reasoning", "hybrid"}
    llm.will(*[says("x")] * 9)
    await run_waiting_jobs(queue)
    for mode, number in made["translations"].items():
        result = (await client.get(f"/translations/{number}/result")).json()
        assert result["mode"] == mode
    assert (await client.get(f"/batches/{made['batch_id']}")).json()["states"] == {"succeeded": 3}
    assert sorted(each["model"] for each in asked(llm)) == ["thinker"] * 4 + ["writer"] * 5


async def test_side_by_side(served: Served, llm: Receiver):
    """What each mode made of the text is seen at once, each with its tokens and time; a retry takes its place."""
    queue, client = served
    answer = await client.post("/translations/compare", json=BODY)
    made, where = answer.json(), f"/translations/compare/{answer.json()['batch_id']}"
    assert answer.headers["Location"] == where
    before = (await client.get(where)).json()
    assert (before["text"], before["target"]) == ("Good morning", "French")
    assert {mode: each["translation_id"] for mode, each in before["translations"].items()} == made["translations"]
    assert {(each["state"], each["result"], each["seconds"]) for each in before["translations"].values()} == {
        ("ready", None, None)
    }
    hybrid = made["translations"].pop("hybrid")
    await client.delete(f"/translations/{hybrid}")
    again = (await client.post(f"/translations/{hybrid}/retry")).json()["job_id"]
    llm.will(*[says("x", tokens=5)] * 9)
    await run_waiting_jobs(queue)
    after = (await client.get(where)).json()["translations"]
    assert {mode: each["translation_id"] for mode, each in after.items()} == made["translations"] | {"hybrid": again}
    assert {(each["result"]["text"], each["result"]["tokens"]) for each in after.values()} == {("x", 15)}
    assert [each["result"]["mode"] for each in after.values()] == list(after)
    assert all(each["seconds"] > 0 for each in after.values())


async def test_what_is_no_comparison(served: Served):
    """A batch of another kind, and one that is not there, are not found."""
    _, client = served
    batches = [
        (await submit(client, "/batch", translations=[BODY] * 2))["batch_id"],
        (await submit(client, "/batch", translations=[BODY] * 3))["batch_id"],
        (await client.post("/tasks/translate/batch", json={"jobs": [{"args": BODY}] * 3})).json()["batch_id"],
        (await client.post("/tasks/add/batch", json={"jobs": [{"args": {"a": 1}}] * 3})).json()["batch_id"],
        99,
    ]
    for each in batches:
        assert (await client.get(f"/translations/compare/{each}")).status_code == 404


async def test_batch(served: Served):
    """Many are made at once, or none of them."""
    made = await submit(served[1], "/batch", translations=[BODY, BODY | {"target": "German"}])
    assert made["total"] == 2
    targets = [(await served[1].get(f"/translations/{number}")).json()["target"] for number in made["job_ids"]]
    assert targets == ["French", "German"]
    answer = await served[1].post("/translations/batch", json={"translations": [BODY, {"text": "x"}]})
    assert answer.status_code == 422
    assert (await served[1].get("/jobs/count", params={"queue": "translations"})).json()["total"] == 2


async def test_retry_goes_on(served: Served, llm: Receiver):
    """A translation that died in its last step is retried by another in its place, which does that step alone."""
    queue, client = served
    number = (await submit(client))["translation_id"]
    llm.will(says("Bon matin"), says("Say bonjour."), refuses(429, "insufficient_quota", "You exceeded your quota"))
    await run_waiting_jobs(queue)
    shown = (await client.get(f"/translations/{number}")).json()
    assert (shown["state"], shown["last_failure"]["failure_type"]) == ("failed", "PERMANENT_AUTH")
    again = await client.post(f"/translations/{number}/retry")
    assert again.status_code == 202
    llm.will(says("Bonjour"))
    await run_waiting_jobs(queue)
    result = (await client.get(f"{again.headers['Location']}/result")).json()
    assert (result["draft"], result["text"]) == ("Bon matin", "Bonjour")
    assert len(llm.requests) == 4


async def test_cancel(served: Served, llm: Receiver):
    """One that waits is cancelled, once, and no model is asked; the audit knows who did it."""
    queue, client = served
    number = (await submit(client))["translation_id"]
    assert (await client.delete(f"/translations/{number}")).json()["effect"] == "cancelled"
    assert (await client.delete(f"/translations/{number}")).status_code == 409
    await run_waiting_jobs(queue)
    assert not llm.requests
    audited = (await client.get("/audit")).json()["items"]
    (told,) = [row for row in audited if row["action"] == "job.cancel"]
    assert (told["actor"], told["target"]) == ("local", str(number)), told


async def test_cancel_a_running_one(served: Served, llm: Receiver):
    """One that runs is stopped while it waits for its model; what was done is kept, and nothing more is asked."""
    queue, client = served
    llm.will(says("Bon matin"), Reply(seconds=3))
    number = (await submit(client))["translation_id"]
    working = asyncio.create_task(run_waiting_jobs(queue))
    await eventually(lambda: len(llm.requests) == 2)
    answer = await client.delete(f"/translations/{number}")
    assert (answer.status_code, answer.json()["effect"]) == (202, "abort_requested")
    await working
    assert (await client.get(f"/translations/{number}")).json()["state"] == "aborted"
    assert (await client.get(f"/translations/{number}/result")).status_code == 409
    assert [each["name"] for each in (await client.get(f"/jobs/{number}")).json()["checkpoints"]] == ["draft"]
    assert len(llm.requests) == 2


async def test_health(served: Served, llm: Receiver):
    """The health of the language models is that of a dependency: an outage is told there, and isolation keeps them."""
    queue, client = served
    assert (await client.get("/dependencies/llm")).json()["state"] == "closed"
    llm.will(*[refuses(503, None, "overloaded")] * 3)
    for _ in range(3):
        await submit(client)
    await run_waiting_jobs(queue)
    shown = (await client.get("/dependencies/llm")).json()
    assert (shown["suspect"], shown["failure_type"]) == (True, "EXTERNAL_API_DOWN")
    await client.post("/dependencies/llm/isolate", json={"reason": "too dear"})
    number = (await submit(client))["translation_id"]
    await run_waiting_jobs(queue)
    assert (await client.get(f"/translations/{number}")).json()["state"] == "ready"
    assert len(llm.requests) == 3


async def test_other_jobs_are_none(served: Served):
    """A job of another task is no translation, whatever is asked of it."""
    number = (await served[1].post("/tasks/add", json={"args": {"a": 1}})).json()["job_id"]
    where = f"/translations/{number}"
    for method, path in (("GET", where), ("GET", f"{where}/result"), ("POST", f"{where}/retry"), ("DELETE", where)):
        assert (await served[1].request(method, path)).status_code == 404
    assert (await served[1].get(f"/jobs/{number}")).json()["state"] == "ready"


async def test_unchecked(served: Served, conn: AsyncConnection):
    """A job that came by SQL, with arguments that nobody checked, is shown as far as it can be."""
    args = ('{"text": "x", "target": 5, "source": ["y"], "mode": null}', "{}")
    for each in args:
        await conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('translations', %s, %s)", [NAME, each]
        )
    await run_waiting_jobs(served[0])
    shown = [(await served[1].get(f"/translations/{number}")).json() for number in (1, 2)]
    assert {each["last_failure"]["failure_type"] for each in shown} == {"PERMANENT_VALIDATION"}
    named = [tuple(each[name] for name in ("mode", "source", "target")) for each in shown]
    assert named == [(None, None, None), ("hybrid", None, None)]


async def test_secrets(served: Served, llm: Receiver):
    """Secrets in a text are masked where it is shown, as those of every argument and result."""
    queue, client = served
    secret = "sk-abcdefghijklmnop1234567"  # noqa: S105  It opens nothing.
    made = await submit(client, "/compare", text=f"My key is {secret}", target="French")
    llm.will(*[says(f"Ma clef est {secret}")] * 9)
    await run_waiting_jobs(queue)
    where = f"/translations/{made['translations']['hybrid']}"
    for path in (f"/translations/compare/{made['batch_id']}", where, f"{where}/result"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert secret not in answer.text
    assert (await client.get(f"{where}/result")).json()["text"] == "Ma clef est [redacted]"


async def test_result_that_is_not_stored(served: Served, conn: AsyncConnection):
    """A translation whose result was too large to be stored has none to show, and says so."""
    client = served[1]
    made = await submit(client, "/compare", **BODY)
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    await conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded', attempts = 1")
    answer = await client.get(f"/translations/{made['translations']['hybrid']}/result")
    assert (answer.status_code, answer.json()["state"]) == (409, "succeeded")
    assert "not stored" in answer.json()["detail"]
    shown = (await client.get(f"/translations/compare/{made['batch_id']}")).json()["translations"]["hybrid"]
    assert (shown["state"], shown["result"]) == ("succeeded", None)


@pytest.mark.parametrize("body", [{}, BODY | {"mode": "x"}, BODY | {"more": 1}, BODY | {"text": " "}])
async def test_refused(served: Served, body: dict[str, Any]):
    """What cannot be translated is refused."""
    assert (await served[1].post("/translations", json=body)).status_code == 422


@pytest.mark.parametrize("path", ["", "/compare", "/batch"])
async def test_masked(served: Served, path: str):
    """A text that was masked when it was shown is none to translate: it is refused by name."""
    masked = BODY | {"text": "[redacted]"}
    body = {"translations": [masked]} if path == "/batch" else masked
    answer = await served[1].post(f"/translations{path}", json=body)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["field"] == ("translations.0.text" if path == "/batch" else "text")
    assert fault["message"].startswith("is masked")
