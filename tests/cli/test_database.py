"""`afresh migrate`, as people type it."""

import psycopg
import pytest

from ..postgres.adoption import fill, procrastinate_of
from .program import Run, afresh
from .test_doctor import live_worker


def migrate(database_url: str, *options: str, answer: str = "") -> Run:
    """Run it."""
    return afresh("migrate", *options, answer=answer, DATABASE_URL=database_url)


def is_there(database_url: str) -> bool:
    """Whether the schema is."""
    with psycopg.connect(database_url) as conn:
        return conn.execute("SELECT to_regclass('afresh.migration') IS NOT NULL").fetchone() == (True,)


def test_the_plan_of_an_adoption(empty_database_url: str):
    """On a database of Procrastinate's it ends with what happens to its jobs; else it says nothing of them."""
    assert "procrastinate_jobs" not in migrate(empty_database_url, "--plan").stdout
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        procrastinate_of(conn)
        fill(conn, 1000)
        conn.execute("ANALYZE")
    said = migrate(empty_database_url, "--plan").stdout
    assert said.startswith("would apply 0001_create_schema\n")
    assert "\nOn procrastinate_jobs, with about 1,000 jobs:\n  columns: " in said
    assert not is_there(empty_database_url)


def test_an_undo(database_url: str):
    """It says what goes, asks, and removes it."""
    planned = migrate(database_url, "--undo", "--plan")
    assert planned.returncode == 0
    assert planned.stdout.startswith("would drop the schema afresh, with ")
    refused = migrate(database_url, "--undo", answer="n\n")
    assert refused.returncode == 1
    assert refused.stdout.startswith(planned.stdout)
    assert is_there(database_url)
    assert migrate(database_url, "--undo", answer="y\n").returncode == 0
    assert not is_there(database_url)


def test_an_undo_without_a_terminal(database_url: str):
    """Who says yes beforehand is not asked; a second time there is nothing to do."""
    assert migrate(database_url, "--undo", "--yes").returncode == 0
    done = migrate(database_url, "--undo", "--yes")
    assert done.returncode == 0
    assert done.stdout == "There is nothing to undo: this database has no schema of Afresh.\n"


@pytest.mark.parametrize("options", [["--yes"], ["--yes", "--plan"]])
def test_yes_goes_with_undo(database_url: str, options: list[str]):
    """Alone it would seem to agree to something."""
    done = migrate(database_url, *options)
    assert (done.returncode, done.stderr) == (2, "afresh: --yes goes with --undo\n")


def test_an_undo_under_workers(database_url: str):
    """While a worker is alive it ends with one line, before it asks."""
    live_worker(database_url)
    planned = migrate(database_url, "--undo", "--plan")
    assert "As it is now, it would be refused: stop the workers of Afresh first, and its API: w.\n" in planned.stdout
    done = migrate(database_url, "--undo")
    assert (done.returncode, done.stderr) == (2, "afresh: stop the workers of Afresh first, and its API: w\n")
    assert is_there(database_url)
