from dataclasses import replace
from datetime import timedelta

import pytest

from app.config import PolicyOverride, RetrySettings
from app.retry.failure import FailureType

from ..application import run_waiting_jobs, serving, settings_for

pytestmark = pytest.mark.anyio


async def test_policies_of_all_types(database_url: str):
    """Every failure type has its policy, with its meaning and the waits it makes."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.get("/retry/policies")).json()
    network = next(each for each in answer["types"] if each["type"] == "TRANSIENT_NETWORK")
    assert {each["type"] for each in answer["types"]} == set(FailureType)
    assert network["policy"]["delays_seconds"] == [60.0, 120.0, 240.0]
    assert network["remediations"][0] == "AUTO_RETRY"


async def test_who_decides_for_a_task(database_url: str):
    """A task with a policy of ours shows it; one that said nothing is left to the failure's type."""
    async with serving(settings_for(database_url)) as (queue, client):
        answer = (await client.get("/retry/policies")).json()
    ruled = {each["task"]: each for each in answer["tasks"]}
    assert ruled["app.tasks.jokes.fetch_and_cache_joke"]["policy"]["max_retries"] == queue.settings.retry.max_retries
    assert {each["decided_by"] for each in ruled.values()} >= {"policy", "failure type"}


async def test_policies_within_the_bound(database_url: str):
    """Where MAX_RETRIES is set, the policies of the types are shown with no more retries than that."""
    async with serving(replace(settings_for(database_url), retry=RetrySettings(max_retries=1))) as (_, client):
        answer = (await client.get("/retry/policies")).json()
    policies = {each["type"]: each["policy"] for each in answer["types"]}
    assert answer["max_retries_bound"] == 1
    assert (policies["TRANSIENT_NETWORK"]["max_retries"], policies["PERMANENT_AUTH"]["max_retries"]) == (1, 0)
    assert policies["TRANSIENT_NETWORK"]["delays_seconds"] == [60.0]


async def test_a_task_with_an_alias_is_listed_once(database_url: str):
    """A task is listed under its name alone."""
    async with serving(settings_for(database_url)) as (queue, client):
        queue.task(name="renamed", aliases=["old name"])(nothing)
        answer = (await client.get("/retry/policies")).json()
    names = [each["task"] for each in answer["tasks"]]
    assert names.count("renamed") == 1
    assert len(names) == len(set(names))


async def test_contention_is_retried_soon(database_url: str):
    """Of a deadlock the first wait that is told is the short one that would follow, not that of the policy."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.post("/retry/classify", json={"sqlstate": "40P01"})).json()
    first, *others = answer["delays_seconds"]
    assert 1 <= first <= 5
    assert others == [60.0, 120.0, 240.0, 480.0]


async def test_a_policy_that_lifts_a_veto(database_url: str):
    """Where the settings give a permanent type retries, their waits are told."""
    changed = PolicyOverride(max_retries=2, initial_delay=timedelta(seconds=7))
    retry = RetrySettings(policies={FailureType.PERMANENT_NOT_FOUND: changed})
    async with serving(replace(settings_for(database_url), retry=retry)) as (_, client):
        answer = (await client.post("/retry/classify", json={"status": 404})).json()
    assert len(answer["delays_seconds"]) == 2
    assert answer["delays_seconds"][0] == 7


async def nothing() -> None:
    """Do nothing, successfully."""


@pytest.mark.parametrize(
    ("described", "expected", "delays"),
    [
        ({"status": 503}, "EXTERNAL_API_DOWN", [900.0, 900.0]),
        ({"status": 404}, "PERMANENT_NOT_FOUND", []),
        ({"status": 500}, "EXTERNAL_API_DOWN", []),
        ({"sqlstate": "57P03"}, "TRANSIENT_DATABASE", [30.0, 60.0, 120.0, 240.0, 480.0]),
        ({"exception_type": "httpx.ConnectError"}, "TRANSIENT_NETWORK", [60.0, 120.0, 240.0]),
        ({}, "UNKNOWN", [120.0, 360.0]),
    ],
)
async def test_a_described_failure(database_url: str, described: dict[str, object], expected: str, delays: list[float]):
    """A failure in words is classified by the same engine, and the waits that would follow are told."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.post("/retry/classify", json=described)).json()
    assert (answer["failure_type"], answer["delays_seconds"]) == (expected, delays)
    assert answer["evidence"]


async def test_a_wrong_description_names_its_field(database_url: str):
    """A status that is none is refused by name."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = await client.post("/retry/classify", json={"status": 42})
    assert answer.status_code == 422
    assert "status" in answer.text


async def test_types_are_counted(database_url: str):
    """Every type is listed, and those that were met lately with their counts."""
    async with serving(settings_for(database_url)) as (queue, client):
        await client.post("/tasks/fetch-joke")  # Its API is a port where nobody listens.
        await run_waiting_jobs(queue)
        answer = (await client.get("/failures/types?hours=1")).json()
    counted = {each["type"]: each for each in answer["items"]}
    assert set(counted) == set(FailureType)
    assert counted["TRANSIENT_NETWORK"]["failures"] >= 1
    assert counted["TRANSIENT_NETWORK"]["jobs"] == 1
    assert counted["UNKNOWN"]["last_seen"] is None


async def test_an_attempt_tells_the_decision_as_it_was_stored(database_url: str):
    """The explanation and the line of an attempt are those of the database, and one is made of the other."""
    async with serving(settings_for(database_url)) as (queue, client):
        job_id = (await client.post("/tasks/fetch-joke")).json()["job_id"]  # Its API is a port where nobody listens.
        await run_waiting_jobs(queue)
        items = (await client.get(f"/jobs/{job_id}/attempts")).json()["items"]
        async with queue.connection() as conn:
            cursor = await conn.execute("SELECT explanation, reason FROM afresh.attempt ORDER BY id")
            stored = await cursor.fetchall()
    assert [(each["explanation"], each["reason"]) for each in items] == stored
    first = items[0]
    assert first["reason"] == " · ".join(step["text"] for step in first["explanation"])
    assert [step["name"] for step in first["explanation"]][:2] == ["failure", "policy"]
    assert first["explanation"][1]["numbers"]["delay_seconds"] >= 0
    assert first["delay_seconds"] == first["explanation"][-1]["numbers"]["delay_seconds"]


async def test_a_description_knows_the_bases_of_its_class(database_url: str):
    """A class that the server has loaded is judged as the object would be."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.post("/retry/classify", json={"exception_type": "httpx.ReadError"})).json()
    assert (answer["failure_type"], answer["delays_seconds"]) == ("TRANSIENT_NETWORK", [60.0, 120.0, 240.0])
