"""What the two functions that end runs promise: fenced, told apart, and all or nothing."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from .jobs import (
    add,
    attempts,
    claim,
    dead_letters,
    job,
    register,
    rows,
    settle_endings,
    settle_successes,
    status,
    value,
)

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

Connection = psycopg.AsyncConnection

BEGAN, ENDED, NEXT = (datetime(2030, 1, 1, 12, 0, second, 123456, tzinfo=UTC).isoformat() for second in (0, 1, 59))
FAILURE = {
    "exception_type": "ValueError",
    "message": "no",
    "traceback": "Traceback",
    "failure_type": "UNKNOWN",
    "confidence": 0.5,
    "fingerprint": "f",
    "reason": "because",
    "explanation": [{"name": "failure", "text": "UNKNOWN", "numbers": {}}],
}


def ending(job_id: int, attempt: int = 0, **changes: Any) -> dict[str, Any]:
    """The row of a run that ended without success; by default it failed and is retried."""
    row = {
        "job_id": job_id,
        "attempts": attempt,
        "claim": 1,
        "outcome": "failed",
        "counted": True,
        "status": "todo",
        "started_at": BEGAN,
        "ended_at": ENDED,
        "decision": "retry",
        "delay": 58.0,
        "next_run_at": NEXT,
    }
    return row | FAILURE | changes


def snoozed(job_id: int, **changes: Any) -> dict[str, Any]:
    """The row of a run that waits at no cost."""
    return ending(job_id, outcome="snoozed", counted=False, decision="snooze", waited={"budget": 58.0}) | changes


def released(job_id: int) -> dict[str, Any]:
    """The row of a run whose worker stopped."""
    return ending(job_id, outcome="released", counted=False, decision="snooze", failure_type=None)


def buried(job_id: int, attempt: int = 0, **changes: Any) -> dict[str, Any]:
    """The row of a run after which the job is dead."""
    last = {"status": "failed", "decision": "dead_letter", "delay": None, "next_run_at": None}
    return ending(job_id, attempt, cause="retries_spent", **changes) | last


async def running(conn: Connection, **columns: Any) -> tuple[int, int]:
    """A job that runs, and its worker."""
    (job_id,) = await add(conn, **columns)
    worker = await register(conn)
    assert [row["id"] for row in await claim(conn, worker=worker)] == [job_id]
    return job_id, worker


# --- successes


async def test_a_success_ends_the_job_and_counts(conn: Connection):
    """A run that succeeded ends its job, counts as an attempt and needs no row in our history."""
    job_id, worker = await running(conn)
    assert await settle_successes(conn, worker, {job_id: 0}) == {job_id: "applied"}
    row = await job(conn, job_id)
    assert (row["status"], row["attempts"]) == ("succeeded", 1)
    assert await attempts(conn, job_id) == []


async def test_a_success_settled_twice_is_a_success_once(conn: Connection):
    """A settlement that was written before its answer was lost is found already applied, and changes nothing."""
    job_id, worker = await running(conn)
    await settle_successes(conn, worker, {job_id: 0})
    assert await settle_successes(conn, worker, {job_id: 0}) == {job_id: "already"}
    assert (await job(conn, job_id))["attempts"] == 1


async def test_a_success_of_another_worker_is_refused(conn: Connection):
    """Only the worker that holds the job can end it."""
    job_id, _ = await running(conn)
    assert await settle_successes(conn, await register(conn), {job_id: 0}) == {job_id: "lost"}
    assert await status(conn, job_id) == "doing"


async def test_a_success_of_an_earlier_run_is_refused(conn: Connection):
    """A late success of an earlier attempt does not end the one that runs now, though the worker is the same."""
    job_id, worker = await running(conn)
    await settle_endings(conn, worker, ending(job_id, next_run_at=BEGAN.replace("2030", "2020"), delay=0))
    await claim(conn, worker=worker)
    assert await settle_successes(conn, worker, {job_id: 0}) == {job_id: "lost"}
    assert await status(conn, job_id) == "doing"


async def test_mixed_successes_get_their_own_verdicts(conn: Connection):
    """In one group each job has its own verdict, also one that no longer exists."""
    mine, worker = await running(conn)
    other, _ = await running(conn)
    verdicts = await settle_successes(conn, worker, {mine: 0, other: 0, 10**9: 0})
    assert verdicts == {mine: "applied", other: "lost", 10**9: "lost"}


async def test_results_are_stored_with_the_success(conn: Connection):
    """What a task returned is stored with its success, and not for a run that was refused."""
    mine, worker = await running(conn)
    other, _ = await running(conn)
    await settle_successes(conn, worker, {mine: 0, other: 0}, {mine: {"a": [1, None]}, other: 2})
    assert await rows(conn, "SELECT job_id, result FROM afresh.result") == [
        {"job_id": mine, "result": {"a": [1, None]}}
    ]


async def test_deleted_successes_are_gone_and_known(conn: Connection):
    """Where finished jobs are deleted, a second settlement still counts as applied."""
    job_id, worker = await running(conn)
    assert await settle_successes(conn, worker, {job_id: 0}, delete=True) == {job_id: "applied"}
    assert await value(conn, "SELECT count(*) FROM procrastinate_jobs") == 0
    assert await settle_successes(conn, worker, {job_id: 0}, delete=True) == {job_id: "already"}


# --- what follows a failure


async def test_runs_that_failed_alike_share_their_failure(conn: Connection):
    """A failure given once is recorded for every run that names it, dead or retried; a run that names none has none."""
    given = [FAILURE, FAILURE | {"message": "another", "fingerprint": "g"}]
    (alive, worker), (dead, _), (other, _), (idle, _) = [await running(conn) for _ in range(4)]
    await conn.execute("UPDATE procrastinate_jobs SET worker_id = %s", [worker])
    runs = [ending(alive), buried(dead), ending(other), released(idle)]
    for run, number in zip(runs, (0, 0, 1, None), strict=True):
        for name in FAILURE.keys() - {"reason", "explanation"}:
            del run[name]
        run["failure"] = number
    await settle_endings(conn, worker, *runs, failures=given)
    told = {each: (await attempts(conn, each))[0] for each in (alive, dead, other, idle)}
    assert {name: told[alive][name] for name in FAILURE} == FAILURE == {name: told[dead][name] for name in FAILURE}
    assert (told[other]["message"], told[other]["traceback"]) == ("another", "Traceback")
    assert (told[idle]["outcome"], told[idle]["failure_type"], told[idle]["message"]) == ("released", None, None)
    (letter,) = await dead_letters(conn, dead)
    assert (letter["message"], letter["fingerprint"], letter["failure_type"]) == ("no", "f", "UNKNOWN")


async def test_a_retry_waits_and_counts(conn: Connection):
    """A failure to be retried goes back with its time, and counts as an attempt."""
    job_id, worker = await running(conn)
    assert await settle_endings(conn, worker, ending(job_id)) == {job_id: ("applied", "failed")}
    row = await job(conn, job_id)
    assert (row["status"], row["attempts"], row["worker_id"]) == ("todo", 1, None)


async def test_the_recorded_time_is_the_jobs_time(conn: Connection):
    """The next run that history tells of is the job's own time, to the microsecond."""
    job_id, worker = await running(conn)
    await settle_endings(conn, worker, ending(job_id))
    (attempt,) = await attempts(conn, job_id)
    assert attempt["next_run_at"] == (await job(conn, job_id))["scheduled_at"] == datetime.fromisoformat(NEXT)
    assert attempt["delay"].total_seconds() == 58


