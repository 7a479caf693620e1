"""What the server does as a process: it serves this machine, and does not start where it should not."""

import asyncio
from pathlib import Path

import httpx
import psycopg
import pytest

from app.store.keys import Role, create_key

from .process import refused, running


def test_submit_and_read(database_url: str, tmp_path: Path):
    """A client that knows nothing but HTTP makes a job and finds it where Location says."""
    with (
        running(tmp_path / "log", DATABASE_URL=database_url) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=30) as client,
    ):
        made = client.post("/tasks/fetch-joke", json={"args": {"joke_id": 1}})
        found = client.get(made.headers["location"])
        foreign = client.post("/tasks/fetch-joke", headers={"Origin": "https://evil.example"})
        rebound = client.get("/jobs/1", headers={"Host": "evil.example"})
        streamed = client.post(
            "/tasks/fetch-joke",
            content=(b" " * 100_000 for _ in range(15)),
            headers={"Content-Type": "application/json"},
        )
    assert (made.status_code, found.json()["args"]) == (202, {"joke_id": 1})
    assert (foreign.status_code, rebound.status_code, streamed.status_code) == (403, 400, 413)
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--host", "0.0.0.0"], {}),  # noqa: S104 - it is refused.
        (["--host", "::"], {}),
        ([], {"API_HOST": "0.0.0.0", "UVICORN_HOST": "192.168.7.7"}),  # noqa: S104 - it is refused.
    ],
)
def test_open_bind(database_url: str, options: list[str], settings: dict[str, str]):
    """Told to serve the network, it does not start, and says why in one line."""
    done = refused(*options, DATABASE_URL=database_url, **settings)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("refusing to serve on ")


def test_schema_behind(empty_database_url: str):
    """On a database whose schema is behind it does not start, and says what to run."""
    done = refused(DATABASE_URL=empty_database_url)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "afresh migrate" in line


def test_wrong_setting(database_url: str):
    """With a wrong setting it does not start, and names it."""
    done = refused(DATABASE_URL=database_url, JOKE_SCHEDULE="perhaps")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "JOKE_SCHEDULE" in line


def test_own_tasks(database_url: str, tmp_path: Path):
    """A module of the user's own, named in TASK_MODULES, is there to be asked for."""
    settings = {"DATABASE_URL": database_url, "TASK_MODULES": "tests.sample_tasks"}
    with running(tmp_path / "log", **settings) as address:
        made = httpx.post(f"{address}/tasks/add", json={"args": {"a": 1}}, trust_env=False, timeout=30)
    assert (made.status_code, made.json()["task_name"]) == (202, "sample.add")


EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a server that demands a key, for a moment.


def key_in(database_url: str) -> str:
    """A key made in the database, as another process does it."""

    async def make() -> str:
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            return await create_key(conn, "deploy", Role.VIEWER, actor="test")

    return asyncio.run(make())


def test_bind_with_a_key_in_the_database(database_url: str, tmp_path: Path):
    """With a key it serves the network, and this machine too has to show one."""
    key = key_in(database_url)
    with running(tmp_path / "log", DATABASE_URL=database_url, UVICORN_HOST=EVERYWHERE) as address:
        here = address.replace(EVERYWHERE, "127.0.0.1")
        nobody = httpx.get(f"{here}/tasks", trust_env=False, timeout=30)
        holder = httpx.get(f"{here}/tasks", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30)
        live = httpx.get(f"{here}/monitoring/live", trust_env=False, timeout=30)
    assert (nobody.status_code, holder.status_code, live.status_code) == (401, 200, 200)
    assert key.rpartition("_")[2] not in (tmp_path / "log").read_text()


def test_bind_with_the_bootstrap_key(database_url: str, tmp_path: Path):
    """With ADMIN_API_KEY too, and the key is nowhere in the log."""
    key = "a-bootstrap-key"
    settings = {"DATABASE_URL": database_url, "UVICORN_HOST": EVERYWHERE, "ADMIN_API_KEY": key}
    with running(tmp_path / "log", **settings) as address:
        here = address.replace(EVERYWHERE, "127.0.0.1")
        holder = httpx.get(f"{here}/audit", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30)
        nobody = httpx.get(f"{here}/audit", headers={"Authorization": f"Bearer {key}x"}, trust_env=False, timeout=30)
    assert (holder.status_code, nobody.status_code) == (200, 401)
    assert key not in (tmp_path / "log").read_text()


def test_bind_with_a_revoked_key(database_url: str):
    """A key that is revoked is none."""
    key_in(database_url)
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE afresh.api_key SET revoked_at = now()")
    done = refused("--host", EVERYWHERE, DATABASE_URL=database_url)
    assert (done.returncode, done.stderr.startswith("refusing to serve on 0.0.0.0: ")) == (2, True)


def test_bind_without_an_answer():
    """Where no database says whether there are keys, the network is not served."""
    done = refused("--host", EVERYWHERE, DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:9/nothing")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "hunter2" not in done.stderr


def test_short_key(database_url: str):
    """A bootstrap key that could be guessed is refused, and not told."""
    done = refused(DATABASE_URL=database_url, ADMIN_API_KEY="geheim")
    assert (done.returncode, "ADMIN_API_KEY" in done.stderr, "geheim" in done.stderr) == (2, True, False)
