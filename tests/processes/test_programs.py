"""The programs that people start, from a folder with a `.env`: ours, Procrastinate's and uvicorn."""

import re
import signal
from typing import Any

import httpx
import psycopg
import pytest

from ..eventually import eventually_sync
from ..ports import free_port
from .programs import AFRESH, PROCRASTINATE, ROOT, UVICORN, Project, answers
from .rows import defer, ended, job, rows

pytestmark = pytest.mark.anyio

Connection = psycopg.AsyncConnection[Any]

MODULE = """
from app.queue.task import task

@task(name="mycompany.jobs.add", queue="q")
async def add(a: int, b: int):
    return a + b
"""


@pytest.mark.parametrize(
    "command",
    [
        (*AFRESH, "up"),
        (*AFRESH, "worker"),
        (*AFRESH, "api"),
        (*AFRESH, "migrate"),
        (*PROCRASTINATE, "worker"),
        (*UVICORN,),
    ],
    ids=["up", "worker", "api", "migrate", "procrastinate", "uvicorn"],
)
def test_a_wrong_setting_is_one_line(project: Project, command: tuple[str, ...]):
    """A wrong value in `.env` stops every program at once, with one line that names it and exit code 2."""
    project.write_env(MAX_RETRIES="many", LOG_LEVEL="INFO")
    code, text = project.run(*command)
    assert (code, text) == (2, "MAX_RETRIES='many': expected a whole number, 0 or more\n")


@pytest.mark.parametrize(
    "command",
    [
        (*AFRESH, "worker"),
        (*AFRESH, "api", "--port", "0"),
        (*AFRESH, "jobs", "show", "1"),
        (*PROCRASTINATE, "worker"),
        (*UVICORN,),
    ],
    ids=["worker", "api", "jobs", "procrastinate", "uvicorn"],
)
def test_a_schema_that_is_behind_is_one_line(project: Project, command: tuple[str, ...], empty_database_url: str):
    """On a database that is not ours to migrate, programs stop with one line that says what to run."""
    code, text = project.run(*command, DATABASE_URL=empty_database_url)
    assert code == 2
    (line,) = text.splitlines()
    assert line.endswith("(next: 0000_create_procrastinate): run `afresh migrate`")


def test_migrate_says_what_it_does(project: Project, empty_database_url: str):
    """`migrate --plan` only shows the steps, `migrate` applies them, and a second time there is nothing to do."""
    _, planned = project.run(*AFRESH, "migrate", "--plan", DATABASE_URL=empty_database_url)
    assert planned.startswith("would apply 0000_create_procrastinate\nwould apply 0001_create_schema\n")
    code, done = project.run(*AFRESH, "migrate", DATABASE_URL=empty_database_url)
    assert (code, done) == (0, planned.replace("would apply", "applied"))
    assert project.run(*AFRESH, "migrate", DATABASE_URL=empty_database_url) == (0, "The schema is current.\n")


@pytest.mark.parametrize("command", ["migrate", "up"])
def test_a_database_out_of_reach_is_one_line(project: Project, command: str):
    """Where nobody answers, a command says so in one line, and its exit code says that it may work later."""
    code, text = project.run(*AFRESH, command, DATABASE_URL="postgresql://127.0.0.1:1/nothing", API_PORT=0)
    assert code == 1
    assert text.startswith("afresh: the database of DATABASE_URL cannot be reached: ")
    assert len(text.splitlines()) == 1


def test_a_worker_says_what_it_waits_for(project: Project):
    """A worker waits a while for a database that is away, and names the setting that leads there, one line a try."""
    worker = project.start(*AFRESH, "worker", DATABASE_URL="postgresql://127.0.0.1:1/nothing")
    text = worker.says("port 1 failed")
    assert text.startswith("waiting for the database of DATABASE_URL: connection failed")
    assert all(line.startswith("waiting for ") for line in text.splitlines())


