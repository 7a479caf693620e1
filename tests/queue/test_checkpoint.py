"""Steps that are done once: kept through retries, seen while the job lives, gone when it has succeeded."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from app.queue.app import Afresh
from app.queue.checkpoint import LARGEST_VALUE, LONGEST_NAME, MOST_STEPS, JobTakenOver, step, step_in_thread
from app.queue.letters import Changes, replay_letter
from app.queue.replay import replay
from app.queue.strategy import ExponentialBackoff
from app.queue.task import task

from ..eventually import eventually
from .jobs import attempts, dead_letters, rows, status, value
from .workers import Gate, is_, work_off, working

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_declarations")]

Connection = psycopg.AsyncConnection

AT_ONCE = ExponentialBackoff(max_retries=3, initial_delay=timedelta(0), jitter="none")


def noted(made: list[str], what: str) -> str:
    """Note that a step was done."""
    made.append(what)
    return "one"


async def kept(conn: Connection) -> list[tuple[int, str, int, Any, int]]:
    """Every checkpoint there is."""
    cursor = await conn.execute("SELECT job_id, name, version, value, attempt FROM afresh.checkpoint ORDER BY 1, 2")
    return await cursor.fetchall()


class Pipeline:
    """Three steps, of which each counts how often it is done; one of them fails as often as it is told."""

    def __init__(self, fails: str = "revision", times: int = 1) -> None:
        self.done: list[str] = []
        self.fails, self.times = fails, times

    async def do(self, name: str) -> dict[str, str]:
        """Do one step."""
        self.done.append(name)
        if name == self.fails and self.times:
            self.times -= 1
            raise ConnectionError(name)
        return {"text": name}

    async def __call__(self) -> list[str]:
        texts = []
        for name in ("draft", "review", "revision"):
            made = await step(name, partial(self.do, name))
            texts.append(made["text"])
        return texts


async def test_a_retry_repeats_only_what_failed(queue_app: Afresh, conn: Connection):
    """Of three steps the last fails once: each of the others is done once, and the job ends with what all made."""
    pipeline = Pipeline()
    translate = task(name="translate", retry=AT_ONCE)(_as_function(pipeline))
    job_id = await translate.defer_async()
    await work_off(queue_app)
    assert pipeline.done == ["draft", "review", "revision", "revision"]
    assert await status(conn, job_id) == "succeeded"
    result = await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id)
    assert result == ["draft", "review", "revision"]


async def test_they_are_kept_until_it_succeeds(queue_app: Afresh, conn: Connection):
    """What was made is there after a failure, with the attempt that made it, and gone with the success."""
    pipeline = Pipeline(times=2)
    translate = task(name="translate", retry=ExponentialBackoff(max_retries=2, initial_delay=timedelta(days=1)))(
        _as_function(pipeline)
    )
    job_id = await translate.defer_async()
    for run in (1, 2):
        await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE id = %s", [job_id])
        await work_off(queue_app)
        made = [(job_id, name, 1, {"text": name}, 1) for name in ("draft", "review")]
        assert (len(await attempts(conn, job_id)), await kept(conn)) == (run, made)
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE id = %s", [job_id])
    await work_off(queue_app)
    assert await status(conn, job_id) == "succeeded"
    assert await kept(conn) == []


async def test_another_version_is_made_anew(queue_app: Afresh, conn: Connection):
    """A deploy that raises a step's version has the step done again; the others stand."""
    made: list[int] = []
    version = 1

    async def work() -> None:
        await step("first", lambda: made.append(0))
        await step("second", lambda: made.append(version), version=version)
        if version == 1:
            raise ConnectionError

    declared = task(name="work", retry=ExponentialBackoff(max_retries=1, initial_delay=timedelta(days=1)))(work)
    job_id = await declared.defer_async()
    await work_off(queue_app)
    version = 2
    await conn.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE id = %s", [job_id])
    await work_off(queue_app)
    assert made == [0, 1, 2]
    assert await is_(conn, job_id, "succeeded")


async def test_a_replay_goes_on_where_the_old_job_stopped(queue_app: Afresh, conn: Connection):
    """A fresh job with the same arguments does not repeat the steps of the job in whose place it runs."""
    pipeline = Pipeline()
    translate = task(name="translate", retry=False)(_as_function(pipeline))
    old = await translate.defer_async()
    await work_off(queue_app)
    assert await status(conn, old) == "failed"
    fresh = await replay(conn, old)
    await work_off(queue_app)
    assert await status(conn, fresh) == "succeeded"
    assert pipeline.done == ["draft", "review", "revision", "revision"]
    assert await kept(conn) == []


