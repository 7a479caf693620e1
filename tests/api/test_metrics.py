"""What the API tells Prometheus, and whom."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import MetricsSettings, SubmissionSettings
from app.monitoring import gauges
from app.monitoring.labels import Names
from app.queue.app import Afresh
from app.retrying import retrying

from ..application import run_waiting_jobs, serving, settings_for
from ..monitoring.lost import lose_worker

pytestmark = pytest.mark.anyio

TOKEN = "a-token-for-metrics"  # noqa: S105 - of these tests alone.
ADMIN = "the-bootstrap-key"


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is asked at each request: a test changes things between two of them."""
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.0)


@pytest.fixture
async def guarded(anyio_backend: str, database_url: str) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001 - it makes the fixture async
    """A client of a server that demands keys and knows METRICS_TOKEN."""
    settings = settings_for(database_url, admin_key=ADMIN, metrics=MetricsSettings(token=TOKEN))
    async with serving(settings) as (_, client):
        yield client


async def read(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every series with its value: a name, then the values of its labels in the order of their names."""
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def bearer(key: str) -> dict[str, str]:
    """The header for a key."""
    return {"Authorization": f"Bearer {key}"}


async def test_queues(client: httpx.AsyncClient, queue: Afresh):
    """Jobs that are ready, held and for later are told by queue; a queue of a task that has none is told as empty."""
    for _ in range(3):
        await client.post("/tasks/add", json={"args": {"a": 1}})
    await client.post("/tasks/add", json={"args": {"a": 1}, "run_in": "1h"})
    before = await read(client)
    assert before["afresh_queue_ready_jobs", "sums"] == 3
    assert before["afresh_queue_later_jobs", "sums"] == 1
    assert before["afresh_queue_oldest_ready_seconds", "sums"] > 0
    assert before["afresh_queue_ready_jobs", "api_calls"] == 0
    await client.post("/queues/sums/pause", json={"reason": "maintenance"})
    paused = await read(client)
    assert paused["afresh_queue_ready_jobs", "sums"] == 0
    assert paused["afresh_queue_held_jobs", "sums"] == 3
    assert paused["afresh_queue_paused", "sums"] == 1
    await client.post("/queues/sums/resume", json={"reason": "over"})
    await run_waiting_jobs(queue)
    after = await read(client)
    assert (after["afresh_queue_ready_jobs", "sums"], after["afresh_queue_paused", "sums"]) == (0, 0)


async def test_unknown_queues_are_folded(client: httpx.AsyncClient):
    """Queues that only clients name are told together, however many they make up."""
    for number in range(20):
        await client.post("/tasks/add", json={"args": {"a": 1}, "queue": f"made-up-{number}"})
    told = await read(client)
    assert told["afresh_queue_ready_jobs", "other"] == 20
    assert not [key for key in told if key[-1].startswith("made-up")]


async def test_letters_breakers_and_workers(client: httpx.AsyncClient, queue: Afresh):
    """Dead letters are told by status, dependencies by the state of their breaker, workers by their sign of life."""
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await client.post("/dependencies/joke-api/isolate", json={"reason": "maintenance"})
    told = await read(client)
    assert told["afresh_dead_letters", "pending"] == 1
    assert told["afresh_breakers", "joke-api", "isolated"] == 1
    assert told["afresh_breakers", "joke-api", "closed"] == 0
    assert told["afresh_workers", "alive"] == 0
    assert told["afresh_database_up",] == 1


async def test_lost_workers(client: httpx.AsyncClient, conn: psycopg.AsyncConnection):
    """A worker that fell silent a little while ago is told as lost, unless a maintenance window has ended since."""
    await lose_worker(conn, timedelta(minutes=5))
    assert (await read(client))["afresh_workers", "lost"] == 1
    await client.post("/monitoring/stop", json={"reason": "moving"})
    assert (await read(client))["afresh_monitoring_stopped",] == 1
    await client.post("/monitoring/start", json={"reason": "moved"})
    told = await read(client)
    assert (told["afresh_monitoring_stopped",], told["afresh_workers", "lost"]) == (0, 0)


async def test_the_last_worker(client: httpx.AsyncClient, conn: psycopg.AsyncConnection):
    """A worker that was lost as the last one there was is told until another lives."""
    await lose_worker(conn, timedelta(hours=5))
    assert (await read(client))["afresh_workers", "lost"] == 1
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    told = await read(client)
    assert (told["afresh_workers", "alive"], told["afresh_workers", "lost"]) == (1, 0)


async def test_queues_that_are_full(database_url: str, conn: psycopg.AsyncConnection):
    """However many queues share in what is counted, a queue is counted up to where it is an alert."""
    settings = settings_for(database_url, submission=SubmissionSettings(max_queue_size=2_500))
    async with serving(settings) as (queue, client):
        await conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) "
            "SELECT name, 't' FROM unnest(%s::text[]) name, generate_series(1, 2600)",
            [Names(queue).queues()],
        )
        assert (await read(client))["afresh_queue_ready_jobs", "api_calls"] > 2_500


async def test_healthy_breakers(client: httpx.AsyncClient):
    """A dependency that never failed is told as closed."""
    told = await read(client)
    assert told["afresh_breakers", "joke-api", "closed"] == 1
    assert told["afresh_breakers", "joke-api", "open"] == 0


async def test_retrying_in_this_process(client: httpx.AsyncClient):
    """What the process itself retries is counted beside."""
    with next(iter(retrying(operation_name="warm up", operation_type="cache"))):
        pass
    assert (await read(client))["background_tasks_success_total", "cache", "warm up"] == 1


async def test_asked_once(client: httpx.AsyncClient, queue: Afresh, monkeypatch: pytest.MonkeyPatch):
    """The answer is kept for a moment, whoever asks and how often."""
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 60.0)
    await read(client)
    await client.post("/tasks/add", json={"args": {"a": 1}})
    assert (await read(client))["afresh_queue_ready_jobs", "sums"] == 0
    assert queue.settings.metrics.token is None


async def test_a_silent_database(
    guarded: httpx.AsyncClient, conn: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
):
    """Prometheus is answered also while the database is not, and told so; for METRICS_TOKEN no key is read."""
    guarded.headers.update(bearer(TOKEN))
    async with conn.transaction():
        await conn.execute("LOCK afresh.api_key, afresh.dead_letter_count")
        with monkeypatch.context() as impatient:
            impatient.setattr(gauges, "ANSWER_SECONDS", 0.2)
            silent = await read(guarded)
    told = await read(guarded)
    assert (silent["afresh_database_up",], told["afresh_database_up",]) == (0, 1)
    assert not [key for key in silent if key[0].startswith("afresh_queue")]
    assert [key for key in told if key[0].startswith("afresh_queue")]


async def test_token(guarded: httpx.AsyncClient):
    """METRICS_TOKEN opens /metrics and nothing else; a viewer's key opens it too, and nobody else does."""
    answers = {
        "nobody": await guarded.get("/metrics"),
        "wrong": await guarded.get("/metrics", headers=bearer("wrong")),
        "token": await guarded.get("/metrics", headers=bearer(TOKEN)),
        "admin": await guarded.get("/metrics", headers=bearer(ADMIN)),
        "elsewhere": await guarded.get("/jobs", headers=bearer(TOKEN)),
    }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {"nobody": 401, "wrong": 401, "token": 200, "admin": 200, "elsewhere": 401}


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "[fd00::7]:8000", "10.1.2.3"])
async def test_by_number(guarded: httpx.AsyncClient, host: str):
    """Prometheus may ask a pod by its number, which no page can point anywhere; all else is asked by name."""
    shown = await guarded.get("/metrics", headers=bearer(TOKEN) | {"Host": host})
    assert shown.status_code == 200
    assert (await guarded.get("/metrics", headers={"Host": host})).status_code == 401
    assert (await guarded.get("/jobs", headers={"Host": host})).status_code == 400
    foreign = await guarded.get("/metrics", headers=bearer(TOKEN) | {"Host": "evil.example"})
    assert foreign.status_code == 400