def test_psql_is_on_the_right_server(project: Project, database_url: str):
    """`psql -- …` runs psql with these arguments on the database of the settings, and has its exit code."""
    query = "SELECT count(*) FROM afresh.jobs"
    assert project.run(*AFRESH, "psql", "--", "-Atc", query, DATABASE_URL=database_url) == (0, "0\n")
    report = ("-v", "job_id=2", "-f", str(ROOT / "sql" / "reports" / "attempts_of_a_job.sql"))
    code, text = project.run(*AFRESH, "psql", "--", "-q", *report, DATABASE_URL=database_url)
    assert (code, "failure_type" in text, "Which job" in text) == (0, True, False)
    code, _ = project.run(*AFRESH, "psql", "--", "-c", "SELECT nonsense", DATABASE_URL=database_url)
    assert code == 1


async def test_procrastinates_command_line_works(project: Project, database_url: str, conn: Connection):
    """Procrastinate's own commands defer a user's job, run it with their flags, and find the database healthy."""
    project.write_env(TASK_MODULES="mycompany_jobs")
    project.write_module("mycompany_jobs", MODULE)
    defers = ["defer", "mycompany.jobs.add", '{"a": 2, "b": 3}']
    code, text = project.run(*PROCRASTINATE, *defers, DATABASE_URL=database_url)
    assert code == 0
    assert "Launching a job: mycompany.jobs.add(a=2, b=3)\n" in text
    other = await defer(conn, "mycompany.jobs.add", "other", a=1, b=1)

    flags = ["--concurrency", "3", "--queues", "q", "--name", "ours", "--no-listen-notify", "--one-shot"]
    code, text = project.run(*PROCRASTINATE, "worker", *flags, DATABASE_URL=database_url)
    assert code == 0, text
    assert "Worker started on q" in text
    assert "concurrency=3" in text
    (done,) = await rows(conn, "SELECT * FROM afresh.jobs WHERE queue_name = 'q'")
    assert (done["state"], done["result"]) == ("succeeded", 5)
    assert (await job(conn, other))["state"] == "ready"

    code, text = project.run(*PROCRASTINATE, "healthchecks", DATABASE_URL=database_url)
    assert code == 0, text


async def test_a_task_of_the_users_own_is_run(project: Project, database_url: str, conn: Connection):
    """A worker runs the tasks of TASK_MODULES, found in the folder it is started in; --one-shot ends it then."""
    project.write_env(TASK_MODULES="mycompany_jobs")
    project.write_module("mycompany_jobs", MODULE)
    job_id = await defer(conn, "mycompany.jobs.add", "q", a=2, b=3)
    code, text = project.run(*AFRESH, "worker", "--queues", "q", "--one-shot", DATABASE_URL=database_url)
    assert code == 0, text
    assert (await ended(conn, job_id))["result"] == 5


@pytest.mark.parametrize(
    "command",
    [(*AFRESH, "up"), (*AFRESH, "worker"), (*AFRESH, "api"), (*PROCRASTINATE, "worker"), UVICORN],
    ids=["up", "worker", "api", "procrastinate", "uvicorn"],
)
def test_a_missing_module_is_one_line(project: Project, command: tuple[str, ...], database_url: str):
    """A module of TASK_MODULES that cannot be imported stops every program with one line that names both."""
    settings: dict[str, Any] = {"TASK_MODULES": "mycompany.nowhere", "DATABASE_URL": database_url, "API_PORT": 0}
    line = "TASK_MODULES: mycompany.nowhere cannot be imported: ModuleNotFoundError: No module named 'mycompany'\n"
    code, text = project.run(*command, **settings)
    assert (code, text.removeprefix("Launching a worker on all queues\n")) == (2, line)


