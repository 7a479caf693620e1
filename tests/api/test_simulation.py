"""A simulation over HTTP."""

import pytest

from app.retry.simulate.scenario import small_scenarios

from ..application import serving, settings_for

pytestmark = pytest.mark.anyio


async def test_an_outage_is_played_through(database_url: str):
    """The answer compares ours with three plain policies, with figures and with a series for a chart."""
    async with serving(settings_for(database_url)) as (_, client):
        response = await client.post("/retry/simulate", json={"scenario": "full outage", "jobs": 300})
    assert response.status_code == 200
    answer = response.json()
    ours, *others = answer["policies"]
    assert [each["policy"] for each in others] == ["fixed delay", "exponential", "exponential, full jitter"]
    assert (ours["jobs_done"], ours["jobs_dead"], ours["trips"]) == (answer["jobs"], 0, 1)
    assert all(each["jobs_dead_in_vain"] >= 300 for each in others)
    assert sum(ours["calls_per_second"]) * ours["step_seconds"] == pytest.approx(ours["calls"], rel=0.01)
    assert answer["outages"] == [{"start_seconds": 60.0, "end_seconds": 660.0}]


async def test_the_same_seed_has_the_same_end(database_url: str):
    """Asked twice, it answers the same; with another seed, something else."""
    asked = {"scenario": "flapping", "jobs": 200, "seed": 5}
    async with serving(settings_for(database_url)) as (_, client):
        one = (await client.post("/retry/simulate", json=asked)).json()
        two = (await client.post("/retry/simulate", json=asked)).json()
        other = (await client.post("/retry/simulate", json={**asked, "seed": 6})).json()
    assert one == two
    assert other != one


@pytest.mark.parametrize("scenario", [each.name for each in small_scenarios(100)])
async def test_every_scenario(database_url: str, scenario: str):
    """Every story can be asked for by its name, and accounts for every job."""
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.post("/retry/simulate", json={"scenario": scenario, "jobs": 100})).json()
    for each in answer["policies"]:
        assert each["jobs_done"] + each["jobs_dead"] + each["jobs_waiting"] == answer["jobs"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"jobs": 1_000_000}, "jobs"), ({"jobs": 1}, "jobs"), ({"scenario": "flood"}, "scenario"), ({"seed": -1}, "seed")],
)
async def test_what_is_refused(database_url: str, body: dict[str, object], field: str):
    """A story that would take too long, or that nobody wrote, is refused, and the field is named."""
    async with serving(settings_for(database_url)) as (_, client):
        response = await client.post("/retry/simulate", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field


async def test_a_policy_of_ones_own(database_url: str):
    """A policy that is tried is played last, under the same story: one without retries buries what fails at once."""
    asked = {"scenario": "full outage", "jobs": 200, "policy": {"max_retries": 0}}
    async with serving(settings_for(database_url)) as (_, client):
        answer = (await client.post("/retry/simulate", json=asked)).json()
        refused = await client.post("/retry/simulate", json={**asked, "policy": {"max_retries": 10_000}})
    yours = answer["policies"][-1]
    assert yours["policy"] == "yours"
    assert yours["calls"] == answer["jobs"]
    assert yours["jobs_dead"] >= 200
    assert refused.status_code == 422
