"""Postgres goes away and comes back: under load, for a while, at the start, and for the listener alone."""

import os
from collections.abc import Callable
from functools import partial

import httpx
import psycopg
import pytest

from ..eventually import eventually_sync
from ..servers import Server
from .conftest import Queue, Start
from .processes import Effects, Gate, Process, passed
from .proxy import Proxy

LONG = pytest.mark.skipif("FAULTS_LONG" not in os.environ, reason="make faults-long")

Serve = Callable[..., tuple[Process, str]]
Fault = Callable[[], None]


@pytest.fixture(params=["fast restart", "crash", "terminated backends"])
def fault(request: pytest.FixtureRequest, frail: Queue, frail_server: Server) -> Fault:
    """Something that ends every connection at once."""
    server = frail_server.embedded
    assert server
    faults: dict[str, Fault] = {
        "fast restart": lambda: server.restart(mode="fast"),
        "crash": lambda: server.restart(mode="immediate"),
        "terminated backends": frail.terminate_backends,
    }
    return faults[request.param]


def test_fault_under_load(frail: Queue, fault: Fault, start: Start, effects: Effects):
    """All jobs end, each having run once: nothing is lost, and what was done is not done again."""
    workers = [start(frail.url, STALLED_AFTER="8s") for _ in range(2)]
    jobs = frail.submit_many("chaos", 150, seconds=0.05, failures=1, fatal=False)
    for many in (20, 60):
        eventually_sync(partial(more_than, many, effects))
        fault()
    eventually_sync(frail.all_ended, within=60)
    assert effects.counts() == dict.fromkeys(jobs, 1)
    counted = frail.query("SELECT DISTINCT status::text, attempts FROM procrastinate_jobs WHERE id = ANY (%s)", jobs)
    assert counted == [{"status": "succeeded", "attempts": 2}]
    assert frail.query("SELECT DISTINCT outcome::text FROM afresh.attempt") == [{"outcome": "failed"}]
    assert [worker.stop() for worker in workers] == [0, 0]


def more_than(many: int, effects: Effects) -> bool:
    """Whether more jobs than that have run."""
    return len(effects.counts()) > many


@pytest.mark.parametrize("seconds", [1, 5, pytest.param(30, marks=LONG)])
def test_outage(queue: Queue, proxy: Proxy, start: Start, serve: Serve, effects: Effects, gate: Gate, seconds: int):  # noqa: PLR0913, PLR0917 - one story of a worker, an API and an outage.
    """Worker and API come back by themselves; a job that ended meanwhile is settled, and does not run again."""
    worker = start(proxy.url, STALLED_AFTER="30s" if seconds > 10 else "2s")
    _, address = serve(proxy.url)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    eventually_sync(lambda: submit_over_http(address) == 202)
    proxy.refuse()
    gate.open()
    for _ in passed(seconds):
        pass
    assert submit_over_http(address) == 503
    proxy.allow()
    eventually_sync(lambda: submit_over_http(address) == 202)
    eventually_sync(queue.all_ended)
    assert queue.outcomes(job) == ["succeeded"]
    assert set(effects.counts().values()) == {1}
    eventually_sync(lambda: worker.says("Database lost") and worker.says("Database back"))


def submit_over_http(address: str) -> int:
    """The status of a submission; 0 without an answer."""
    try:
        return httpx.post(f"{address}/tasks/touch", json={}, timeout=15).status_code
    except httpx.TransportError:
        return 0


def test_outage_at_the_start(queue: Queue, proxy: Proxy, start: Start, serve: Serve):
    """Worker and API that start during an outage wait for its end, and say so."""
    proxy.refuse()
    worker = start(proxy.url)
    service, address = serve(proxy.url)
    eventually_sync(lambda: "waiting for the database" in worker.text())
    eventually_sync(lambda: "waiting for the database" in service.text())
    proxy.allow()
    eventually_sync(lambda: submit_over_http(address) == 202)
    eventually_sync(queue.all_ended)


FIRST_STATEMENTS = ["afresh.migration", "procrastinate_register_worker", "LISTEN", "afresh.claim("]


@pytest.mark.parametrize("statement", FIRST_STATEMENTS)
def test_fault_while_a_worker_starts(queue: Queue, proxy: Proxy, start: Start, statement: str):
    """A worker that just starts when Postgres goes comes up by itself, whichever of its first statements is cut off."""
    trap = proxy.cut_before(statement)
    worker = start(proxy.url)
    eventually_sync(trap.caught.is_set)
    proxy.refuse()
    for _ in passed(1):
        pass
    proxy.allow()
    eventually_sync(queue.ended(queue.submit("touch")))
    eventually_sync(lambda: listeners(queue))
    assert worker.stop() == 0


@LONG
def test_outage_that_outlasts_the_start(proxy: Proxy, start: Start):
    """A worker that finds no database for half a minute exits with code 1."""
    proxy.refuse()
    assert start(proxy.url).ended(within=45) == 1


def test_listener_comes_back(queue: Queue, start: Start):
    """After its connection was cut a worker hears again of new jobs, without waiting for its next poll."""
    worker = start(queue.url, "--fetch-job-polling-interval=60")
    eventually_sync(lambda: worker.says("Worker started"))
    former = eventually_sync(lambda: listeners(queue))
    queue.terminate_backends()
    eventually_sync(lambda: listeners(queue) and listeners(queue) != former)
    eventually_sync(queue.ended(queue.submit("touch")), within=30)  # Half of the polling interval.


def listeners(queue: Queue) -> list[int]:
    """The backends that wait for notifications."""
    rows = queue.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'afresh listener' AND datname = current_database() "
        "AND query LIKE 'LISTEN%%afresh_wake%%' AND state = 'idle'"
    )
    return [int(row["pid"]) for row in rows]


def test_peer_that_says_nothing(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate):
    """Connections that hang, for longer than STALLED_AFTER and for all workers, cost no job its run."""
    workers = [start(proxy.url, WORKER_CONCURRENCY="2", STALLED_AFTER="8s") for _ in range(2)]
    jobs = [queue.submit("wait", gate=gate) for _ in range(4)]
    eventually_sync(lambda: len(effects.counts("began")) == 4)
    proxy.stall()
    for _ in passed(10):
        pass
    gate.open()
    proxy.go_on()
    eventually_sync(queue.ended(*jobs))
    assert [queue.outcomes(job) for job in jobs] == [["succeeded"]] * 4
    assert [worker.stop() for worker in workers] == [0, 0]


def test_failure_and_reschedule_are_one(queue: Queue, start: Start, effects: Effects):
    """A connection that ends between the row of a failure and the new time of its job leaves neither."""
    queue.query(
        "CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END'"
    )
    queue.query(
        "CREATE TRIGGER wait_for_test AFTER INSERT ON afresh.attempt FOR EACH ROW EXECUTE FUNCTION wait_for_test()"
    )
    with psycopg.connect(queue.url, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(42)")
        start(queue.url)
        job = queue.submit("fail")
        find = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
        (waiting,) = eventually_sync(lambda: queue.query(find))
        queue.query("SELECT pg_terminate_backend(%s)", waiting["pid"])
        eventually_sync(lambda: waiting not in queue.query(find))
        assert queue.outcomes(job) == []
        assert (queue.status(job), queue.job(job)["attempts"]) == ("doing", 0)
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["failed", "succeeded"]
    assert effects.count(job) == 2