async def test_form(client: httpx.AsyncClient):
    """The text format by default, OpenMetrics where it is asked for."""
    plain = await client.get("/metrics")
    asked = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")


async def test_submissions(client: httpx.AsyncClient):
    """What was made is counted, and what was not made again, batches by their jobs."""
    for _ in range(2):
        await client.post("/tasks/add", json={"args": {"a": 1}}, headers={"Idempotency-Key": "once"})
        batch = {"jobs": [{"args": {"a": 1}}, {"args": {"a": 2}}]}
        await client.post("/tasks/add/batch", json=batch, headers={"Idempotency-Key": "twice"})
    told = await read(client)
    assert told["afresh_submissions_total",] == 3
    assert told["afresh_idempotent_repeats_total",] == 3


async def test_what_is_run_again(client: httpx.AsyncClient, queue: Afresh):
    """A fresh job in the place of one that died is one more that was made, and not made again with the same key."""
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    first, again = [await client.post("/dead-letters/1/replay", headers={"Idempotency-Key": "again"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    await run_waiting_jobs(queue)
    assert (await client.post(f"/jobs/{again.json()['job_id']}/retry")).status_code == 202
    told = await read(client)
    assert (told["afresh_submissions_total",], told["afresh_idempotent_repeats_total",]) == (3, 1)


async def test_failure_groups(client: httpx.AsyncClient, queue: Afresh):
    """A failure group that is new is told, until somebody has resolved it; where it comes back, it is a regression."""
    assert (await read(client))["afresh_failure_groups", "new"] == 0
    await client.post("/tasks/fail", json={"args": {"message": "no route"}})
    await run_waiting_jobs(queue)
    assert (await read(client))["afresh_failure_groups", "new"] == 1
    (group,) = (await client.get("/failures/groups")).json()["items"]
    await client.post(f"/failures/groups/{group['fingerprint']}/resolve", json={"reason": "mended"})
    assert (await read(client))["afresh_failure_groups", "new"] == 0
    await client.post("/tasks/fail", json={"args": {"message": "no route"}})
    await run_waiting_jobs(queue)
    assert (await read(client))["afresh_failure_groups", "regression"] == 1
