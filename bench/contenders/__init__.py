"""Processes that are measured: one command line, spoken by plain Procrastinate and by Afresh.

Each run is a process of its own, so that imports, garbage and connections of one never slow the other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Contender = Literal["plain", "ours"]

ROOT = Path(__file__).resolve().parents[2]

LONGEST_RUN = 300.0
"""Seconds; a run that hangs ends the benchmark instead of the day."""


def run(contender: Contender, command: str, conninfo: str, **options: object) -> dict[str, Any]:
    """Run one command of a contender to its end and return what it measured."""
    with started(contender, command, conninfo, None, **options) as process:
        return result(process)


@contextmanager
def started(
    contender: Contender,
    command: str,
    conninfo: str,
    environment: Mapping[str, str] | None = None,
    **options: object,
) -> Iterator[subprocess.Popen[str]]:
    """A contender's process, with `environment` besides the defaults; it does not outlive the block."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.contenders.{contender}", command, *arguments],
        cwd=ROOT,
        env=defaults(conninfo, "bench.contenders.workload") | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if "BENCH_DEBUG" not in os.environ else None,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process measured, once it has ended.

    Raises:
        subprocess.CalledProcessError: It failed; BENCH_DEBUG=1 shows why.
    """
    output, _ = process.communicate(timeout=LONGEST_RUN)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output)
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measured


def defaults(conninfo: str, task_modules: str) -> dict[str, str]:
    """The environment of a process: the defaults are measured, not what happens to be set here, or in `.env`."""
    from app.config import settings_that_are_set  # Not in the processes of plain Procrastinate.

    unset = dict.fromkeys(settings_that_are_set(), "")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "BENCH_DEBUG") if name in os.environ}
    return unset | kept | {"DATABASE_URL": conninfo, "TASK_MODULES": task_modules}
