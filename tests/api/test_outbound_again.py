"""What is run again, and translations by their own routes, count against what a key may hand in, too."""

from typing import Any

import pytest

from app.config import Settings, SubmissionSettings

from ..application import Served, run_waiting_jobs, settings_for
from ..dashboard.forms import hidden_of

pytestmark = pytest.mark.anyio

LIMIT = 3
TEXT = {"text": "Good morning", "target": "French"}
MAIL = {"args": {"to": ["zoe@example.com"], "subject": "Hi", "text": "there"}}


@pytest.fixture
def settings(database_url: str) -> Settings:
    """A server that takes three jobs a minute of each task that reaches out; no mail server and no model is named."""
    return settings_for(database_url, submission=SubmissionSettings(outbound_limit=LIMIT))


async def post(served: Served, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> int:
    """Post, and return the status."""
    answer = await served[1].post(path, json=body, headers={"Idempotency-Key": key} if key else None)
    if answer.status_code == 429:
        assert answer.json()["type"] == "urn:afresh:too-many-jobs"
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.status_code


@pytest.mark.parametrize(
    ("path", "body", "times"),
    [
        ("/translations", TEXT, LIMIT),
        ("/translations/batch", {"translations": [TEXT] * LIMIT}, 1),
        ("/translations/compare", TEXT, 1),
    ],
)
async def test_translations(served: Served, path: str, body: dict[str, Any], times: int):
    """Each translation counts, alone, in a batch and in a comparison, and also as a job of its task."""
    assert [await post(served, path, body) for _ in range(times)] == [202] * times
    assert await post(served, path, body) == 429
    assert await post(served, "/tasks/translate", {"args": TEXT}) == 429
    assert await post(served, "/tasks/send-email", MAIL) == 202


@pytest.mark.parametrize("again", ["/translations/{}/retry", "/jobs/{}/retry"])
async def test_retries(served: Served, again: str):
    """A translation that is made anew in the place of one that ended counts like another one."""
    client = served[1]
    number = (await client.post("/translations", json=TEXT)).json()["translation_id"]
    for _ in range(LIMIT - 1):
        assert (await client.delete(f"/translations/{number}")).status_code == 200
        answer = await client.post(again.format(number))
        assert answer.status_code == 202
        number = answer.json()["job_id"]
    await client.delete(f"/translations/{number}")
    assert await post(served, again.format(number)) == 429
    assert (await client.get(f"/jobs/{number}")).json()["state"] == "cancelled"


async def test_retries_from_the_page(served: Served):
    """The button on a job's page is no way around the limit."""
    client = served[1]
    number = (await client.post("/tasks/send-email", json=MAIL)).json()["job_id"]
    for _ in range(LIMIT - 1):
        assert await post(served, "/tasks/send-email", MAIL) == 202
    await client.post(f"/jobs/{number}/cancel")
    where = f"/dashboard/jobs/{number}"
    fields = await hidden_of(client, where) | {"reason": "again"}
    assert (await client.post(f"{where}/retry", data=fields)).status_code == 429
    assert (await client.get("/jobs/count", params={"queue": "email"})).json()["total"] == LIMIT


async def test_what_runs_sooner(served: Served):
    """A job that is run before its time was counted when it was handed in, and does not count again."""
    later = await served[1].post("/tasks/send-email", json=MAIL | {"run_in": "1h"})
    for _ in range(LIMIT - 1):
        assert await post(served, "/tasks/send-email", MAIL) == 202
    assert await post(served, f"/jobs/{later.json()['job_id']}/retry") == 202
    assert await post(served, "/tasks/send-email", MAIL) == 429


async def test_dead_letters(served: Served):
    """A dead letter that is brought back counts, with its own arguments or others; a repeat is answered."""
    assert await post(served, "/tasks/send-email", MAIL) == 202
    await run_waiting_jobs(served[0])
    (letter,) = (await served[1].get("/dead-letters")).json()["items"]
    where = f"/dead-letters/{letter['id']}/replay"
    for key, body in (("a", {}), ("b", {"args": MAIL["args"] | {"subject": "Hello"}})):
        answer = await served[1].post(where, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 202
        await served[1].post(f"/jobs/{answer.json()['job_id']}/cancel")  # The letter is pending again.
    assert await post(served, where, {}, key="c") == 429
    assert await post(served, where, {}, key="a") == 202
    assert (await served[1].get("/jobs/count", params={"queue": "email"})).json()["total"] == LIMIT


async def test_what_reaches_nobody(served: Served):
    """Other tasks are run again as often as one likes; what is not there is not found, whatever the limit."""
    number = (await served[1].post("/tasks/add", json={"args": {"a": 1}})).json()["job_id"]
    for _ in range(LIMIT + 2):
        assert (await served[1].post(f"/jobs/{number}/cancel")).status_code == 200
        answer = await served[1].post(f"/jobs/{number}/retry")
        assert answer.status_code == 202
        number = answer.json()["job_id"]
    assert await post(served, "/jobs/999/retry") == 404
    assert await post(served, "/dead-letters/999/replay") == 404
