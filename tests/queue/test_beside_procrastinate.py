"""What docs/guide/procrastinate.md says about Afresh and Procrastinate side by side."""

import procrastinate
import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.task import options_of, task
from app.retry.policy import Fixed
from app.retry.presets import NONE

from .jobs import add, rows, status
from .workers import nothing, work_off

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection


async def refuse() -> None:
    """Fail."""
    raise ConnectionRefusedError(111, "Connection refused")


async def test_a_plain_worker_beside_ours(queue_app: Afresh, conn: Connection, database_url: str):
    """Each runs its own queue on one database, successes and failures; only our failures are classified."""
    plain = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    for app in (plain, queue_app):
        app.task(name="fine")(nothing)
        app.task(name="fails")(refuse)
    theirs = [(await add(conn, task=name, queue="theirs"))[0] for name in ("fine", "fails")]
    ours = [(await add(conn, task=name, queue="ours"))[0] for name in ("fine", "fails")]
    async with plain.open_async():
        await plain.run_worker_async(queues=["theirs"], wait=False, listen_notify=False, install_signal_handlers=False)
        await work_off(queue_app, queues=["ours"])
    assert [await status(conn, each) for each in (*theirs, *ours)] == ["succeeded", "failed", "succeeded", "todo"]
    classified = await rows(conn, "SELECT job_id, failure_type FROM afresh.attempts WHERE failure_type IS NOT NULL")
    assert classified == [{"job_id": ours[1], "failure_type": "TRANSIENT_NETWORK"}]


async def test_retry_false_of_a_plain_task(queue_app: Afresh):
    """`@app.task(retry=False)` is as good as nothing said; `@task(retry=False)` of ours means one attempt."""
    silent, told = queue_app.task(name="a")(nothing), queue_app.task(name="b", retry=False)(nothing)
    assert silent.retry_strategy is told.retry_strategy is None
    assert queue_app.engine.tier_of(silent) is queue_app.engine.tier_of(told) is queue_app.engine.by_type
    ours = task(name="c", retry=False)(nothing)
    assert queue_app.engine.tier_of(ours) == Fixed(NONE)
    assert not options_of(ours).decides_by_type
