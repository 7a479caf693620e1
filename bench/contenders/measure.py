"""What a contender's process does, given its app. The same code measures both."""

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import procrastinate

from . import workload

Run = Callable[[Coroutine[Any, Any, dict[str, Any]]], dict[str, Any]]


def main(make: Callable[[], procrastinate.App], run: Run) -> None:
    """Do what the command line says and print what was measured as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--jobs", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(run(COMMANDS[options.command](make(), options))))


async def work(app: procrastinate.App, options: argparse.Namespace) -> dict[str, Any]:
    """Run jobs until there are none, or for so many seconds.

    CPU is that of the whole process from the start of the worker to its end: what starting and stopping costs is
    a few ms, the same for both.
    """
    async with app.open_async():
        if options.seconds:
            asyncio.get_running_loop().call_later(options.seconds, os.kill, os.getpid(), signal.SIGTERM)
        before = time.process_time()
        await app.run_worker_async(concurrency=options.concurrency, wait=bool(options.seconds))
        cpu = time.process_time() - before
    return {"cpu": cpu, "peak_bytes": peak_bytes()}


async def wait(app: procrastinate.App, options: argparse.Namespace) -> dict[str, Any]:
    """Be idle, and note how long each job took to be picked up; until SIGTERM."""
    async with app.open_async():
        await app.run_worker_async(concurrency=options.concurrency)
    return {"waits": workload.waits}


async def defer(app: procrastinate.App, options: argparse.Namespace) -> dict[str, Any]:
    """Defer jobs one by one."""
    async with app.open_async():
        task = app.tasks["noop"]
        for _ in range(20):
            await task.defer_async()
        begun = time.perf_counter()
        for _ in range(options.jobs):
            await task.defer_async()
        return {"per_second": options.jobs / (time.perf_counter() - begun)}


async def defer_batch(app: procrastinate.App, options: argparse.Namespace) -> dict[str, Any]:
    """Defer jobs in one call."""
    async with app.open_async():
        task = app.tasks["noop"]
        await task.batch_defer_async({}, {})
        begun = time.perf_counter()
        await task.batch_defer_async(*({} for _ in range(options.jobs)))
        return {"per_second": options.jobs / (time.perf_counter() - begun)}


def peak_bytes() -> int:
    """The most memory this program has had. Not `ru_maxrss`, which begins with what the parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


COMMANDS = {"work": work, "wait": wait, "defer": defer, "defer-batch": defer_batch}
