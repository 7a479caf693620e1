"""`afresh queues`, as people type it."""

import psycopg

from .program import Run, afresh


def queues(database_url: str, *arguments: str) -> Run:
    """Run a command."""
    return afresh("queues", *arguments, DATABASE_URL=database_url)


def test_a_pause_and_its_end(database_url: str):
    """A queue is paused with a reason, shown so, and let go on; the audit has both."""
    assert "No queue" in queues(database_url, "list").stdout
    paused = queues(database_url, "pause", "mail", "--reason", "provider maintenance")
    assert (paused.returncode, paused.stdout) == (0, "Queue mail is paused.\n")
    assert "provider maintenance" in queues(database_url, "list").stdout
    assert queues(database_url, "resume", "mail").returncode == 0
    with psycopg.connect(database_url) as conn:
        audit = conn.execute("SELECT actor, action, target, reason FROM afresh.audit ORDER BY id").fetchall()
    assert audit == [
        ("cli", "queue.pause", "mail", "provider maintenance"),
        ("cli", "queue.resume", "mail", "resumed"),
    ]


def test_what_is_not_paused_cannot_be_resumed(database_url: str):
    """Pausing twice and resuming what runs are refused in one line."""
    refused = queues(database_url, "resume", "mail")
    assert (refused.returncode, refused.stderr) == (2, "afresh: queue mail is not paused\n")
    queues(database_url, "pause", "mail", "--reason", "x")
    assert queues(database_url, "pause", "mail", "--reason", "y").returncode == 2
