"""A worker whose network goes silent: nobody tells it that it is cut off, nor anybody else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.postgres.connect import Database
from app.postgres.migrate import migrate

from ..eventually import eventually_sync
from ..servers import temporary_folder
from . import processes
from .conftest import Queue, Start
from .network import Machine, listening_server, machine, url_from, why_not
from .processes import Effects, Gate, Process

SOON = {
    "tcp_user_timeout": "2000",
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "options": "-c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 -c tcp_user_timeout=2000",
}
"""What the application asks of both ends of a connection, in seconds rather than in half a minute."""

POST = "import sys, httpx; print(httpx.post(sys.argv[1], json={}, timeout=60).status_code)"


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    """Two machines; what cannot be had without root, or without iproute2, is not tested."""
    if reason := why_not():
        pytest.skip(reason)
    with machine(0) as one, machine(1) as other:
        yield [one, other]


@pytest.fixture(scope="module")
def remote(machines: list[Machine]) -> Iterator[Queue]:
    """The database that both reach over TCP, as its own machine sees it."""
    with temporary_folder() as folder:
        server = listening_server(folder, *machines)
        with server.join():
            with psycopg.connect(server.conninfo(), autocommit=True) as conn:
                migrate(conn)
                conn.execute("CREATE TABLE charged (job_id bigint PRIMARY KEY)")
            yield Queue(server.conninfo())


@pytest.fixture
def queue(remote: Queue, machines: list[Machine]) -> Iterator[Queue]:
    """That database, and every cable plugged in again afterwards."""
    yield remote
    for each in machines:
        each.plug()


def test_worker_whose_cable_was_pulled(
    queue: Queue, machines: list[Machine], start: Start, effects: Effects, gate: Gate
):
    """Its jobs are rescued and end once, by the other; its late results are refused, and it goes on with new jobs."""
    mine, others = machines
    cut_off = start(url_from(mine), command="afresh", within=mine.within)
    jobs = [queue.submit("sign", gate=gate) for _ in range(3)]
    eventually_sync(lambda: effects.counts("began") == dict.fromkeys(jobs, 1))
    other = start(url_from(others), command="afresh", within=others.within)
    eventually_sync(lambda: other.says("Worker started"))
    mine.pull()
    eventually_sync(lambda: effects.counts("began") == dict.fromkeys(jobs, 2))
    gate.open()
    eventually_sync(queue.ended(*jobs))
    eventually_sync(lambda: effects.counts("ran") == dict.fromkeys(jobs, 2))  # It does not know that it is cut off.
    mine.plug()
    eventually_sync(lambda: refused(cut_off) == set(jobs))
    assert [queue.outcomes(job) for job in jobs] == [["lost", "succeeded"]] * 3
    assert [queue.job(job)["result"] for job in jobs] == [other.pid] * 3
    assert other.stop() == 0
    last = queue.submit("sign", gate=gate)
    eventually_sync(queue.ended(last))
    assert queue.job(last)["result"] == cut_off.pid


def test_transaction_of_a_worker_that_was_cut_off(
    queue: Queue, machines: list[Machine], start: Start, effects: Effects, gate: Gate
):
    """What it had locked is let go while it is still cut off, so that the rescue of its job does not wait for it."""
    mine, others = machines
    start(url_from(mine, **SOON), within=mine.within)
    job = queue.submit("charge", gate=gate, wait_at="written")
    eventually_sync(lambda: effects.count(job, "written") == 1)
    other = start(url_from(others, **SOON), within=others.within)
    eventually_sync(lambda: other.says("Worker started"))
    mine.pull()
    gate.open()
    eventually_sync(queue.ended(job))
    assert queue.outcomes(job) == ["lost", "succeeded"]
    assert queue.query("SELECT job_id FROM charged") == [{"job_id": job}]


@pytest.mark.usefixtures("queue")
def test_submission_over_a_silent_link(machines: list[Machine], tmp_path: Path):
    """A request whose statement goes nowhere is answered once the connection is given up, and does not hang with it."""
    mine = machines[0]
    service = processes.api(tmp_path / "api.log", 8000, within=mine.within, DATABASE_URL=url_from(mine, **SOON))
    try:
        eventually_sync(lambda: submitted_on(mine) == "202")
        mine.pull()
        assert submitted_on(mine) == "503"
        mine.plug()
        eventually_sync(lambda: submitted_on(mine) == "202")
    finally:
        service.kill()


def submitted_on(machine: Machine) -> str:
    """The status that a client there gets for a submission; empty without an answer."""
    command = [*machine.within, sys.executable, "-c", POST, "http://127.0.0.1:8000/tasks/touch"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


@pytest.mark.anyio
@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    ("given", "server", "client"),
    [
        ({}, ("30", "30000"), "30000"),
        ({"options": "-c tcp_keepalives_idle=7"}, ("7", "0"), "30000"),
        ({"tcp_user_timeout": "5000"}, ("30", "30000"), "5000"),
    ],
    ids=["nothing said", "said of the server", "said of the client"],
)
async def test_both_ends_of_a_connection_look_for_each_other(
    machines: list[Machine], tmp_path: Path, given: dict[str, str], server: tuple[str, str], client: str
):
    """Either end that vanished is given up within a minute; what the address says about it stays."""
    database = Database(url=url_from(machines[0], **given), data_dir=tmp_path)
    query = "SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_user_timeout')"
    async with database, database.pool() as pool, pool.connection() as pooled, await database.connect_async() as one:
        for conn in (pooled, one):
            assert await (await conn.execute(query)).fetchone() == server
            assert conn.info.get_parameters()["tcp_user_timeout"] == client
        with database.connect() as direct:
            assert direct.execute(query).fetchone() == server


def refused(worker: Process) -> set[object]:
    """The jobs whose late end this worker was not let write."""
    return {line.get("job_id") for line in worker.lines() if "had been taken over" in str(line["event"])}
