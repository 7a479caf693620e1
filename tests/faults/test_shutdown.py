"""Ends that were asked for: nothing is lost, nothing costs an attempt, and the exit code tells the truth."""

import signal
import time

import pytest

from ..eventually import eventually_sync
from .conftest import Queue, Start
from .processes import Effects, Gate, passed
from .proxy import Proxy


def test_heart_beats_while_draining(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A worker that drains for longer than STALLED_AFTER is not taken for lost."""
    draining = start(queue.url, SHUTDOWN_GRACE="20s")
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    other = start(queue.url)
    eventually_sync(lambda: other.says("Worker started"))
    draining.signal(signal.SIGTERM)
    for _ in passed(4):
        pass
    gate.open()
    assert draining.ended() == 0
    assert queue.outcomes(job) == ["succeeded"]
    assert effects.count(job, "began") == 1


@pytest.mark.parametrize("task", ["wait", "wait_in_thread"])
def test_unfinished_jobs_go_back(queue: Queue, start: Start, effects: Effects, gate: Gate, task: str):
    """A job that does not end in time goes back to the queue at no cost, and the exit code is 0."""
    worker = start(queue.url)
    job = queue.submit(task, gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    assert worker.stop() == 0
    assert queue.outcomes(job) == ["released"]
    assert (queue.status(job), queue.job(job)["attempts"], queue.job(job)["rescues"]) == ("todo", 0, 0)
    gate.open()
    start(queue.url)
    eventually_sync(queue.ended(job))
    assert queue.job(job)["attempts"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal(queue: Queue, start: Start, effects: Effects, gate: Gate, number: signal.Signals):
    """The second signal ends the worker at once, whatever it waits for."""
    worker = start(queue.url, SHUTDOWN_GRACE="60s")
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    began = time.monotonic()
    while worker.lives and time.monotonic() < began + 40:
        worker.signal(number)
        for _ in passed(0.1):
            pass
    assert worker.ended(0.1) == -number
    assert queue.status(job) == "doing"


@pytest.mark.parametrize("command", ["procrastinate", "afresh"])
def test_second_signal_to_a_worker_that_is_blocked(
    queue: Queue, start: Start, effects: Effects, gate: Gate, command: str
):
    """The second signal ends the worker at once also while a task blocks its event loop."""
    worker = start(queue.url, SHUTDOWN_GRACE="60s", command=command)
    job = queue.submit("block", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    began = time.monotonic()
    while worker.lives and time.monotonic() < began + 40:
        worker.signal(signal.SIGTERM)
        for _ in passed(0.1):
            pass
    assert worker.ended(0.1) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["procrastinate", "afresh"])
def test_idle_worker_that_is_told_to_end(queue: Queue, start: Start, number: signal.Signals, command: str):
    """A worker that sleeps until its next poll ends at once, with exit code 0."""
    worker = start(queue.url, "--fetch-job-polling-interval=60", command=command)
    eventually_sync(lambda: worker.says("Worker started"))
    eventually_sync(queue.ended(queue.submit("touch")))
    for _ in passed(0.5):
        pass
    worker.signal(number)
    assert worker.ended(30) == 0  # Half of the polling interval.


def test_task_that_refuses_to_end(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A task that ignores its cancellation loses its job all the same."""
    worker = start(queue.url)
    job = queue.submit("refuse_to_end", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    worker.signal(signal.SIGTERM)
    eventually_sync(lambda: queue.outcomes(job) == ["released"])
    gate.open()
    assert worker.ended() == 0
    assert queue.status(job) == "todo"


@pytest.mark.parametrize("command", ["procrastinate", "afresh"])
def test_end_during_an_outage(  # noqa: PLR0913, PLR0917 - one story of a worker, its job and an outage.
    queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate, command: str
):
    """A worker that cannot store how its jobs ended says so and exits with 1; they run again."""
    worker = start(proxy.url, command=command)
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    proxy.refuse()
    gate.open()
    eventually_sync(lambda: effects.count(job) == 1)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 1
    assert "could not be stored" in worker.text()
    assert "Traceback" not in worker.text()
    start(queue.url)
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["lost", "succeeded"]


def test_end_while_the_database_hangs(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate):
    """A worker whose database has stopped answering ends within what its supervisor gives it, and as honestly."""
    worker = start(proxy.url, command="afresh")
    job = queue.submit("wait", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    proxy.stall()
    gate.open()
    eventually_sync(lambda: effects.count(job) == 1)
    worker.signal(signal.SIGTERM)
    assert worker.ended(32) == 1  # 2 × SHUTDOWN_GRACE + 30 s, as docs/operations.md has it.
    assert "could not be stored" in worker.text()
    assert "Traceback" not in worker.text()


def claim_ahead(queue: Queue, start: Start, effects: Effects, gate: Gate) -> tuple[list[int], Gate]:
    """Have a worker with one slot claim a job that blocks its loop, and three behind it with queueing locks.

    How many it claims depends on how long its jobs have lasted lately: where the machine was held up just then it is
    tried again, twice at most, with another gate.
    """
    start(queue.url, WORKER_CONCURRENCY="1", STALLED_AFTER="40s")
    statuses: list[str] = []
    for _ in range(3):
        ahead = behind_a_blocking_job(queue, effects, gate)
        statuses = [queue.status(job) for job in ahead]
        if statuses == ["doing"] * 3:
            return ahead, gate
        gate.open()
        gate = Gate(gate.path.with_name(f"{gate.path.name} again"))
    raise AssertionError(f"the jobs behind the one that blocks are {statuses}")


def behind_a_blocking_job(queue: Queue, effects: Effects, gate: Gate) -> list[int]:
    """Have it run short jobs, then one that blocks; return those that come behind it."""
    queue.submit_many("touch", 100)
    eventually_sync(queue.all_ended)
    rows = queue.query(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, queueing_lock) SELECT 'default', "
        "CASE n WHEN 0 THEN 'faults.block' ELSE 'faults.touch' END, "
        "CASE n WHEN 0 THEN jsonb_build_object('gate', %s::text) ELSE '{}' END, 'lock ' || n "
        "FROM generate_series(0, 3) n RETURNING id",
        str(gate),
    )
    blocking, *ahead = (int(row["id"]) for row in rows)
    eventually_sync(lambda: effects.count(blocking, "began") == 1)
    return ahead


def test_jobs_claimed_ahead_whose_twins_wait(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A job claimed ahead that cannot go back, because a twin holds its queueing lock by now, is not stuck."""
    ahead, gate = claim_ahead(queue, start, effects, gate)
    twins = [queue.submit("touch", queueing_lock=f"lock {n}") for n in (1, 2, 3)]
    gate.open()
    eventually_sync(queue.ended(*twins))
    eventually_sync(lambda: {queue.status(job) for job in ahead} <= {"succeeded", "cancelled"})


def test_abort_of_jobs_claimed_ahead(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A job claimed ahead whose abort is requested ends aborted without having run."""
    ahead, gate = claim_ahead(queue, start, effects, gate)
    for job in ahead:
        queue.query("SELECT procrastinate_cancel_job_v1(%s, true, false)", job)
    gate.open()
    eventually_sync(lambda: {queue.status(job) for job in ahead} <= {"succeeded", "aborted"})
    assert "aborted" in {queue.status(job) for job in ahead}
    assert all(effects.count(job) == (queue.status(job) == "succeeded") for job in ahead)
