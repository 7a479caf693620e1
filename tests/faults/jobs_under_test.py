"""Tasks whose effects survive the worker, its process and the database: each writes a line to the file EFFECTS."""

import asyncio
import ctypes
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from app.queue.effects import effects
from app.queue.task import ExponentialBackoff, connection, current_job, task

NOW_AND_AGAIN = ExponentialBackoff(max_retries=20, initial_delay=timedelta(milliseconds=50), multiplier=1.0)


def note(what: str) -> None:
    """Append ``job what pid time``: one write, so that lines of many processes do not mix."""
    line = f"{current_job().job_id} {what} {os.getpid()} {time.time():.3f}\n"
    with Path(os.environ["EFFECTS"]).open("a", encoding="utf-8") as effects:
        effects.write(line)


def is_open(gate: str) -> bool:
    """Whether the test has made the file."""
    return Path(gate).exists()


async def opened(gate: str) -> None:
    """Wait for the gate."""
    while not is_open(gate):  # noqa: ASYNC110 - another process opens it.
        await asyncio.sleep(0.01)


@task(name="faults.touch")
async def touch(value: Any = None) -> Any:
    """Leave one line and return `value`."""
    note("ran")
    return value


@task(name="faults.wait")
async def wait(gate: str, value: Any = None) -> Any:
    """Run until the gate opens, and return `value`."""
    note("began")
    await opened(gate)
    note("ran")
    return value


@task(name="faults.sign")
async def sign(gate: str) -> int:
    """Run until the gate opens, and return who ran it: the id of the process."""
    note("began")
    await opened(gate)
    note("ran")
    return os.getpid()


@task(name="faults.charge", retry=NOW_AND_AGAIN)
async def charge(gate: str, wait_at: str) -> None:
    """Charge once, in one transaction with the job's end; at one of the steps, wait until the gate opens."""

    async def reach(step: str) -> None:
        note(step)
        if step == wait_at:
            await opened(gate)

    await reach("began")
    async with effects() as work:
        await reach("entered")
        await work.conn.execute("INSERT INTO charged (job_id) VALUES (%s)", [current_job().job_id])
        work.result = "charged"
        await reach("written")
    await reach("committed")


@task(name="faults.take_turns")
async def take_turns() -> None:
    """Say when it enters and when it leaves."""
    note("enters")
    await asyncio.sleep(0.01)
    note("leaves")


@task(name="faults.wait_in_thread")
def wait_in_thread(gate: str) -> None:
    """Run in a thread until the gate opens."""
    note("began")
    while not is_open(gate):
        time.sleep(0.01)
    note("ran")


@task(name="faults.block")
async def block(gate: str) -> None:
    """Block the worker's event loop until the gate opens."""
    note("began")
    while not is_open(gate):
        time.sleep(0.01)  # noqa: ASYNC251 - that it blocks is the fault.
    note("ran")


@task(name="faults.hold_connection")
async def hold_connection(gate: str) -> None:
    """Keep one of the connections that are lent to tasks until the gate opens."""
    async with connection() as conn:
        await conn.execute("SELECT 1")
        note("began")
        await opened(gate)
    note("ran")


@task(name="faults.defer_twin")
async def defer_twin() -> None:
    """Submit a job with a queueing lock, which waits for whoever is about to take that lock."""
    note("began")
    await touch.configure(queueing_lock="taken").defer_async()
    note("ran")


@task(name="faults.refuse_to_end")
async def refuse_to_end(gate: str) -> None:
    """Ignore every request to end until the gate opens."""
    note("began")
    while not is_open(gate):
        try:
            await opened(gate)
        except asyncio.CancelledError:
            note("refused")


@task(name="faults.crash")
async def crash() -> None:
    """End the worker as a bug in an extension would."""
    note("began")
    ctypes.string_at(0)


@task(name="faults.fail", retry=NOW_AND_AGAIN)
async def fail(times: int = 1) -> None:
    """Fail so many times, and then succeed."""
    note("ran")
    if current_job().attempt <= times:
        raise ConnectionError("refused")


@task(name="faults.fail_later", retry=ExponentialBackoff(max_retries=3, initial_delay=timedelta(minutes=10)))
async def fail_later(gate: str) -> None:
    """Fail when the gate opens; the retry is far away."""
    note("began")
    await opened(gate)
    note("ran")
    raise ConnectionError("refused")


@task(name="faults.slow_down", retry=NOW_AND_AGAIN)
async def slow_down(gate: str) -> None:
    """Be told by a server to come back later, and so be snoozed for a moment, until the gate opens."""
    note("ran")
    if not is_open(gate):
        request = httpx.Request("GET", "http://127.0.0.1/")
        response = httpx.Response(429, headers={"Retry-After": "3"}, request=request)
        raise httpx.HTTPStatusError("too many requests", request=request, response=response)


@task(name="faults.chaos", retry=NOW_AND_AGAIN)
async def chaos(seconds: float, failures: int, fatal: bool) -> None:  # noqa: FBT001 - arguments of a job have names.
    """Take some time, fail so many times, and then succeed; or fail for good."""
    await asyncio.sleep(seconds)
    if fatal:
        raise PermissionError("never")
    if current_job().attempt <= failures:
        raise ConnectionError("refused")
    note("ran")