async def test_a_replay_with_other_arguments_begins_anew(queue_app: Afresh, conn: Connection):
    """What was made of other arguments is not used."""
    made: list[str] = []

    async def work(text: str) -> None:
        await step("first", lambda: made.append(text))
        raise ValueError

    declared = task(name="work", retry=False)(work)
    old = await declared.defer_async(text="a")
    await work_off(queue_app)
    (letter,) = await dead_letters(conn, old)
    await replay_letter(conn, letter["id"], Changes(args={"text": "b"}), catalog=queue_app.catalog, actor="me")
    await work_off(queue_app)
    assert made == ["a", "b"]


async def test_a_thread_keeps_its_steps_too(queue_app: Afresh, conn: Connection):
    """A task that is not asynchronous keeps what its steps made, and goes on from there."""
    made: list[str] = []

    def work() -> str:
        first = step_in_thread("first", partial(noted, made, "first"))
        if len(made) == 1:
            made.append("failed")
            raise ConnectionError
        return first

    job_id = await task(name="work", retry=AT_ONCE)(work).defer_async()
    await work_off(queue_app)
    assert made == ["first", "failed"]
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == "one"


async def test_steps_side_by_side(queue_app: Afresh, conn: Connection):
    """Steps done at once are each kept."""

    async def work() -> list[int]:
        numbers = await asyncio.gather(*[step(f"part {each}", partial(int, each)) for each in range(5)])
        assert len(await kept(conn)) == 5
        return numbers

    job_id = await task(name="work")(work).defer_async()
    await work_off(queue_app)
    assert await value(conn, "SELECT result FROM afresh.result WHERE job_id = %s", job_id) == [0, 1, 2, 3, 4]


async def test_what_another_worker_took_over_is_not_overwritten(queue_app: Afresh, conn: Connection):
    """A worker that was taken for lost is told at its next step, and what it made is dropped."""
    gate = Gate()
    told: list[BaseException] = []

    async def work() -> None:
        await gate()
        try:
            await step("late", lambda: "of the lost run")
        except JobTakenOver as error:
            told.append(error)
            raise

    job_id = await task(name="work")(work).defer_async()
    async with working(queue_app):
        await eventually(lambda: gate.running == 1)
        await conn.execute("UPDATE procrastinate_jobs SET afresh_claim = afresh_claim + 1 WHERE id = %s", [job_id])
        gate.open.set()
        await eventually(lambda: told)
    assert str(job_id) in str(told[0])
    assert await kept(conn) == []


@pytest.mark.parametrize(
    ("name", "made", "error", "said"),
    [
        ("large", "x" * LARGEST_VALUE, ValueError, "65,538 bytes of JSON; 65,536 are allowed"),
        ("odd", object(), TypeError, "what step 'odd' made is not JSON"),
        ("", 1, ValueError, "1 to 255 characters, not 0"),
        ("n" * (LONGEST_NAME + 1), 1, ValueError, "1 to 255 characters, not 256"),
    ],
)
async def test_what_cannot_be_kept_is_refused(  # noqa: PLR0913, PLR0917 - four of them are one case
    queue_app: Afresh, conn: Connection, name: str, made: Any, error: type[Exception], said: str
):
    """A value too large or no JSON, or an odd name, fails the attempt with words that name the step."""
    caught: list[Exception] = []

    async def work() -> None:
        try:
            await step(name, lambda: made)
        except error as refusal:
            caught.append(refusal)

    await task(name="work")(work).defer_async()
    await work_off(queue_app)
    assert said in str(caught[0])
    assert await kept(conn) == []


async def test_their_number_is_bounded(queue_app: Afresh, conn: Connection):
    """A task that keeps something of each of a million rows is stopped, and told why."""

    async def work() -> None:
        for number in range(MOST_STEPS + 1):
            await step(f"row {number}", lambda: 1)

    job_id = await task(name="work", retry=False)(work).defer_async()
    await work_off(queue_app)
    (attempt,) = await attempts(conn, job_id)
    assert "at most 100 checkpoints" in attempt["message"]


async def test_outside_of_a_job_nothing_is_kept():
    """A task's function can be called in a test: its steps are done, and give what a job would read."""
    assert await step("first", lambda: (1, 2)) == [1, 2]  # type: ignore[comparison-overlap]  # JSON has no tuples, nor keys that are no text.
    assert step_in_thread("second", lambda: {1: "a"}) == {"1": "a"}  # type: ignore[comparison-overlap]  # JSON has no tuples, nor keys that are no text.


async def test_they_go_with_their_job(queue_app: Afresh, conn: Connection):
    """A job that is deleted takes its checkpoints with it."""
    translate = task(name="translate", retry=False)(_as_function(Pipeline()))
    job_id = await translate.defer_async()
    await work_off(queue_app)
    assert len(await kept(conn)) == 2
    await conn.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])
    assert await rows(conn, "SELECT * FROM afresh.checkpoint") == []


def _as_function(pipeline: Pipeline) -> Any:
    async def translate() -> list[str]:
        return await pipeline()

    return translate
