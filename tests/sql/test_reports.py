"""The reports that people run, through a real psql."""

import os
import re
import subprocess

import pytest
from psycopg import AsyncConnection

from app.postgres.programs import find_programs
from app.postgres.sqlfiles import sql_dir

from ..application import run_waiting_jobs, serving, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.matrix]

REPORTS = {path.name: path.read_text() for path in sorted((sql_dir() / "reports").glob("*.sql"))}
"""Their texts, by file name."""


def run_report(database_url: str, report: str, *options: str) -> str:
    """What psql prints, without decoration, in a session that may not write, as on a hot standby."""
    path = sql_dir() / "reports" / report
    command = [
        str(find_programs().bin / "psql"), "--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1",
        f"--dbname={database_url}", *options, f"--file={path}",
    ]  # fmt: skip
    environment = os.environ | {"PGOPTIONS": "-c default_transaction_read_only=on"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture
async def history(anyio_backend: str, database_url: str, conn: AsyncConnection) -> str:  # noqa: ARG001 - it makes the fixture async
    """A database in which job 1 succeeded, job 2 failed, job 3 waits, and job 4 has been running for an hour."""
    async with serving(settings_for(database_url)) as (queue, client):
        await client.post("/tasks/add", json={"args": {"a": 1}})
        await client.post("/tasks/fail", json={"args": {"message": "no luck", "password": "hunter2"}})
        await run_waiting_jobs(queue)
        await client.post("/tasks/add", json={"args": {"a": 2}, "run_in": "1h"})
        await client.post("/tasks/add", json={"args": {"a": 3}})
    await conn.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = 4")
    await conn.execute("UPDATE procrastinate_events SET at = now() - interval '1 hour' WHERE job_id = 4")
    await conn.execute(
        "INSERT INTO afresh.attempt (job_id, attempt, outcome, counted, task_name, queue_name, started_at, ended_at, "
        "failure_type, exception_type, message, decision, delay, next_run_at, reason, confidence) VALUES "
        "(3, 1, 'failed', true, 'sample.add', 'sums', now(), now(), 'TRANSIENT_NETWORK', 'E', 'm', 'retry', '2 s', "
        "now(), 'because', 0.97)"
    )
    await conn.execute("UPDATE procrastinate_jobs SET attempts = 2 WHERE id = 3")
    return database_url


def test_the_guide_names_them():
    """The guide lists every report there is, and no other."""
    page = (sql_dir().parent / "docs" / "guide" / "sql.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+\.sql)` \|", page, re.MULTILINE)) == list(REPORTS)


@pytest.mark.parametrize("report", REPORTS)
async def test_runs_on_an_empty_database(database_url: str, report: str):
    """Every report runs where there is nothing to report, without options where it can."""
    options = ["--set=job_id=1"] if ":job_id" in REPORTS[report] else []
    assert run_report(database_url, report, *options) == ""


@pytest.mark.parametrize("report", REPORTS)
async def test_never_shows_arguments(history: str, report: str):
    """No report selects arguments, and each says how it is run."""
    text = REPORTS[report]
    assert not re.search(r"\bargs\b|\*", re.sub(r"count\(\*\)|100\.0 \*", "", text))
    assert f"-f sql/reports/{report}" in text
    assert "hunter2" not in run_report(history, report, "--set=job_id=2")


async def test_attempts_of_a_job(history: str):
    """One line for each attempt of the job, with what failed and why it ended so."""
    (line,) = run_report(history, "attempts_of_a_job.sql", "--set=job_id=2").splitlines()
    assert line.startswith("1|failed|")
    assert "tests.sample_tasks.RefusedError|no luck|dead_letter" in line