async def test_an_attempt_is_recorded_whole(conn: Connection):
    """The row of an attempt tells who ran what when, what went wrong, what follows and why."""
    job_id, worker = await running(conn)
    await settle_endings(conn, worker, ending(job_id))
    (row,) = await attempts(conn, job_id)
    assert {name: row[name] for name in FAILURE} == FAILURE
    assert (row["worker_id"], row["claim"], row["attempt"], row["task_name"]) == (worker, 1, 1, "t")
    assert (row["started_at"], row["ended_at"]) == (datetime.fromisoformat(BEGAN), datetime.fromisoformat(ENDED))


@pytest.mark.parametrize("make", [snoozed, released], ids=["snoozed", "released"])
async def test_waiting_costs_no_attempt(conn: Connection, make: Any):
    """A snooze and a release leave the number of attempts as it was."""
    job_id, worker = await running(conn)
    await settle_endings(conn, worker, make(job_id))
    assert (await job(conn, job_id))["attempts"] == 0
    assert [row["counted"] for row in await attempts(conn, job_id)] == [False]


async def test_a_rescue_costs_no_attempt(conn: Connection):
    """A job taken over from a lost worker has spent no attempt, and its rescue is counted apart."""
    job_id, worker = await running(conn)
    await conn.execute("DELETE FROM procrastinate_workers WHERE id = %s", (worker,))
    lost = snoozed(job_id, outcome="lost", waited=None, started_at=None)
    assert await settle_endings(conn, None, lost, stalled_after="30 s") == {job_id: ("applied", "lost")}
    assert (await job(conn, job_id))["attempts"] == 0
    assert await value(conn, "SELECT rescues FROM afresh.rescue WHERE job_id = %s", job_id) == 1


