"""The demo as a person watches it, at a pipe."""

import re
import signal
import tempfile
from pathlib import Path

import httpx
import psycopg
import pytest

from .programs import AFRESH, Project


@pytest.mark.timeout(300)  # Less than a minute on a quiet machine.
def test_the_demo_tells_its_story(project: Project, empty_database_url: str):
    """Without a terminal and without internet, the demo ends by itself and shows what became of each job, and why.

    The database of the settings is not touched, and what else they say is not heeded.
    """
    settings = {
        "DATABASE_URL": empty_database_url,
        "ADMIN_API_KEY": "a-key-that-is-not-the-demos",
        "RETRY_BUDGET": "0",
        "DEPENDENCY__JOKE_API__BREAKER_SECONDS": "10m",
        "POLICY__TRANSIENT_NETWORK__MAX_RETRIES": "0",
        "BREAKER_EARLY_PROBE": "false",
        "MAX_MEMORY_PERCENT": "1",
    }
    code, text = project.run(*AFRESH, "demo", within=240, **settings)
    assert code == 0, text
    assert "9 succeeded, 7 of them not at once, and 3 are dead letters" in text
    for reason in (
        "retry-after 3 s is the floor",
        "waits without",
        "PERMANENT_NOT_FOUND",
        "all 3 retries spent",
        "TRANSIENT_TIMEOUT",
        "TRANSIENT_NETWORK",
    ):
        assert reason in text
    assert "3 dead letters replayed: 2 resolved, 1 pending again" in text
    for move in ("closed → open", "half-open → ramping", "ramping → closed"):
        assert move in text
    outage = re.search(r"(\d+) jobs around the outage: (\d+) succeeded .* called (\d+) times while it was down", text)
    assert outage is not None, text
    jobs, succeeded, refused = map(int, outage.groups())
    assert succeeded == jobs >= 18
    assert refused <= jobs  # Without a breaker each job that comes while it is down is refused, again and again.
    assert "Traceback" not in text
    happened = text.partition("what happened")[2]
    for what in (
        rf"jobs, with those replayed +{jobs + 15} +{jobs + 11} succeeded +/dashboard/jobs",
        "1 told to slow down",
        "dead letters +3 +2 brought back, 1 pending +/dashboard/dead-letters",
        "breaker opened +1 +1 closed again +/dashboard/dependencies/joke-api",
    ):
        assert re.search(what, happened), happened
    order = (
        "/dashboard", "9 succeeded", "replayed by one bulk action", "2 resolved", "goes down", "what happened",
        "make run",
    )  # fmt: skip
    assert sorted(order, key=text.index) == list(order)
    with psycopg.connect(empty_database_url) as conn:
        assert conn.execute("SELECT to_regclass('procrastinate_jobs')").fetchone() == (None,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_stops_in_order(project: Project, number: signal.Signals, monkeypatch: pytest.MonkeyPatch):
    """A demo that is interrupted stops what it started, deletes its database, and says so."""
    with tempfile.TemporaryDirectory(prefix="d") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setenv("TMPDIR", folder)
        demo = project.start(*AFRESH, "demo")
        address = demo.says("Joke API").partition("API ")[2].split("/docs")[0]
        assert httpx.get(f"{address}/dashboard", trust_env=False, timeout=30).is_success
        demo.signal(number)
        assert demo.ends() == 130
        assert demo.text.endswith("Stopped; the demo's database is deleted.\n")
        assert "Traceback" not in demo.text
        assert not list(Path(folder).iterdir())
