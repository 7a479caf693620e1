"""Jobs to put into a database before it is measured, by plain SQL and the same for both contenders."""

import psycopg

LIVED_IN = 10_000


def history(conn: psycopg.Connection) -> None:
    """What a database that has been at work holds: finished jobs with their events.

    On tables that are empty when a session begins, Postgres keeps plans that read the whole table for each row.
    """
    ready(conn, LIVED_IN)
    conn.execute("UPDATE procrastinate_jobs SET status = 'doing'")
    conn.execute("UPDATE procrastinate_jobs SET status = 'succeeded', attempts = 1")


def ready(conn: psycopg.Connection, count: int, *, task: str = "noop") -> None:
    """Jobs that may run now, older than none that is there."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'default', %s FROM generate_series(1, %s)",
        [task, count],
    )


def scheduled(conn: psycopg.Connection, count: int) -> None:
    """Jobs for tomorrow, a second apart."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at)"
        " SELECT 'default', 'noop', now() + interval '1 day' + g * interval '1 second' FROM generate_series(1, %s) g",
        [count],
    )


def of_paused_queue(conn: psycopg.Connection, count: int) -> None:
    """Jobs of a queue that somebody paused."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) SELECT 'paused', 'noop' FROM generate_series(1, %s)",
        [count],
    )
    conn.execute("INSERT INTO afresh.hold VALUES ('queue', 'paused', 'measured', 'bench')")


def of_open_dependency(conn: psycopg.Connection, count: int) -> None:
    """Jobs whose dependency is down."""
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, afresh_dependency)"
        " SELECT 'default', 'noop', 'down' FROM generate_series(1, %s)",
        [count],
    )
    conn.execute("INSERT INTO afresh.hold VALUES ('dependency', 'down', 'measured', 'bench')")
