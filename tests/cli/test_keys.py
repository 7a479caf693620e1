"""`afresh keys`, as people type it."""

import re

import psycopg
import pytest

from .program import Run, afresh


def keys(database_url: str, *arguments: str, **settings: str) -> Run:
    """Run a command."""
    return afresh("keys", *arguments, DATABASE_URL=database_url, **settings)


def test_life_of_a_key(database_url: str):
    """A key is printed once, alone on standard output; it is listed without itself, and revoked by name."""
    made = keys(database_url, "create", "deploy", "--role", "operator")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"afresh_[0-9a-z]{10}_[0-9A-Za-z]{43}\n", made.stdout)
    prefix, _, secret = made.stdout.strip().rpartition("_")
    listed = keys(database_url, "list")
    assert re.search(rf"deploy +operator +{prefix} .* never", listed.stdout)
    revoked = keys(database_url, "revoke", "deploy")
    assert (revoked.returncode, "last one" in revoked.stderr) == (0, True)
    assert "There are no keys" in keys(database_url, "list").stdout
    assert secret not in made.stderr + listed.stdout + listed.stderr
    with psycopg.connect(database_url) as conn:
        audit = conn.execute("SELECT actor, action, target FROM afresh.audit ORDER BY id").fetchall()
    assert audit == [("cli", "key.create", "deploy"), ("cli", "key.revoke", "deploy")]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["create", "local"], "somebody else"),
        (["create", "a\nb"], "no name"),
        (["revoke", "nobody"], "no key in force"),
    ],
)
def test_refusals(database_url: str, arguments: list[str], word: str):
    """What cannot be done is told in one line."""
    done = keys(database_url, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert word in done.stderr


def test_unknown_role(database_url: str):
    """A role that does not exist makes no key."""
    assert keys(database_url, "create", "deploy", "--role", "root").returncode == 2


def test_bootstrap_key_is_listed(database_url: str):
    """ADMIN_API_KEY is listed, and not shown."""
    listed = keys(database_url, "list", ADMIN_API_KEY="a-bootstrap-key")
    assert "ADMIN_API_KEY" in listed.stdout
    assert "a-bootstrap-key" not in listed.stdout + listed.stderr