async def test_a_living_worker_is_not_rescued_from(conn: Connection):
    """A rescue is refused while the job's worker beats."""
    job_id, _ = await running(conn)
    lost = snoozed(job_id, outcome="lost", waited=None, started_at=None)
    assert await settle_endings(conn, None, lost, stalled_after="30 s") == {job_id: ("lost", None)}
    assert await status(conn, job_id) == "doing"


async def test_waits_add_up_by_reason(conn: Connection):
    """What a job has waited is summed by reason, beside its other options."""
    job_id, worker = await running(conn)
    await conn.execute("INSERT INTO afresh.job_option (job_id, max_retries) VALUES (%s, 3)", (job_id,))
    found = []
    for waited in ({"budget": 30.0}, {"budget": 12.5, "rate_limit": 1.0}):
        await settle_endings(conn, worker, snoozed(job_id, waited=waited, next_run_at=BEGAN.replace("2030", "2020")))
        found = await claim(conn, worker=worker)
    assert (found[0]["waited"], found[0]["max_retries"]) == ({"budget": 42.5, "rate_limit": 1.0}, 3)


async def test_a_strategy_can_change_the_job(conn: Connection):
    """Priority, queue and lock change where a strategy says so, and stay where it does not."""
    job_id, worker = await running(conn, priority=1, lock="old")
    await settle_endings(conn, worker, ending(job_id, priority=7, queue_name="other"))
    row = await job(conn, job_id)
    assert (row["priority"], row["queue_name"], row["lock"]) == (7, "other", "old")


async def test_a_burial_writes_one_dead_letter(conn: Connection):
    """A job that dies is failed and has its dead letter, with what an operator needs to bring it back."""
    job_id, worker = await running(conn, priority=4, dependency="joke-api")
    assert await settle_endings(conn, worker, buried(job_id)) == {job_id: ("applied", "failed")}
    assert await status(conn, job_id) == "failed"
    (letter,) = await dead_letters(conn, job_id)
    kept = ("status", "cause", "task_name", "queue_name", "priority", "dependency", "attempts", "fingerprint")
    assert [letter[name] for name in kept] == ["pending", "retries_spent", "t", "q", 4, "joke-api", 1, "f"]


async def test_a_burial_settled_twice_is_one(conn: Connection):
    """The same settlement again finds itself applied: no second attempt, no second letter."""
    job_id, worker = await running(conn)
    await settle_endings(conn, worker, buried(job_id))
    assert await settle_endings(conn, worker, buried(job_id)) == {job_id: ("already", None)}
    assert len(await attempts(conn, job_id)) == len(await dead_letters(conn, job_id)) == 1


@pytest.mark.parametrize("thief", ["worker", "attempts", "claim"])
async def test_an_ending_is_fenced(conn: Connection, thief: str):
    """An ending applies only while the job runs under this worker and claim with as many attempts as that saw."""
    job_id, worker = await running(conn)
    row = buried(job_id, attempt=1 if thief == "attempts" else 0, claim=2 if thief == "claim" else 1)
    claimant = await register(conn) if thief == "worker" else worker
    assert await settle_endings(conn, claimant, row) == {job_id: ("lost", None)}
    assert await status(conn, job_id) == "doing"
    assert await attempts(conn, job_id) == await dead_letters(conn, job_id) == []


async def test_only_ended_jobs_are_deleted(conn: Connection):
    """Where finished jobs are deleted, those that go on stay, and history outlives the others."""
    goes_on, worker = await running(conn)
    (dies,) = await add(conn)
    await claim(conn, worker=worker)
    await settle_endings(conn, worker, ending(goes_on), buried(dies), delete=True)
    assert await rows(conn, "SELECT id FROM procrastinate_jobs") == [{"id": goes_on}]
    assert len(await dead_letters(conn, dies)) == len(await attempts(conn, dies)) == 1


