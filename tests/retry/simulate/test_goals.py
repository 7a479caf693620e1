"""What we promise of ours, on the short form of each story. Seeded: what passes once passes always."""

from dataclasses import replace
from functools import cache

import pytest

from app.retry.backoff import Jitter
from app.retry.breaker.states import State
from app.retry.simulate.clients import Guarded, plain_clients
from app.retry.simulate.outcome import Outcome
from app.retry.simulate.scenario import brownout, flapping, full_outage, revoked_key, short_scenarios
from app.retry.simulate.world import World

SCENARIOS = {each.name: each for each in short_scenarios()}
DISTURBED = ["full outage", "flapping", "rate limited"]


@cache
def ours(name: str) -> tuple[Outcome, Guarded]:
    """Ours in one story, played once for all tests."""
    client = Guarded()
    return World(SCENARIOS[name], client, 1).play(), client


@cache
def plain(name: str) -> tuple[Outcome, ...]:
    """The policies that know a schedule alone."""
    return tuple(World(SCENARIOS[name], client, 1).play() for client in plain_clients())


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {"revoked key"}))
def test_no_job_dies_in_vain(name: str):
    """No job is buried that would have succeeded."""
    outcome, _ = ours(name)
    assert outcome.dead_in_vain == 0


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {"poisoned task", "revoked key"}))
def test_every_job_gets_done(name: str):
    """Once the dependency is well again every job succeeds, but those that fail by themselves or die of a key."""
    outcome, _ = ours(name)
    assert outcome.done == outcome.jobs


def test_calls_over_an_outage():
    """Over a full outage a job costs 1.05 calls at most; plain policies bury what waits."""
    outcome, _ = ours("full outage")
    assert outcome.calls_per_job <= 1.05
    for other in plain("full outage"):
        assert other.dead_in_vain >= 0.75 * other.jobs
        assert other.calls_per_job > 15


@pytest.mark.parametrize("name", ["full outage", "brownout"])
def test_no_stampede(name: str):
    """From recovery on, the dependency is never called more often than 1.2 times what it bears."""
    outcome, _ = ours(name)
    assert outcome.peak <= 1.2


