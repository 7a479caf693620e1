"""`afresh doctor`, as people type it."""

import re

import psycopg
import pytest

from .program import Run, afresh


def doctor(database_url: str, **settings: str) -> Run:
    """Run it, on a machine that is not full."""
    return afresh("doctor", DATABASE_URL=database_url, MAX_DISK_PERCENT="0", MAX_MEMORY_PERCENT="0", **settings)


def live_worker(database_url: str, *, queues: list[str] | None = None) -> None:
    """A worker that has just given a sign of life."""
    with psycopg.connect(database_url) as conn:
        row = conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone()
        assert row is not None
        conn.execute(
            "INSERT INTO afresh.worker VALUES (%s, 'w', 'host', 1, '0', %s, 10, 0, false, 1, 1, 1, 1, now(), now())",
            [row[0], queues],
        )


def found(done: Run, about: str) -> str:
    """The line about something."""
    (line,) = re.findall(rf"^\w+ +{about} .*$", done.stdout, re.MULTILINE)
    return str(line)


def test_all_is_well(database_url: str):
    """With a worker, and somebody to send alerts to, all is well, and no secret is shown."""
    live_worker(database_url)
    done = doctor(database_url, ALERT_URLS="json://someone:hunter22@127.0.0.1:9/")
    assert done.returncode == 0, done.stdout + done.stderr
    for about in ("settings", "tasks", "database", "schema", "clock", "workers", "monitoring", "memory", "alerts"):
        assert found(done, about).startswith("well")
    assert "hunter22" not in done.stdout + done.stderr


def test_nobody_works(database_url: str):
    """Without a worker it says so, what to do, and ends with 1."""
    done = doctor(database_url)
    assert done.returncode == 1
    assert found(done, "workers").startswith("mend")
    assert "start one with `afresh worker`" in done.stdout


def test_the_schema_is_behind(empty_database_url: str):
    """A schema that is behind is told, with the command that mends it."""
    done = doctor(empty_database_url)
    assert done.returncode == 1
    assert "run `afresh migrate`" in found(done, "schema")


def test_no_database():
    """A database that does not answer is told like everything else, without its password."""
    done = doctor("postgresql://nobody:hunter22@127.0.0.1:9/nothing")
    assert done.returncode == 1
    assert found(done, "database").startswith("mend")
    assert "hunter22" not in done.stdout + done.stderr


def test_queues_that_nobody_serves(database_url: str):
    """Where no worker takes jobs of the queues that look after the service, they are named."""
    live_worker(database_url, queues=["emails", "maintenance", "analytics", "dead_letters"])
    done = doctor(database_url)
    assert "no worker takes jobs of monitoring" in found(done, "queues")


def test_alerts_that_nobody_evaluates(database_url: str):
    """Alerts that have not been evaluated for a while have to be mended, with what to do."""
    live_worker(database_url)
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE afresh.monitoring SET evaluated_at = now() - interval '6 minutes'")
    done = doctor(database_url)
    assert found(done, "monitoring").startswith("mend")
    assert "have not been evaluated since" in " ".join(done.stdout.split())
    assert done.returncode == 1


@pytest.mark.parametrize(("urls", "verdict"), [("", "look"), ("nonsense://x", "mend")])
def test_alerts_that_reach_nobody(database_url: str, urls: str, verdict: str):
    """That alerts are sent nowhere is worth a look; an address that nobody understands has to be mended."""
    live_worker(database_url)
    done = doctor(database_url, ALERT_URLS=urls)
    assert found(done, "alerts").startswith(verdict)
    assert done.returncode == (verdict == "mend")


def test_a_wrong_setting(database_url: str):
    """A wrong setting is one line, and exit code 2, as everywhere."""
    done = doctor(database_url, ALERT_ERROR_PERCENT="many")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "ALERT_ERROR_PERCENT" in done.stderr


@pytest.mark.parametrize(
    ("settings", "verdict", "told"),
    [
        ({}, "mend", "set SMTP_URL and MAIL_FROM"),
        ({"SMTP_URL": "smtp://127.0.0.1", "MAIL_FROM": "shop@example.com"}, "well", "boss@example.com"),
    ],
)
def test_a_report_that_reaches_nobody(database_url: str, settings: dict[str, str], verdict: str, told: str):
    """That the daily report is to be mailed, and no mail can be sent, has to be mended."""
    done = doctor(database_url, REPORT_MAIL_TO="Boss <boss@example.com>", **settings)
    assert found(done, "report").startswith(verdict)
    assert told in found(done, "report")
