"""`up`, which is what `make run` runs: it starts everything, and stops everything it started."""

import os
import re
import signal
import socket

import httpx
import pytest

from app.config import DatabaseSettings
from app.postgres.connect import Database

from ..eventually import eventually_sync
from .programs import AFRESH, Program, Project, is_alive

READY_WITHIN = 40.0


def ready(program: Program) -> str:
    """Wait until it has said where it is; return the API's address."""
    text = program.says("Ctrl-C stops all of it.", READY_WITHIN)
    found = re.search(r"API +(http://\S+)", text)
    assert found, text
    return found[1]


def defer(address: str) -> int:
    """Have the API put a job into a queue that nobody works on, and return its id."""
    body = {"queue": "kept", "run_in": "1h"}
    answer = httpx.post(f"{address}/tasks/fetch-joke", json=body, trust_env=False, timeout=30)
    return int(answer.raise_for_status().json()["job_id"])


def state(address: str, job_id: int) -> str:
    """The state of a job, as the API has it."""
    return str(httpx.get(f"{address}/jobs/{job_id}", trust_env=False, timeout=30).raise_for_status().json()["state"])


def postmaster(project: Project) -> int | None:
    """The number of the project's own Postgres, if it lives."""
    home = Database.from_settings(DatabaseSettings(url=None, data_dir=project.folder / ".afresh")).server.home
    try:
        pid = int((home.data / "postmaster.pid").read_text().partition("\n")[0])
    except FileNotFoundError:
        return None
    return pid if is_alive(pid) else None


def positions(text: str, *words: str) -> list[int]:
    """Where each of these words is."""
    return [text.index(each) for each in words]


def test_it_starts_stops_and_keeps_the_data(embedded_project: Project):
    """`up` prints three addresses; Ctrl-C stops API, worker and database in this order; the next `up` has the data."""
    first = embedded_project.start(*AFRESH, "up", API_PORT=0)
    address = ready(first)
    for name, path in {"API": "", "Docs": "/docs", "Dashboard": "/dashboard"}.items():
        assert re.search(rf"{name} +{re.escape(address + path)}\n", first.text)
    job_id = defer(address)
    started = first.children()
    assert len(started) == 2

    first.signal(signal.SIGINT)
    assert first.ends() == 0
    order = positions(first.text, "Stopping the API", "Stopping the worker", "Worker stopped", "Database stopped")
    assert order == sorted(order)
    assert first.text.endswith("Stopped; the data is kept.\n")
    assert "Traceback" not in first.text
    assert not any(map(is_alive, started))
    assert postmaster(embedded_project) is None

    second = embedded_project.start(*AFRESH, "up", API_PORT=0)
    assert state(ready(second), job_id) == "scheduled"
    assert re.search(r"ready in [\d.]+ s", second.text)
    second.signal(signal.SIGTERM)
    assert second.ends() == 0


def test_it_recovers_when_everything_was_killed(embedded_project: Project):
    """After SIGKILL of the supervisor, its children and Postgres, the next `up` has everything that was committed."""
    first = embedded_project.start(*AFRESH, "up", API_PORT=0)
    job_id = defer(ready(first))
    server = postmaster(embedded_project)
    assert server
    for pid in (first.pid, *first.children(), server):
        os.kill(pid, signal.SIGKILL)
    first.ends()

    second = embedded_project.start(*AFRESH, "up", API_PORT=0)
    assert state(ready(second), job_id) == "scheduled"
    second.signal(signal.SIGINT)
    assert second.ends() == 0
    assert postmaster(embedded_project) is None


def test_nothing_survives_a_killed_supervisor(project: Project, database_url: str):
    """When the supervisor is killed, the API and the worker end by themselves, in order."""
    up = project.start(*AFRESH, "up", API_PORT=0, DATABASE_URL=database_url)
    ready(up)
    started = up.children()
    up.says("Worker started")
    up.signal(signal.SIGKILL)
    eventually_sync(lambda: not any(map(is_alive, started)))
    assert "Worker stopped" in up.text


@pytest.mark.parametrize("victim", [0, 1], ids=["api", "worker"])
def test_a_child_that_dies_stops_everything(project: Project, database_url: str, victim: int):
    """When the API or the worker dies, the other is stopped, one line says who it was, and the exit code is 1."""
    up = project.start(*AFRESH, "up", API_PORT=0, DATABASE_URL=database_url)
    ready(up)
    started = up.children()
    os.kill(started[victim], signal.SIGKILL)
    assert up.ends() == 1
    name = ("API", "worker")[victim]
    assert f"afresh: the {name} was killed by SIGKILL, so everything was stopped" in up.text
    assert not any(map(is_alive, started))


def test_a_taken_port_is_one_line(embedded_project: Project):
    """A port that is taken is one line with the setting to change; nothing was started, not even the database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = embedded_project.run(*AFRESH, "up", API_PORT=port)
    assert code == 2
    assert text == (
        f"afresh: port {port} of 127.0.0.1 is taken: stop what uses it, or choose another one with API_PORT\n"
    )
    assert not (embedded_project.folder / ".afresh").exists()


def test_a_job_is_let_go_of_on_ctrl_c(project: Project, database_url: str):
    """A second Ctrl-C does not wait for jobs any longer."""
    project.write_env(TASK_MODULES="sleeping", API_PORT=0, SHUTDOWN_GRACE="1h")
    project.write_module(
        "sleeping",
        "import asyncio\nfrom app.queue.task import task\n\n"
        '@task(name="sleeping.sleep")\nasync def sleep():\n    print("asleep", flush=True)\n'
        "    await asyncio.sleep(3600)\n",
    )
    up = project.start(*AFRESH, "up", DATABASE_URL=database_url)
    address = ready(up)
    httpx.post(f"{address}/tasks/sleep", trust_env=False, timeout=30).raise_for_status()
    up.says("asleep")
    up.signal(signal.SIGINT)
    up.says("Stopping the worker")
    up.signal(signal.SIGINT)
    assert up.ends() == 0
    assert "does not wait for its work any longer" in up.text


def test_a_database_in_use_is_left_to_its_users(embedded_project: Project):
    """Where another process uses the embedded server, `up` leaves it running and says so."""
    first = embedded_project.start(*AFRESH, "up", API_PORT=0)
    ready(first)
    settings = DatabaseSettings(url=None, data_dir=embedded_project.folder / ".afresh")
    with Database.from_settings(settings):
        first.signal(signal.SIGINT)
        assert first.ends() == 0
        assert "The database is still used by others" in first.text
        assert "Database stopped" not in first.text
