"""The guide's pages about deployment, upgrades and growth: what they show is run, and what they name exists."""

import os
import re

import psycopg
import pytest
import uvicorn

from app.config import GROUPS
from app.postgres.adoption import foresee
from app.postgres.connect import Database
from app.postgres.migrate import migrate, plan
from app.queue.connector import AfreshConnector

from .test_guide import GUIDE, shell, shell_lines

ROOT = GUIDE.parents[1]


def text_of(page: str) -> str:
    """A page."""
    return (GUIDE / page).read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    """What a page shows of a kind: ``sql``, ``sh``, ``text``."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)


def run_sql(conninfo: str, statements: str, options: str = "") -> int:
    """Run a block; how many statements it had."""
    each = [part for part in statements.split(";\n") if part.strip()]
    with psycopg.connect(conninfo, autocommit=True, options=options) as conn:
        for statement in each:
            conn.execute(statement.encode())
    return len(each)


def test_an_upgrade(empty_database_url: str):
    """The commands of the page, in its order on an empty database, say what it says, and its query is answered."""
    environment = os.environ | {"DATABASE_URL": empty_database_url}
    said = [shell(line, environment).stdout for line in shell_lines("upgrade.md")]
    first, last, adoption = blocks("upgrade.md", "text")
    assert said[0].startswith(first)
    assert said[1] == said[0].replace("would apply", "applied")
    assert said[2] == last
    assert said[4].startswith(said[3])
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("ANALYZE")  # Procrastinate's tables are still there.
        foreseen = foresee(conn, plan(conn))
        assert foreseen
        for shown, line in zip(adoption.replace("1,000,000", "0").splitlines(), foreseen.lines(), strict=True):
            begin, _, end = shown.partition("… ")
            assert line.startswith(begin)
            assert line.endswith(end)
        migrate(conn)
    (query,) = blocks("upgrade.md", "sql")
    assert run_sql(empty_database_url, query) == 1


def test_growth(database_url: str):
    """Its queries are answered in a session that may not write, and its archive can be made."""
    looks, reads, archive = blocks("growth.md", "sql")
    read_only = "-c default_transaction_read_only=on"
    assert run_sql(database_url, looks, options=read_only) == 3
    assert run_sql(database_url, reads, options=read_only) == 1
    assert run_sql(database_url, archive) == 4


def test_a_database_of_a_tenant(database_url: str):
    """A database named in its own variable is migrated and looked at; the doctor misses its workers."""
    migrate, doctor = shell_lines("growth.md")
    environment = os.environ | {"RED": database_url}
    done = shell(migrate, environment)
    assert (done.returncode, done.stdout) == (0, "The schema is current.\n")
    seen = shell(doctor, environment)
    assert (seen.returncode, "start one with `afresh worker`" in seen.stdout) == (1, True)


def test_the_doctor_is_there(database_url: str):
    """The command that the page about deployment ends with runs, and ends with 1 while no worker lives."""
    (line,) = shell_lines("deployment.md")
    run = shell(line, os.environ | {"DATABASE_URL": database_url})
    assert (run.returncode, "start one with `afresh worker`" in run.stdout) == (1, True)


def test_the_files_of_a_deployment():
    """Every file that the page has applied is there, and none of the folder is left out."""
    named = re.findall(r"deploy/kubernetes/[\w-]+\.yaml", "".join(blocks("deployment.md", "sh")))
    folder = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy" / "kubernetes").iterdir()}
    assert folder - set(named) == {"deploy/kubernetes/autoscaling-http.yaml"}
    assert set(named) <= folder


@pytest.mark.parametrize("page", ["deployment.md", "upgrade.md", "growth.md"])
def test_the_settings_named(page: str):
    """Settings that these pages name are settings."""
    known = {field.title for group in GROUPS.values() for field in group.model_fields.values()}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)[=`]", text_of(page)))
    assert named - known <= {"FORWARDED_ALLOW_IPS", "SCALING_KEY", "SCALING_DATABASE_URL"}


def test_a_proxy_is_believed(monkeypatch: pytest.MonkeyPatch):
    """The server believes a proxy on this machine, or the one that FORWARDED_ALLOW_IPS names."""
    assert (uvicorn.Config("x").proxy_headers, uvicorn.Config("x").forwarded_allow_ips) == (True, "127.0.0.1,::1")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.7")
    assert uvicorn.Config("x").forwarded_allow_ips == "10.0.0.7"


def test_the_connections(db: Database):
    """A process keeps as many connections as the page says."""
    assert f"up to {AfreshConnector(db)._max_size} connections" in text_of("deployment.md")
