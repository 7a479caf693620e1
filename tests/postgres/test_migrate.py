"""Migrations are applied once each, in order, whoever else is at it."""

import psycopg

from app.postgres.migrate import migrate, plan


def test_a_second_run_changes_nothing(empty_database_url: str):
    """Migrating twice applies every step once."""
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        assert [step.number for step in migrate(conn)][:2] == [0, 1]
        assert migrate(conn) == []
        assert plan(conn) == []
