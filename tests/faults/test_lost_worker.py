"""Workers that die, and workers that are only taken for dead."""

import psycopg

from ..eventually import eventually_sync
from .conftest import Queue, Start
from .processes import Effects, Gate, passed
from .proxy import Proxy


def test_worker_killed_in_the_middle_of_a_job(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """The job of a killed worker runs again at once, at no cost in attempts, and is counted as a rescue."""
    victim = start(queue.url)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    start(queue.url)
    victim.kill()
    eventually_sync(lambda: effects.count(job, "began") == 2)
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["lost", "succeeded"]
    assert (queue.job(job)["attempts"], queue.job(job)["rescues"]) == (1, 1)


def test_job_that_kills_its_worker(queue: Queue, start: Start):
    """A job that crashes every worker is buried as SYSTEM_WORKER_LOST after MAX_RESCUES, and other jobs go on."""
    job = queue.submit("crash")
    for _ in range(2):
        assert start(queue.url, MAX_RESCUES="1").ended() < 0
    start(queue.url, MAX_RESCUES="1")
    eventually_sync(lambda: queue.status(job) == "failed")
    (letter,) = queue.query(
        "SELECT job_id, cause::text, failure_type, status::text, died_as, replays FROM afresh.dead_letter"
    )
    assert letter == {
        "job_id": job, "cause": "worker_lost", "failure_type": "SYSTEM_WORKER_LOST",
        "status": "pending", "died_as": job, "replays": 0,
    }  # fmt: skip
    assert queue.outcomes(job) == ["lost", "lost"]
    eventually_sync(queue.ended(queue.submit("touch")))


def test_worker_that_was_cut_off(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate):
    """The late result of a worker that was taken for lost is refused; it goes on with other jobs."""
    cut_off = start(proxy.url)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    other = start(queue.url)
    proxy.stall()
    eventually_sync(lambda: effects.count(job, "began") == 2)
    gate.open()
    eventually_sync(queue.ended(job))
    proxy.go_on()
    eventually_sync(lambda: cut_off.says("Background task discarded"))
    assert queue.outcomes(job) == ["lost", "succeeded"]
    assert queue.job(job)["attempts"] == 1
    assert other.stop() == 0
    eventually_sync(queue.ended(queue.submit("touch")))


def test_task_that_blocks_the_loop(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A worker whose event loop was blocked for too long finds its job taken, and goes on."""
    blocked = start(queue.url)
    job = queue.submit("block", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    start(queue.url)
    eventually_sync(lambda: effects.count(job, "began") == 2)
    gate.open()
    eventually_sync(lambda: blocked.says("Background task discarded"))
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["lost", "succeeded"]


def test_lonely_worker_that_was_blocked(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A worker does not rescue its own jobs after its own silence."""
    start(queue.url)
    job = queue.submit("block", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    for _ in passed(4):
        pass
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["succeeded"]
    assert effects.count(job) == 1


def test_worker_that_was_pruned(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A worker that finds itself pruned registers again; what it ran is rescued, and its late result refused."""
    worker = start(queue.url)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    queue.query("DELETE FROM procrastinate_workers")
    eventually_sync(lambda: effects.count(job, "began") == 2)
    gate.open()
    eventually_sync(queue.ended(job))
    eventually_sync(lambda: worker.says("Background task discarded"))
    assert queue.outcomes(job) == ["lost", "succeeded"]


def test_idle_worker_that_was_pruned(queue: Queue, start: Start):
    """A pruned worker that claims before its next heartbeat registers again instead of ending."""
    worker = start(queue.url, STALLED_AFTER="40s")
    eventually_sync(lambda: worker.says("Worker started"))
    queue.query("DELETE FROM procrastinate_workers")
    eventually_sync(queue.ended(queue.submit("touch")))
    assert worker.stop() == 0


def test_silence_of_everybody(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate):
    """After an outage longer than STALLED_AFTER nobody takes the jobs of workers who are just coming back."""
    # After an outage a beat comes within a heartbeat and half a second; that is to be well below two heartbeats.
    workers = [start(proxy.url, WORKER_CONCURRENCY="1", STALLED_AFTER="8s") for _ in range(2)]
    jobs = [queue.submit("wait", gate=gate) for _ in workers]
    eventually_sync(lambda: effects.counts("began") == dict.fromkeys(jobs, 1))
    proxy.refuse()
    for _ in passed(10):
        pass
    proxy.allow()
    eventually_sync(lambda: all(worker.says("Database back") for worker in workers))
    for _ in passed(5):
        pass
    gate.open()
    eventually_sync(queue.ended(*jobs))
    assert [queue.outcomes(job) for job in jobs] == [["succeeded"]] * 2


def test_heartbeat_on_a_connection_that_leads_nowhere(
    queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate
):
    """A heartbeat that gets no answer is soon sent on another connection, and its worker is not taken for lost."""
    start(proxy.url)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    start(queue.url, WORKER_QUEUES="nothing")
    trap = proxy.hold_answer("SET last_heartbeat = now()")
    eventually_sync(trap.caught.is_set)
    for _ in passed(5):
        pass
    trap.release()
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["succeeded"]


def test_submissions_that_hold_every_connection(queue: Queue, start: Start, effects: Effects):
    """Tasks whose submissions wait for a lock, on all connections there are, do not starve the heartbeat."""
    start(queue.url, WORKER_CONCURRENCY="12")
    start(queue.url, WORKER_QUEUES="nothing")
    with psycopg.connect(queue.url) as conn:
        conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock) "
            "VALUES ('nothing', 'faults.touch', 'taken')"
        )
        jobs = queue.submit_many("defer_twin", 12)
        eventually_sync(lambda: len(effects.counts("began")) == 12)
        for _ in passed(5):
            pass
        assert [outcome for job in jobs for outcome in queue.outcomes(job) if outcome == "lost"] == []
        conn.rollback()
    eventually_sync(lambda: queue.status(jobs[0]) != "doing")


def test_tasks_that_hold_every_connection(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """Tasks that hold all connections lent to them do not starve the heartbeat."""
    start(queue.url, WORKER_CONCURRENCY="12")
    start(queue.url, WORKER_QUEUES="nothing")
    jobs = [queue.submit("hold_connection", gate=gate) for _ in range(12)]
    eventually_sync(lambda: len(effects.counts("began")) == 10)
    for _ in passed(4):
        pass
    gate.open()
    eventually_sync(queue.ended(*jobs))
    assert {outcome for job in jobs for outcome in queue.outcomes(job)} == {"succeeded"}
