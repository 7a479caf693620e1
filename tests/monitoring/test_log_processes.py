"""What real processes write: one form, whoever writes it, and no argument of a job."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from ..api.process import running
from ..eventually import eventually_sync

ROOT = Path(__file__).parents[2]
WORKERS = {
    "ours": ["-m", "app", "worker"],
    "Procrastinate's": ["-m", "procrastinate", "--app=app.queue.app.app", "worker", "--one-shot"],
}
GREETING = "Launching a worker on all queues"
MODULE = """
import logging
from app.queue.task import task

@task(name="logs.thread", slug="logs-thread")
def in_a_thread(address: str) -> str:
    logging.getLogger("mycompany").info("half way")
    return address

@task(name="logs.fail", slug="logs-fail", retry=False)
async def fail(address: str) -> None:
    raise ValueError("refused: password=hunter2")
"""


def lines_of(log: Path) -> list[dict[str, Any]]:
    """All lines, each of which is a JSON object; Procrastinate's command line greets people before it starts us."""
    written = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in written if line != GREETING]


def test_uvicorn(database_url: str, tmp_path: Path):
    """Uvicorn's lines, those of requests too, are JSON like ours, with what looks secret masked, at any level."""
    log = tmp_path / "log"
    with (
        running(log, DATABASE_URL=database_url, LOG_FORMAT="json", LOG_LEVEL="DEBUG") as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        client.get("/jobs", params={"token": "hunter2"})
    lines = lines_of(log)
    assert {"uvicorn.error", "uvicorn.access"} <= {line["logger"] for line in lines}
    (access,) = [line for line in lines if line["logger"] == "uvicorn.access"]
    assert "GET /jobs?token=" in access["event"]
    assert {"timestamp", "level", "event", "logger"} <= access.keys()
    assert "hunter2" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("program", WORKERS)
def test_a_worker(database_url: str, tmp_path: Path, program: str):
    """A worker's lines and Procrastinate's are JSON like ours and tell no argument and no result, also at DEBUG."""
    (tmp_path / "logged_jobs.py").write_text(MODULE, encoding="utf-8")
    _defer(database_url)
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *WORKERS[program]],
            cwd=ROOT,
            env=os.environ
            | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "TASK_MODULES": "logged_jobs", "WORKER_QUEUES": "default"}
            | {"DATABASE_URL": database_url, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"},
            stdout=stream,
            stderr=stream,
        )
    try:
        _wait_for_both(database_url)
    finally:
        process.terminate()
        process.wait(30)
    written, lines = log.read_text(encoding="utf-8"), lines_of(log)
    assert "@example.com" not in written
    assert "hunter2" not in written
    assert any(line["logger"].startswith("procrastinate") for line in lines)
    (half_way,) = [line for line in lines if line["event"] == "half way"]
    (failed,) = [line for line in lines if line["event"].startswith("Background task attempt 1/1 failed: fail")]
    fields = {"correlation_id", "job_id", "task_name", "operation_type", "attempt", "max_attempts"}
    assert fields <= half_way.keys() & failed.keys()
    assert (half_way["task_name"], half_way["attempt"]) == ("logs.thread", 1)
    assert failed["error_type"].endswith("ValueError")
    assert failed["error_message"] == "refused: password=[redacted]"


def _defer(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        for name in ("logs.thread", "logs.fail"):
            conn.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
                """VALUES ('default', %s, '{"address": "somebody@example.com"}')""",
                [name],
            )


def _wait_for_both(database_url: str) -> None:
    ended = (
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name LIKE 'logs.%' AND status IN ('succeeded', 'failed')"
    )
    with psycopg.connect(database_url, autocommit=True) as conn:
        eventually_sync(lambda: conn.execute(ended).fetchone() == (2,), within=40)