def test_attempts_of_no_job(database_url: str):
    """Without a job, the report says how to name one."""
    path = sql_dir() / "reports" / "attempts_of_a_job.sql"
    command = [str(find_programs().bin / "psql"), "--no-psqlrc", f"--dbname={database_url}", f"--file={path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.startswith("Which job?")
    assert "-v job_id=1" in done.stderr


async def test_retry_history(history: str):
    """One line for each decision to try again."""
    (line,) = run_report(history, "retry_history.sql", "--set=hours=1").splitlines()
    assert "|3|sample.add|1|TRANSIENT_NETWORK|0.97|m|2.0|" in line
    assert line.endswith("|retrying|because")


async def test_jobs_with_retries(history: str):
    """The jobs that needed more than one attempt."""
    (line,) = run_report(history, "jobs_with_retries.sql").splitlines()
    assert line.startswith("3|sample.add|sums|retrying|2|")


async def test_failed_and_long_running(history: str):
    """The jobs that failed, and those that have run for longer than asked."""
    lines = run_report(history, "failed_and_long_running_jobs.sql", "--set=minutes=30").splitlines()
    assert [line.split("|")[:2] for line in lines] == [["running long", "4"], ["failed", "2"]]
    lines = run_report(history, "failed_and_long_running_jobs.sql", "--set=minutes=90").splitlines()
    assert [line.split("|")[:2] for line in lines] == [["failed", "2"]]


async def test_completion_rate(history: str):
    """The share of ended jobs that succeeded, by task."""
    lines = run_report(history, "completion_rate.sql").splitlines()
    assert lines == ["sample.fail|1|0|0.0|1.00", "sample.add|1|1|100.0|1.00"]


async def test_slowest_tasks(history: str, conn: AsyncConnection):
    """The tasks whose attempts took longest, the slowest first, with those that failed and what all of them took."""
    await conn.execute("UPDATE afresh.attempt SET started_at = ended_at - interval '1 s' * job_id")
    await conn.execute(
        "UPDATE procrastinate_events SET at = now() - interval '9 s' * (type = 'started')::integer WHERE job_id = 1"
    )
    lines = run_report(history, "slowest_tasks.sql").splitlines()
    assert lines == ["sample.add|2|1|6.000|8.700|9.000|12.0", "sample.fail|1|1|2.000|2.000|2.000|2.0"]
    await conn.execute("UPDATE procrastinate_events SET at = at - interval '2 h' WHERE job_id = 1")
    await conn.execute("UPDATE afresh.attempt SET counted = false, outcome = 'released' WHERE job_id = 2")
    lines = run_report(history, "slowest_tasks.sql", "--set=hours=1").splitlines()
    assert lines == ["sample.add|1|1|3.000|3.000|3.000|3.0"]


async def test_counts_by_state(history: str):
    """How many jobs are in each state, by queue."""
    lines = run_report(history, "counts_by_state.sql").splitlines()
    assert [line.split("|")[:3] for line in lines] == [
        ["default", "failed", "1"],
        ["sums", "retrying", "1"],
        ["sums", "running", "1"],
        ["sums", "succeeded", "1"],
    ]


async def test_failure_groups(history: str, conn: AsyncConnection):
    """One line for each cause of failures seen lately, with how often, its tasks and its status."""
    (line,) = run_report(history, "failure_groups.sql", "--set=hours=1").splitlines()
    assert "|open|1|1|" in line
    assert "|tests.sample_tasks.RefusedError|no luck|" in line
    assert line.endswith("|sample.fail||")
    await conn.execute("UPDATE afresh.attempt SET ended_at = ended_at - interval '2 h', started_at = '2020-01-01'")
    assert run_report(history, "failure_groups.sql", "--set=hours=1") == ""


async def test_dead_letters(history: str):
    """One line for each group of letters, with how many wait and what helps."""
    (line,) = run_report(history, "dead_letters.sql").splitlines()
    assert line.startswith("sample.fail|TRANSIENT_NETWORK|retries_spent|MANUAL_RETRY|")
    assert "|1|0|0|0|" in line
    assert line.endswith("tests.sample_tasks.RefusedError: no luck|1")
