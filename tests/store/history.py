"""Failures as settling records them, without jobs."""

from typing import Any

from psycopg import AsyncConnection

RECORD = """
INSERT INTO afresh.attempt (
    job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, exception_type, message, traceback,
    failure_type, remediation, fingerprint, decision, delay, next_run_at
)
SELECT %(job_id)s, %(attempt)s, 'failed', true, %(task)s, 'q', ended - interval '2 s', ended, 'lib.Error', %(message)s,
       'Traceback of ' || %(message)s, %(failure_type)s, 'AUTO_RETRY', %(fingerprint)s,
       %(decision)s::text::afresh.decision,
       CASE WHEN %(decision)s <> 'dead_letter' THEN interval '1 min' END,
       CASE WHEN %(decision)s <> 'dead_letter' THEN ended END
FROM (SELECT now() - make_interval(hours => %(hours_ago)s) AS ended) AS t
"""

PLAIN: dict[str, Any] = {
    "job_id": 1,
    "attempt": 1,
    "task": "t",
    "message": "refused",
    "failure_type": "UNKNOWN",
    "fingerprint": "f",
    "decision": "retry",
    "hours_ago": 0,
}


async def fail(conn: AsyncConnection[Any], **differing: Any) -> None:
    """A failed attempt."""
    await conn.execute(RECORD, PLAIN | differing)


async def put_off(conn: AsyncConnection[Any], job_id: int) -> None:
    """A job that came three hours ago, in the peak, and was put off for an hour."""
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at,"
        " decision, delay, next_run_at, explanation)"
        " SELECT %s, 1, 'snoozed', false, 't', 'q', came, came, 'snooze', interval '1 h', came + interval '1 h',"
        " '[{\"name\": \"off_peak\"}]' FROM (SELECT now() - interval '3 hours') AS t (came)",
        [job_id],
    )


async def recover(conn: AsyncConnection[Any], *, failures: int = 1, **differing: Any) -> None:
    """A job that fails so often, and then succeeds."""
    cursor = await conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, attempts) VALUES ('q', 't', 'doing', %s) "
        "RETURNING id",
        [failures],
    )
    ((job_id,),) = await cursor.fetchall()
    for attempt in range(1, failures + 1):
        await fail(conn, **differing, job_id=job_id, attempt=attempt)
    await conn.execute(
        "UPDATE procrastinate_jobs SET status = 'succeeded', attempts = attempts + 1 WHERE id = %s", [job_id]
    )
