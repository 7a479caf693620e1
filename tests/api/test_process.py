"""What the server does as a process: it serves this machine, and does not start where it should not."""

from pathlib import Path

import httpx
import psycopg
import pytest

from .process import refused, running


def test_submit_and_read(database_url: str, tmp_path: Path):
    """A client that knows nothing but HTTP makes a job and finds it where Location says."""
    with (
        running(tmp_path / "log", DATABASE_URL=database_url) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
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
        made = httpx.post(f"{address}/tasks/add", json={"args": {"a": 1}}, trust_env=False)
    assert (made.status_code, made.json()["task_name"]) == (202, "sample.add")
