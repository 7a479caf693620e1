"""Databases of Procrastinate's that were there before Afresh."""

import importlib.resources

import psycopg

NEWEST = "03.04.00_50"
"""The last of Procrastinate's own migrations: 3.4 and 3.10 have the same schema."""


def procrastinate_of(conn: psycopg.Connection, newest: str = NEWEST) -> None:
    """Make the schema by Procrastinate's own migrations up to one, as a database has it that grew with them."""
    for file in sorted(importlib.resources.files("procrastinate").joinpath("sql/migrations").iterdir(), key=str):
        if file.name.endswith(".sql") and file.name <= f"{newest}~":
            conn.execute(file.read_text(encoding="utf-8").encode())


def fill(conn: psycopg.Connection, count: int) -> None:
    """Jobs of every status that a plain Procrastinate leaves, with a lock and a time here and there."""
    conn.execute(
        """
        INSERT INTO procrastinate_jobs (queue_name, task_name, status, lock, scheduled_at, attempts, args)
        SELECT 'q' || n %% 3, 't', (ARRAY['todo', 'succeeded', 'failed', 'cancelled', 'aborted'])[n %% 5 + 1]
                                  ::procrastinate_job_status,
               CASE n %% 4 WHEN 0 THEN 'lock' || n END, CASE n %% 6 WHEN 0 THEN now() + interval '1 day' END, n %% 2,
               jsonb_build_object('n', n)
        FROM generate_series(1, %s) AS n
        """,
        [count],
    )