@pytest.mark.parametrize("capacity", [5, 10, 20, 35, 100])
def test_no_stampede_of_any_size(capacity: int):
    """That holds after a full outage whatever the dependency bears, small as it may be."""
    scenario = replace(full_outage(capacity * 150, capacity=float(capacity)), processes=4, slots=capacity // 4 + 2)
    assert World(scenario, Guarded(), 1).play().peak <= 1.2


@pytest.mark.parametrize("capacity", [2, 5])
def test_what_bears_one_call_at_a_time(capacity: int):
    """A dependency that refuses a second call beside the first gets its jobs done all the same, and soon."""
    scenario = replace(full_outage(capacity * 150, capacity=float(capacity)), processes=4, slots=2)
    outcome = World(scenario, Guarded(), 1).play()
    assert outcome.done == outcome.jobs
    assert outcome.drain_seconds <= 3 * outcome.oracle_seconds


def test_drained_soon():
    """The backlog is drained within 1.3 of what an oracle takes, and the time until recovery is noticed."""
    outcome, _ = ours("full outage")
    assert outcome.drain_seconds <= 1.3 * outcome.oracle_seconds + outcome.detection_seconds
    assert outcome.detection_seconds <= 65


def test_drained_soon_after_a_brownout():
    """So is that of twenty minutes in which less was borne, also where the ramp has learned how little that was."""
    outcome = World(replace(brownout(), processes=5, slots=8), Guarded(), 1).play()
    assert outcome.drain_seconds <= 1.3 * outcome.oracle_seconds + outcome.detection_seconds
    assert outcome.calls_per_job <= 1.05
    assert outcome.trips == 1


def test_flapping_costs_little():
    """Each time that it goes down anew is noticed on the ramp, by few calls: 1.05 for a job at most."""
    outcome = World(flapping(), Guarded(), 1).play()
    assert outcome.calls_per_job <= 1.05
    assert outcome.done == outcome.jobs
    assert 0.5 <= outcome.peak <= 1.2  # In the minutes in which it is up.


@pytest.mark.parametrize("minutes", [1, 5, 14])
def test_drained_soon_after_a_short_outage(minutes: int):
    """So is that of an outage that is over before the first retries of its type would come."""
    scenario = replace(full_outage(3_000, 60.0 * minutes, capacity=50.0), processes=5, slots=8, horizon=4200.0)
    outcome = World(scenario, Guarded(), 1).play()
    assert outcome.drain_seconds <= 1.3 * outcome.oracle_seconds + outcome.detection_seconds + 60
    assert outcome.calls_per_job <= 1.05


@pytest.mark.parametrize("jitter", [each for each in Jitter if each is not Jitter.PROPORTIONAL])
def test_the_ramp_makes_up_for_any_jitter(jitter: Jitter):
    """Over a full outage the goals for calls and peak are kept whatever spreads the retries, and without anything."""
    scenario = replace(full_outage(3_000, capacity=20.0), processes=4, slots=7)
    outcome = World(scenario, Guarded(jitter=jitter), 1).play()
    assert outcome.calls_per_job <= 1.05
    assert outcome.peak <= 1.2


def test_no_work_wasted():
    """Workers spend 2 % at most of what plain policies spend in calls that fail."""
    outcome, _ = ours("full outage")
    for other in plain("full outage"):
        assert outcome.wasted_seconds <= 0.02 * other.wasted_seconds


@pytest.mark.parametrize("name", ["failover", "healthy", "40 % errors"])
def test_no_trip(name: str):
    """What is one event, or noise, or less than half of the calls, opens nothing."""
    outcome, client = ours(name)
    assert outcome.trips == 0
    assert client.transitions == []


def test_a_poisoned_task_does_not_close_the_door():
    """While healthy jobs come, the poisoned ones among them open nothing."""
    _, client = ours("poisoned task")
    last_arrival = 3600
    assert [each for each in client.transitions if each.at.timestamp() % 86_400 < last_arrival] == []


def test_a_brownout_is_one_trip():
    """A dependency that bears less than before opens the breaker once: the ramp then feels what it bears."""
    outcome, _ = ours("brownout")
    assert outcome.trips == 1


def test_a_revoked_key_costs_two_jobs():
    """Of all jobs of a revoked key two are buried before the third holds the rest, and nobody is called after it."""
    outcome, client = ours("revoked key")
    assert outcome.dead_in_vain == 2
    assert client.transitions[0].after is State.HELD
    step = outcome.step_seconds
    while_held = outcome.calls_series[80 // step : int(SCENARIOS["revoked key"].well_at) // step]
    assert sum(while_held) * step == pytest.approx(1, abs=0.1)  # A probe every quarter of an hour.
    assert outcome.calls_per_job <= 1.02
    assert min(other.dead_in_vain for other in plain("revoked key")) == 3000


def test_a_key_revoked_for_days():
    """However long it takes to mend a key, nobody dies of it but the first few, and then all are done."""
    hours = 30
    story = replace(revoked_key(200, hours * 3600.0), processes=1, slots=8, horizon=(hours + 1) * 3600.0)
    outcome = World(story, Guarded(), 1).play()
    assert outcome.dead_in_vain <= 3
    assert outcome.waiting == 0
    assert outcome.calls <= outcome.jobs + 4 * hours + 8


def test_a_rate_limit_is_heeded():
    """Under a rate limit few calls are refused; plain policies ask several times for each job."""
    outcome, _ = ours("rate limited")
    assert outcome.calls_per_job <= 1.05
    assert min(other.calls_per_job for other in plain("rate limited")) > 1.5


@pytest.mark.parametrize("name", DISTURBED)
@pytest.mark.parametrize("number", range(3))
def test_fewer_calls_than_any_plain_policy(name: str, number: int):
    """In an outage, in flapping and under a rate limit ours calls less for a job done than a plain policy does."""
    assert ours(name)[0].calls_per_job < plain(name)[number].calls_per_job


def test_same_seed_same_end():
    """A story played twice with one seed has one end; with another seed it is another one."""
    scenario = SCENARIOS["failover"]
    one, two, other = (World(scenario, Guarded(), seed).play() for seed in (3, 3, 4))
    assert one == two
    assert one != other