# --- asked to abort


@pytest.mark.parametrize("make", [ending, snoozed, released], ids=["retry", "snooze", "release"])
async def test_what_would_wait_ends_when_it_was_asked_to_abort(conn: Connection, make: Any):
    """A job that was asked to abort does not go back to the queue: it ends as aborted."""
    job_id, worker = await running(conn)
    await conn.execute("SELECT procrastinate_cancel_job_v1(%s, true, false)", (job_id,))
    assert await settle_endings(conn, worker, make(job_id)) == {job_id: ("applied", "aborted")}
    row = await job(conn, job_id)
    assert (row["status"], row["abort_requested"], row["attempts"]) == ("aborted", False, 1)
    assert [(each["outcome"], each["decision"]) for each in await attempts(conn, job_id)] == [("aborted", None)]


async def test_a_failed_job_that_was_asked_to_abort_can_be_retried(conn: Connection):
    """The request does not outlive the run: Procrastinate's own retry brings the job back."""
    job_id, worker = await running(conn)
    await conn.execute("SELECT procrastinate_cancel_job_v1(%s, true, false)", (job_id,))
    await settle_endings(conn, worker, buried(job_id))
    await conn.execute("SELECT procrastinate_retry_job_v2(%s, now(), NULL, NULL, NULL)", (job_id,))
    assert await status(conn, job_id) == "todo"


# --- twins


@pytest.mark.parametrize("make", [ending, snoozed, released], ids=["retry", "snooze", "release"])
async def test_a_waiting_twin_wins(conn: Connection, make: Any):
    """A job that would wait behind a twin with its queueing lock ends as coalesced; the twin does its work."""
    job_id, worker = await running(conn, queueing_lock="same")
    (twin,) = await add(conn, queueing_lock="same")
    assert await settle_endings(conn, worker, make(job_id)) == {job_id: ("coalesced", "coalesced")}
    assert (await status(conn, job_id), await status(conn, twin)) == ("cancelled", "todo")
    (attempt,) = await attempts(conn, job_id)
    assert (attempt["decision"], attempt["next_run_at"]) == (None, None)
    assert attempt["reason"] == "because · a waiting twin has the same queueing lock"


async def test_a_coalesced_job_is_cancelled_in_procrastinates_events(conn: Connection):
    """Procrastinate's history tells of the end, too."""
    job_id, worker = await running(conn, queueing_lock="same")
    await add(conn, queueing_lock="same")
    await settle_endings(conn, worker, ending(job_id))
    events = await rows(conn, "SELECT type::text FROM procrastinate_events WHERE job_id = %s ORDER BY id", job_id)
    assert [event["type"] for event in events] == ["deferred", "started", "cancelled"]


async def test_of_two_twins_in_one_group_the_older_goes_on(conn: Connection):
    """Two runs of one queueing lock that end in the same group do not fail each other."""
    older, worker = await running(conn, queueing_lock="same")
    (younger,) = await add(conn, queueing_lock="same")
    await claim(conn, worker=worker)
    verdicts = await settle_endings(conn, worker, ending(younger), ending(older))
    assert verdicts == {older: ("applied", "failed"), younger: ("coalesced", "coalesced")}


async def test_a_dying_job_leaves_its_twin_alone(conn: Connection):
    """A job that does not go back needs no queueing lock, and is no coalesced one."""
    job_id, worker = await running(conn, queueing_lock="same")
    await add(conn, queueing_lock="same")
    assert await settle_endings(conn, worker, buried(job_id)) == {job_id: ("applied", "failed")}


async def test_one_group_holds_every_kind_of_ending(conn: Connection):
    """Retry, snooze, burial and abort are written side by side, each with its own verdict."""
    ids = await add(conn, 4)
    worker = await register(conn)
    await claim(conn, worker=worker)
    stop = ending(ids[3], outcome="aborted", status="aborted", decision=None, delay=None, next_run_at=None)
    found = await settle_endings(conn, worker, ending(ids[0]), snoozed(ids[1]), buried(ids[2]), stop)
    assert [found[each][1] for each in ids] == ["failed", "snoozed", "failed", "aborted"]
    assert [await status(conn, each) for each in ids] == ["todo", "todo", "failed", "aborted"]
