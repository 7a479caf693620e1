"""`afresh dependencies`, as people type it."""

import asyncio

import psycopg

from ..queue.dependencies import NAME, open_breaker
from .program import Run, afresh


def dependencies(database_url: str, *arguments: str) -> Run:
    """Run a command."""
    return afresh("dependencies", *arguments, DATABASE_URL=database_url)


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


def test_an_unknown_one_is_refused(database_url: str):
    """A name that nobody knows is neither reset nor probed, and leaves no trace."""
    for verb in ("reset", "probe"):
        refused = dependencies(database_url, verb, "joke-apy")
        assert refused.stderr == "afresh: no task names a dependency joke-apy, and it never failed\n"
        assert refused.returncode == 2
    assert "none ever failed" in dependencies(database_url, "list").stdout


def test_what_is_no_name(database_url: str):
    """A name that no row can hold is refused in one line, before the database is asked."""
    refused = dependencies(database_url, "isolate", "", "--reason", "why")
    assert refused.stderr == "afresh: a dependency is named by text of 1 to 255 characters; got ''\n"
    assert refused.returncode == 2


def test_a_probe(database_url: str):
    """An open breaker's next probe is due at once; of one that is isolated nothing is probed."""
    asyncio.run(opened(database_url))
    probed = dependencies(database_url, "probe", NAME, "--reason", "is it back?")
    assert (probed.returncode, probed.stdout) == (0, "Dependency joke-api is probed with the next job.\n")
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT probe_at <= now() FROM afresh.breaker").fetchone() == (True,)
    assert dependencies(database_url, "isolate", NAME, "--reason", "maintenance").returncode == 0
    assert dependencies(database_url, "probe", NAME).returncode == 2


async def opened(database_url: str) -> None:
    """Open the breaker."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        await open_breaker(conn)
