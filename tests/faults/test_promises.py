"""What jobs may rely on among several workers: one run where one is promised, and an end for each job."""

import pytest

from ..eventually import eventually_sync
from .conftest import Queue, Start
from .processes import Effects, Gate


def test_task_that_is_nowhere(queue: Queue, start: Start):
    """A job whose task no worker knows is snoozed for UNKNOWN_TASK_GRACE at no cost, and then buried."""
    start(queue.url, UNKNOWN_TASK_GRACE="4s")
    job = queue.submit("nowhere")
    eventually_sync(lambda: queue.outcomes(job) == ["snoozed"])
    assert queue.job(job)["attempts"] == 0
    eventually_sync(lambda: queue.status(job) == "failed")
    (letter,) = queue.query("SELECT cause::text FROM afresh.dead_letter WHERE job_id = %s", job)
    assert letter == {"cause": "unknown_task"}


def test_task_that_is_deployed_in_time(queue: Queue, start: Start, effects: Effects):
    """A job that met a worker without its task runs on one that has it."""
    behind = start(queue.url, UNKNOWN_TASK_GRACE="4s", TASK_MODULES="")
    job = queue.submit("touch")
    eventually_sync(lambda: queue.outcomes(job) == ["snoozed"])
    assert behind.stop() == 0
    start(queue.url)
    eventually_sync(queue.ended(job))
    assert effects.count(job) == 1


def test_retry_whose_twin_waits(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """A retry whose queueing lock a waiting twin holds ends as coalesced; the twin does its work."""
    start(queue.url, WORKER_CONCURRENCY="1")
    job = queue.submit("fail_later", queueing_lock="one", gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    twin = queue.submit("touch", queueing_lock="one", queue="elsewhere")
    gate.open()
    eventually_sync(lambda: queue.outcomes(job) == ["coalesced"])
    assert queue.status(job) == "cancelled"
    start(queue.url, WORKER_QUEUES="elsewhere")
    eventually_sync(queue.ended(twin))


@pytest.mark.parametrize("task", ["wait", "fail_later"])
def test_abort_and_another_try(queue: Queue, start: Start, effects: Effects, gate: Gate, task: str):
    """An async task that is aborted ends aborted, whatever its retry policy, and can be put back later."""
    start(queue.url, "--fetch-job-polling-interval=0.2")
    job = queue.submit(task, gate=gate)
    eventually_sync(lambda: effects.count(job, "began") == 1)
    queue.query("SELECT procrastinate_cancel_job_v1(%s, true, false)", job)
    eventually_sync(lambda: queue.status(job) == "aborted")
    assert queue.outcomes(job) == ["aborted"]
    queue.query("UPDATE procrastinate_jobs SET status = 'todo', scheduled_at = NULL WHERE id = %s", job)
    eventually_sync(lambda: effects.count(job, "began") == 2)


def test_threads_for_every_slot(queue: Queue, start: Start, effects: Effects, gate: Gate):
    """As many sync tasks run at the same time as the concurrency says, however few processors there are."""
    start(queue.url, WORKER_CONCURRENCY="20")
    jobs = [queue.submit("wait_in_thread", gate=gate) for _ in range(20)]
    eventually_sync(lambda: len(effects.counts("began")) == 20)
    gate.open()
    eventually_sync(queue.ended(*jobs))


def test_one_lock_and_two_workers(queue: Queue, start: Start, effects: Effects):
    """Jobs of one lock run one at a time, each once, however many workers there are."""
    for _ in range(2):
        start(queue.url)
    jobs = [queue.submit("take_turns", lock="one") for _ in range(30)]
    eventually_sync(queue.ended(*jobs))
    turns = [line.split()[:2] for line in effects.file.read_text(encoding="utf-8").splitlines()]
    assert turns == [[str(job), step] for job in jobs for step in ("enters", "leaves")]


def test_many_jobs_and_three_workers(queue: Queue, start: Start, effects: Effects):
    """No job is run by two workers."""
    for _ in range(3):
        start(queue.url)
    jobs = queue.submit_many("touch", 1000)
    eventually_sync(queue.all_ended)
    assert effects.counts() == dict.fromkeys(jobs, 1)
