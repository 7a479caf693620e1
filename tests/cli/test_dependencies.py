"""`afresh dependencies`, as people type it."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[2]


def dependencies(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [sys.executable, "-m", "app", "dependencies", *arguments],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_isolation_and_its_end(database_url: str):
    """A dependency is isolated with a reason, shown so, and reset; twice is refused; the audit has both."""
    assert "none ever failed" in dependencies(database_url, "list").stdout
    isolated = dependencies(database_url, "isolate", "joke-api", "--reason", "maintenance")
    assert (isolated.returncode, isolated.stdout) == (0, "Dependency joke-api is isolated.\n")
    refused = dependencies(database_url, "isolate", "joke-api", "--reason", "again")
    assert (refused.returncode, refused.stderr) == (2, "afresh: dependency joke-api is isolated already\n")
    assert "isolated" in dependencies(database_url, "list").stdout
    assert dependencies(database_url, "reset", "joke-api").returncode == 0
    assert dependencies(database_url, "reset", "joke-api").returncode == 2
    with psycopg.connect(database_url) as conn:
        audit = conn.execute("SELECT actor, action, target, reason FROM afresh.audit ORDER BY id").fetchall()
    assert audit == [
        ("cli", "dependency.isolate", "joke-api", "maintenance"),
        ("cli", "dependency.reset", "joke-api", "reset"),
    ]
