"""Exactly-once effects: whenever its worker is killed, a task's writes and its job's end are both there, or neither."""

import pytest

from ..eventually import eventually_sync
from .conftest import Queue, Start
from .processes import Effects, Gate
from .proxy import Proxy


@pytest.fixture(autouse=True)
def charged(queue: Queue) -> None:
    """A table of the task's own, beside the queue."""
    queue.query("CREATE TABLE charged (job_id bigint)")


def both_or_neither(queue: Queue, job: int) -> bool:
    """Whether both are there; fails where only one is."""
    (row,) = queue.query(
        "SELECT (SELECT count(*) FROM charged) AS charged, (SELECT status::text FROM procrastinate_jobs WHERE id = %s) "
        "AS status, (SELECT count(*) FROM afresh.result) AS results",
        job,
    )
    done: bool = row["status"] == "succeeded"
    assert (row["charged"], row["results"]) == ((1, 1) if done else (0, 0)), row
    return done


@pytest.mark.parametrize("step", ["began", "entered", "written", "committed"])
def test_a_worker_killed_at_a_step(queue: Queue, start: Start, effects: Effects, gate: Gate, step: str):
    """Killed before, inside or after the transaction: no job is charged twice, and none is done without its charge."""
    worker = start(queue.url)
    job = queue.submit("charge", gate=gate, wait_at=step)
    eventually_sync(lambda: effects.count(job, step))
    worker.kill()
    assert both_or_neither(queue, job) is (step == "committed")
    gate.open()
    start(queue.url)
    eventually_sync(queue.ended(job))
    assert both_or_neither(queue, job)
    eventually_sync(lambda: effects.count(job, "committed") == 1)  # Noted when the job has succeeded already.
    assert queue.job(job)["result"] == "charged"


@pytest.mark.parametrize("statement", ["afresh.settle_successes", "COMMIT"])
def test_a_worker_killed_at_a_statement(  # noqa: PLR0913, PLR0917 - a kill between two processes
    queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate, statement: str
):
    """Killed when the job's end is written and not committed, or committed and unheard of: both, or neither."""
    worker = start(proxy.url)
    job = queue.submit("charge", gate=gate, wait_at="written")
    eventually_sync(lambda: effects.count(job, "written"))
    trap = proxy.hold_answer(statement)
    gate.open()
    eventually_sync(trap.caught.is_set)
    worker.kill()
    trap.release()
    assert both_or_neither(queue, job) is (statement == "COMMIT")
    start(queue.url)
    eventually_sync(queue.ended(job))
    assert both_or_neither(queue, job)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_that_is_lost(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate, cut: str):  # noqa: PLR0913, PLR0917 - a kill between two processes
    """Where the connection goes with the COMMIT, its worker finds out what came of it, and the job is charged once."""
    worker = start(proxy.url)
    job = queue.submit("charge", gate=gate, wait_at="written")
    eventually_sync(lambda: effects.count(job, "written"))
    trap = proxy.cut_after("COMMIT") if cut == "after" else proxy.cut_before("COMMIT")
    gate.open()
    eventually_sync(lambda: trap.caught.is_set() and queue.status(job) == "succeeded")
    assert both_or_neither(queue, job)
    assert worker.stop() == 0
    assert both_or_neither(queue, job)