def test_the_api_serves_and_ends(project: Project, database_url: str):
    """`api` says where it serves, answers there, and ends in order on Ctrl-C."""
    api = project.start(*AFRESH, "api", "--port", "0", DATABASE_URL=database_url)
    address = api.says("Ctrl-C").partition("Serving on ")[2].split()[0]
    eventually_sync(lambda: _answers(address))
    api.signal(signal.SIGINT)
    assert api.ends() == 0
    assert "Traceback" not in api.text


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/openapi.json", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("command", ["api", "up"])
def test_an_open_address_is_refused(project: Project, database_url: str, command: str):
    """Without keys nothing but the loopback address is served, and the line says why."""
    code, text = project.run(*AFRESH, command, API_HOST="0.0.0.0", API_PORT=0, DATABASE_URL=database_url)  # noqa: S104 - to be refused.
    assert code == 2
    (line,) = text.splitlines()
    assert "refusing to serve on 0.0.0.0" in line


async def test_jobs_show_tells_the_ladder(project: Project, database_url: str, conn: Connection):
    """`jobs show` tells each attempt with its failure, its reason and what followed; an unknown job is one line."""
    project.write_env(TASK_MODULES="mycompany_jobs")
    project.write_module("mycompany_jobs", MODULE)
    job_id = await defer(conn, "mycompany.jobs.add", "q", a=2, b="3")
    project.run(*AFRESH, "worker", "--queues", "q", "--one-shot", DATABASE_URL=database_url)
    code, text = project.run(*AFRESH, "jobs", "show", str(job_id), DATABASE_URL=database_url)
    assert code == 0
    for words in (f"Job {job_id}  mycompany.jobs.add  failed", "Attempt 1  failed", "TypeError: ", "→ dead_letter"):
        assert words in text
    assert project.run(*AFRESH, "jobs", "show", "99", DATABASE_URL=database_url) == (2, "afresh: there is no job 99\n")


def test_classify_says_what_would_follow(project: Project):
    """`classify` names the type and lists the delays of each retry, as the settings have them."""
    code, text = project.run(*AFRESH, "classify", "httpx.HTTPStatusError", "--status", "503", "--task", "fetch-joke")
    assert code == 0, text
    assert text.startswith("EXTERNAL_API_DOWN")
    assert re.findall(r"^ +\d+  retry +(\d+ s) ", text, re.MULTILINE) == ["2 s", "4 s", "8 s", "16 s", "32 s"]
    assert "all 5 retries spent" in text


def test_policies_lists_types_and_tasks(project: Project):
    """`policies` shows every failure type and every task, the user's too, as the settings have them."""
    project.write_env(TASK_MODULES="mycompany_jobs", POLICY__TRANSIENT_NETWORK__MAX_RETRIES=7, MAX_RETRIES=6)
    project.write_module("mycompany_jobs", MODULE)
    code, text = project.run(*AFRESH, "policies")
    assert code == 0, text
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert lines["TRANSIENT_NETWORK"][0] == "6"
    assert lines["mycompany.jobs.add"] == ["add", "q", "failure", "type", "5", "min"]


def test_several_api_processes_at_one_address(project: Project, database_url: str):
    """With `uvicorn --workers 2` each process tells the same of what waits, whichever answers a scrape."""
    address = f"http://127.0.0.1:{free_port()}"
    project.write_env(DATABASE_URL=database_url)
    both_of_them = project.start(*UVICORN, "--workers", "2", "--port", address.rpartition(":")[2])
    eventually_sync(lambda: answers(f"{address}/monitoring/ready"), 40)
    for _ in range(3):
        assert httpx.post(f"{address}/tasks/fetch-joke", json={}, trust_env=False, timeout=30).status_code == 202
    seen: dict[int, str] = {}

    def both() -> bool:
        asked = httpx.get(f"{address}/metrics", trust_env=False, timeout=30).text
        assert 'afresh_queue_ready_jobs{queue="api_calls"} 3.0\n' in asked
        resources = httpx.get(f"{address}/monitoring/resources", trust_env=False, timeout=30).json()
        seen[resources["process"]["pid"]] = resources["host"]
        return len(seen) == 2

    try:
        eventually_sync(both)
    finally:
        both_of_them.signal(signal.SIGTERM)  # Killed, it would leave them behind.
        both_of_them.ends()
