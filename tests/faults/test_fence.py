"""What is written about a run applies to that run, however often and however late it is written."""

import pytest

from ..eventually import eventually_sync
from .conftest import Queue, Start
from .processes import Effects, Gate
from .proxy import Proxy, Trap
from .test_outage import listeners


def hold_claim_of(job: int, queue: Queue, proxy: Proxy) -> Trap:
    """Withhold the answer of the claim that takes the job; claims that find nothing pass."""
    while True:
        trap = proxy.hold_answer("afresh.claim(")
        eventually_sync(trap.caught.is_set)
        if queue.status(job) == "doing":
            return trap
        trap.release()


def test_success_whose_answer_was_lost(queue: Queue, proxy: Proxy, start: Start, effects: Effects):
    """A success whose acknowledgement was interrupted is acknowledged after reconnecting, and told once."""
    trap = proxy.cut_after("afresh.settle_successes")
    worker = start(proxy.url, LOG_LEVEL="DEBUG")
    job = queue.submit("touch", value=7)
    eventually_sync(lambda: trap.caught.is_set() and worker.says("Database back"))
    assert queue.status(job) == "succeeded"
    assert queue.job(job)["result"] == 7
    assert effects.count(job) == 1
    assert worker.stop() == 0  # What it had to tell, it has told.
    assert sum("succeeded" in str(line["event"]) and line.get("job_id") == job for line in worker.lines()) == 1


def test_success_that_never_arrived(queue: Queue, proxy: Proxy, start: Start, effects: Effects):
    """A success that the server never saw is kept, and written after reconnecting."""
    trap = proxy.cut_before("afresh.settle_successes")
    start(proxy.url)
    job = queue.submit("touch", value=7)
    eventually_sync(queue.ended(job))
    assert trap.caught.is_set()
    assert queue.job(job)["result"] == 7
    assert effects.count(job) == 1


def test_snooze_whose_answer_was_lost(queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate):
    """A snooze whose COMMIT went unheard is not written again over the run that the same worker claimed next."""
    trap = proxy.cut_after("afresh.settle_endings")
    start(proxy.url)
    job = queue.submit("slow_down", gate=gate)
    eventually_sync(trap.caught.is_set)
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["snoozed", "succeeded"]
    assert effects.count(job) == 2
    assert queue.job(job)["attempts"] == 1


def test_snooze_written_again_while_its_job_is_claimed_again(
    queue: Queue, proxy: Proxy, start: Start, effects: Effects, gate: Gate
):
    """A snooze is not applied to the next run of its job either while the claim of that run is still unheard."""
    worker = start(proxy.url)
    eventually_sync(lambda: worker.says("Worker started"))
    settled = proxy.cut_after("afresh.settle_endings")
    job = queue.submit("slow_down", gate=gate)
    eventually_sync(settled.caught.is_set)
    gate.open()
    claimed = hold_claim_of(job, queue, proxy)
    eventually_sync(lambda: worker.says("Database back"))  # The snooze has been written again by now.
    assert queue.outcomes(job) == ["snoozed"]
    claimed.release()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["snoozed", "succeeded"]
    assert effects.count(job) == 2


@pytest.mark.parametrize(
    ("statement", "count"), [("afresh.claim(", 3), ("SET status = 'doing'", 1)], ids=["of several", "of one announced"]
)
def test_claim_whose_answer_was_lost(  # noqa: PLR0913, PLR0917 - two of them are one case
    queue: Queue, proxy: Proxy, start: Start, effects: Effects, statement: str, count: int
):
    """A job whose claim was committed, but went unheard, is found and run by the worker that it was given to."""
    worker = start(proxy.url)
    eventually_sync(lambda: worker.says("Worker started") and listeners(queue))
    eventually_sync(queue.ended(queue.submit("touch")))
    trap = proxy.cut_after(statement)
    jobs: list[int] = []
    while not trap.caught.is_set():  # Now and then something else wakes the worker at the same moment.
        jobs += queue.submit_many("touch", count)
        eventually_sync(queue.ended(*jobs))
    assert {effects.count(job) for job in jobs} == {1}
    assert [queue.outcomes(job) for job in jobs] == [["succeeded"]] * len(jobs)
