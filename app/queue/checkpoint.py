"""Steps of a task that are done once: what each made is kept until the job succeeds, for a retry to go on from there.

A checkpoint is written where the step ends and not with the run's settlement: a worker may die in between.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, overload

import orjson

from ..postgres.sqlfiles import load
from .connector import AfreshConnector
from .storable import without_nul
from .task import RunningJob, running_job

SQL = load("checkpoints")

LARGEST_VALUE = 65_536
"""Bytes of JSON in one checkpoint: it is meant for what was made of much, not for the much."""

MOST_STEPS = 100
"""Checkpoints of one job."""

LONGEST_NAME = 255
"""Characters in the name of a step."""

T = TypeVar("T")


class JobTakenOver(Exception):  # noqa: N818  Reads as what happened.
    """Another worker has this job by now: what this run of it still does is for nobody."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job {job_id} was taken from this worker; nothing is written for it any more")


@dataclass(slots=True)
class Checkpoints:
    """Those that a run knows of.

    Attributes:
        made: Version and value of each step.
        jobs: Whose they are: the job's own, and those of the job in whose place it runs.
    """

    made: dict[str, tuple[int, Any]] = field(default_factory=dict)
    jobs: set[int] = field(default_factory=set)
    read: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@overload
async def step(name: str, make: Callable[[], Coroutine[Any, Any, T]], *, version: int = 1) -> T: ...
@overload
async def step(name: str, make: Callable[[], T], *, version: int = 1) -> T: ...
async def step(name: str, make: Callable[[], Any], *, version: int = 1) -> Any:
    """Do a step of the calling task, unless an earlier attempt of its job has done it; return what it made.

    What is returned is what a retry would read: JSON, so that a tuple comes back as a list. Outside of a job, as in a
    test that calls the task's function, the step is done and nothing is kept.

    Args:
        name: Of the step, unique in the task; up to `LONGEST_NAME` characters.
        make: Does it, and returns JSON of at most `LARGEST_VALUE` bytes. It may be a coroutine function.
        version: Another than the one that was kept makes the step be done anew: raise it when its meaning changes.

    Raises:
        ValueError: What it made is too large, or the job has `MOST_STEPS` already; the name is empty or too long.
        TypeError: What it made is not JSON.
        JobTakenOver: Another worker runs the job by now.
        psycopg.Error: The checkpoint could not be read or written; a retry does the step again.
    """
    running = running_job()
    if running is not None and (known := await _known(running, name, version)):
        return known[0]
    made = make()
    return await _kept(running, name, version, await made if inspect.isawaitable(made) else made)


def step_in_thread(name: str, make: Callable[[], T], *, version: int = 1) -> T:
    """As `step`, for a task that is not asynchronous.

    Raises:
        As `step`.
    """
    running = running_job()
    if running is not None and (known := _from_thread(running, _known(running, name, version))):
        return cast("T", known[0])
    made = make()
    if running is None:
        return cast("T", _as_read(name, made)[1])
    return cast("T", _from_thread(running, _kept(running, name, version, made)))


def _from_thread(running: RunningJob, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, running.reports.loop).result()


async def _known(running: RunningJob, name: str, version: int) -> tuple[Any] | None:
    """What the step made before, in a tuple of its own: it may have made None."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(f"the name of a step has 1 to {LONGEST_NAME} characters, not {len(name)}")
    checkpoints = await _read(running)
    known = checkpoints.made.get(name)
    if known is None and len(checkpoints.made) >= MOST_STEPS:
        raise ValueError(f"step {name!r}: a job has at most {MOST_STEPS} checkpoints")
    return None if known is None or known[0] != version else (known[1],)


async def _read(running: RunningJob) -> Checkpoints:
    if running.checkpoints is None:
        running.checkpoints = Checkpoints()
    mine = running.checkpoints
    connector = running.app.connector
    async with mine.lock:  # Steps that are done side by side ask once.
        if not mine.read and isinstance(connector, AfreshConnector):
            async with connector.lend() as conn:
                cursor = await conn.execute(SQL["read_checkpoints"], {"job_id": running.job_id})
                for name, version, value, job_id in await cursor.fetchall():
                    mine.made[name] = (version, value)
                    mine.jobs.add(job_id)
        mine.read = True
    return mine


async def _kept(running: RunningJob | None, name: str, version: int, value: Any) -> Any:
    text, as_read = _as_read(name, value)
    if running is None:
        return as_read
    mine = await _read(running)
    connector = running.app.connector
    if isinstance(connector, AfreshConnector):
        given = {
            "job_id": running.job_id,
            "worker": running.worker_id,
            "claim": running.claim,
            "name": name,
            "version": version,
            "value": text,
            "attempt": running.attempt,
        }
        async with connector.lend() as conn:
            if await (await conn.execute(SQL["save_checkpoint"], given)).fetchone() is None:
                raise JobTakenOver(running.job_id)
    mine.made[name] = (version, as_read)
    mine.jobs.add(running.job_id)
    return as_read


def _as_read(name: str, value: Any) -> tuple[str, Any]:
    """The value as JSON, and as a retry reads it."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise TypeError(f"what step {name!r} made is not JSON: {error}") from None
    if len(text) > LARGEST_VALUE:
        raise ValueError(f"what step {name!r} made has {len(text):,} bytes of JSON; {LARGEST_VALUE:,} are allowed")
    as_read = without_nul(orjson.loads(text))
    return orjson.dumps(as_read).decode(), as_read
