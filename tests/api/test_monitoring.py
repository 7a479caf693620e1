"""What the service says about itself over HTTP."""

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection

from app.api.performance import Performance
from app.monitoring.alerts.evaluate import evaluate
from app.monitoring.health import STALE, Status, judge_alerts, judge_monitoring
from app.monitoring.samples import sample
from app.queue.app import Afresh
from app.store.alerts import OpenAlert
from app.store.monitoring import Monitoring

from ..application import run_waiting_jobs
from ..eventually import eventually
from ..monitoring.lost import lose_worker
from ..queue.workers import working

pytestmark = pytest.mark.anyio

A_MINUTE = timedelta(minutes=1)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def some_work(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection) -> None:
    """Three jobs that succeed and one that fails, sampled."""
    for number in range(3):
        await client.post("/tasks/add", json={"args": {"a": number}})
    await client.post("/tasks/fail", json={"args": {"message": "no luck"}})
    await run_waiting_jobs(queue)
    await sample(queue, conn, now=datetime.now(UTC) + A_MINUTE)


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    """What it answers."""
    response = await client.get(f"/monitoring/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def test_performance(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Performance has throughput, rates and durations, in all, by step and by task, and what waited in the queues."""
    await some_work(queue, client, conn)
    told = await get(client, "performance", step="hour")
    total = told["total"]
    assert (total["attempts"], total["succeeded"], total["failed"], total["buried"]) == (4, 3, 1, 1)
    assert (total["error_rate"], total["success_rate"], total["retry_rate"]) == (0.25, 0.75, 0)
    assert 0 < total["p50_seconds"] <= total["longest_seconds"]
    assert {each["task_name"]: each["failed"] for each in told["tasks"]} == {"sample.add": 0, "sample.fail": 1}
    assert {each["queue"] for each in told["queues"]} == {"sums", "default"}
    assert sum(point["succeeded"] for point in told["points"]) == 3


@pytest.mark.parametrize("step", ["minute", "hour", "day"])
async def test_performance_has_its_shape(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection, step: str):
    """It is written past the models of its description, and is what they would have written."""
    await some_work(queue, client, conn)
    told = await get(client, "performance", step=step)
    assert Performance.model_validate(told).model_dump(mode="json") == told


async def test_performance_of_one(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """One task, by its slug, and one queue can be asked for."""
    await some_work(queue, client, conn)
    told = await get(client, "performance", step="hour", task="fail", queue="sums")
    assert (told["total"]["attempts"], told["total"]["failed"]) == (1, 1)
    assert [each["task_name"] for each in told["tasks"]] == ["sample.fail"]
    assert [each["queue"] for each in told["queues"]] == ["sums"]


@pytest.mark.parametrize(("hours", "step"), [(1, 60), (6, 60), (7, 3600), (168, 3600), (169, 86_400), (2160, 86_400)])
async def test_steps(client: httpx.AsyncClient, hours: int, step: int):
    """Few hours are shown by the minute, a week by the hour, and more by the day."""
    assert (await get(client, "performance", hours=hours))["step_seconds"] == step


async def test_summary(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """The summary has all at a glance, also how much was submitted twice."""
    for _ in range(2):
        await client.post("/tasks/add", json={"args": {"a": 1}}, headers={"Idempotency-Key": "x"})
    await client.post("/queues/sums/pause", json={"reason": "a test"})
    await some_work(queue, client, conn)
    await conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('joke-api', 'open', 'down')")
    for minutes in (1, 2):
        await evaluate(queue, conn, now=datetime.now(UTC) + minutes * A_MINUTE)
    told = await get(client, "summary")
    assert told["status"] == "degraded"  # No worker lives.
    assert {each["name"]: (each["waiting"], each["paused"]) for each in told["queues"]}["sums"] == (4, True)
    assert told["dead_letters"] == {"pending": 1, "retrying": 0, "resolved": 0, "abandoned": 0}
    assert told["breakers"] == {"joke-api": "open"}
    assert told["alerts"]["warning"] >= 1
    assert told["idempotency"] == {"submissions": 6, "repeats": 1, "hit_rate": 1 / 6}
    assert told["last_day"]["failed"] == 1


async def test_rates_leave_the_clock_out(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """What the clock runs for the service itself mends no rate; asked for by its name, it is told."""
    await queue.tasks["app.tasks.monitoring.forget_samples"].defer_async(timestamp=0)
    await some_work(queue, client, conn)
    for work in ((await get(client, "summary"))["last_day"], (await get(client, "performance", step="hour"))["total"]):
        assert (work["attempts"], work["success_rate"], work["error_rate"]) == (4, 0.75, 0.25)
    own = await get(client, "performance", step="hour", task="forget-samples")
    assert own["total"]["succeeded"] == 1


async def test_workers(queue: Afresh, client: httpx.AsyncClient):
    """A worker says where it runs, as what, and how much memory it has; when it has stopped, that."""
    async with working(queue, name="w-1", queues=["sums", "other"], concurrency=3, listen_notify=False) as worker:
        (found,) = await eventually(lambda: get(client, "workers"))
        await eventually(lambda: _is_described(client))
        (found,) = await get(client, "workers")
        assert found["worker_id"] == worker.worker_id
        assert (found["name"], found["status"], found["concurrency"]) == ("w-1", "alive", 3)
        assert (found["host"], found["pid"], found["queues"]) == (socket.gethostname(), os.getpid(), ["sums", "other"])
        assert found["memory_bytes"] > 1_000_000
        assert found["heartbeat_age_seconds"] < 30
        hosts = (await get(client, "resources"))["hosts"]
        assert [(each["host"], each["workers"]) for each in hosts] == [(socket.gethostname(), 1)]
    (found,) = await get(client, "workers")
    assert (found["status"], found["running_jobs"]) == ("stopped", 0)
    assert found["stopped_at"] is not None


async def _is_described(client: httpx.AsyncClient) -> bool:
    return bool((await get(client, "workers"))[0]["host"])


async def test_a_plain_worker(client: httpx.AsyncClient, conn: AsyncConnection):
    """A plain Procrastinate worker is listed too, with what is known of it."""
    await conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    (found,) = await get(client, "workers")
    assert (found["status"], found["host"], found["queues"]) == ("alive", None, None)


async def test_a_lost_worker(client: httpx.AsyncClient, conn: AsyncConnection):
    """A worker that fell silent is lost, also where Procrastinate has forgotten it."""
    await lose_worker(conn, timedelta(minutes=5))
    assert [each["status"] for each in await get(client, "workers")] == ["lost"]


async def test_resources(client: httpx.AsyncClient):
    """Resources has the CPU, memory and disks of this machine, beside the limits."""
    told = await get(client, "resources")
    assert 0 < told["memory_percent"] <= 100
    assert told["disks"]
    assert all(0 < disk["free_bytes"] <= disk["total_bytes"] for disk in told["disks"])
    assert told["process"]["pid"] == os.getpid()
    assert told["limits"] == {"cpu_percent": 0, "memory_percent": 85, "disk_percent": 90}


async def test_a_maintenance_window(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """While monitoring is stopped nothing is sampled and no alert opens; who stopped it, and until when, is shown."""
    stopped = await client.post("/monitoring/stop", json={"duration": "2h", "reason": "moving"})
    assert stopped.status_code == 200
    assert (stopped.json()["stopped"], stopped.json()["stopped_by"]) == (True, "local")
    await conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('bank', 'open', 'down')")
    for name in ("sample_performance", "evaluate_alerts"):
        job_id = await queue.tasks[f"app.tasks.monitoring.{name}"].defer_async(timestamp=0)
        await run_waiting_jobs(queue)
        result = (await client.get(f"/jobs/{job_id}")).json()["result"]
        assert result["skipped"].startswith("monitoring is stopped until")
    assert (await get(client, "alerts"))["total"] == 0
    health = await get(client, "health")
    assert health["monitoring"]["reason"] == "moving"
    assert any("stopped until" in check["reason"] for check in health["checks"])
    assert (await get(client, "summary"))["monitoring"]["stopped"]


async def test_it_ends_by_itself(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """A maintenance window ends at its time, and alerts open again."""
    await client.post("/monitoring/stop", json={"duration": "1h", "reason": "moving"})
    await conn.execute("INSERT INTO afresh.breaker (name, state, cause) VALUES ('bank', 'open', 'down')")
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert (await evaluate(queue, conn, now=later))["opened"] >= 1


async def test_it_is_ended(queue: Afresh, client: httpx.AsyncClient, conn: AsyncConnection):
    """Somebody can end it sooner, once; both are in the audit."""
    await client.post("/monitoring/stop", json={"reason": "moving"})
    started = await client.post("/monitoring/start", json={"reason": "moved"})
    assert (started.status_code, started.json()["stopped"]) == (200, False)
    again = await client.post("/monitoring/start")
    assert (again.status_code, again.json()["type"]) == (409, "urn:afresh:not-stopped")
    assert "skipped" not in await evaluate(queue, conn, now=datetime.now(UTC))
    audit = (await client.get("/audit", params={"target": "monitoring"})).json()["items"]
    assert [(each["action"], each["reason"]) for each in audit] == [
        ("monitoring.start", "moved"),
        ("monitoring.stop", "moving"),
    ]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "duration": "8d"}, {"reason": "x", "for": "1h"}])
async def test_a_window_has_a_reason_and_an_end(client: httpx.AsyncClient, body: dict[str, str]):
    """A maintenance window needs a reason, and lasts a week at most."""
    assert (await client.post("/monitoring/stop", json=body)).status_code == 422


def test_critical_alerts_degrade():
    """A critical alert is a reason; none is well."""
    alert = OpenAlert(1, "breaker-open", "bank", "critical", NOON, "its breaker is open", "See.")
    assert judge_alerts([]).status is Status.HEALTHY
    assert judge_alerts([alert]).reason == "critical: breaker-open of bank: its breaker is open"


def test_alerts_that_nobody_evaluates():
    """Alerts that were evaluated and are not any more degrade; a window, its end, and a fresh start do not."""
    late = NOON - STALE - timedelta(seconds=1)
    open_window = Monitoring(late, late, NOON + A_MINUTE, "somebody", "moving")
    assert judge_monitoring(Monitoring(), NOON).status is Status.HEALTHY
    assert judge_monitoring(Monitoring(evaluated_at=NOON), NOON).status is Status.HEALTHY
    assert judge_monitoring(Monitoring(evaluated_at=late), NOON).status is Status.DEGRADED
    assert judge_monitoring(open_window, NOON).status is Status.HEALTHY
    assert judge_monitoring(open_window, NOON + 2 * A_MINUTE).status is Status.HEALTHY
    assert judge_monitoring(open_window, NOON + A_MINUTE + STALE + A_MINUTE).status is Status.DEGRADED
    assert judge_monitoring(Monitoring(), NOON, working_since=NOON - STALE).status is Status.HEALTHY
    assert judge_monitoring(Monitoring(), NOON, working_since=late).status is Status.DEGRADED
